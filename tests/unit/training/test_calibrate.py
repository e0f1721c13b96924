"""Fitting a model's confidences to labelled images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nucbatch.core.errors import InputError
from nucbatch.features.confidence import EVIDENCE
from nucbatch.networks.checkpoint import load_weights, save_weights, save_with_card
from nucbatch.networks.model_card import Card
from nucbatch.networks.unet import UNet
from nucbatch.training.calibrate import Judged, fitted


def judged(images: int, objects: int = 40) -> list[Judged]:
    """Images whose objects are nuclei with a probability that grows with their foreground."""
    rng = np.random.default_rng(1)
    found = []
    for image in range(images):
        evidence = rng.normal(size=(objects, len(EVIDENCE)))
        truth = rng.random(objects) < 1 / (1 + np.exp(-1 - 2 * evidence[:, 0]))
        found.append(Judged(f"i{image}", "fluorescence", f"g{image // 2}", evidence, truth, int(truth.sum())))
    return found


def test_confidences_are_the_frequencies_of_nuclei() -> None:
    calibration = fitted(judged(100))
    assert (calibration.images, calibration.groups) == (100, 50)
    other = judged(300)[100:]  # drawn after those that were fitted
    p = np.concatenate([calibration.confidence.confidences(one.evidence) for one in other])
    truth = np.concatenate([one.is_nucleus for one in other])
    for low in np.arange(0, 1, 0.2):
        chosen = (p >= low) & (p < low + 0.2)
        assert p[chosen].mean() == pytest.approx(truth[chosen].mean(), abs=0.05)


def test_too_few_images_or_objects_calibrate_nothing() -> None:
    with pytest.raises(InputError, match=r"9 images with 360 objects.*it needs 10 images with 200 objects"):
        fitted(judged(9))
    sure = [replace(one, is_nucleus=np.ones(40, np.bool_)) for one in judged(20)]
    with pytest.raises(InputError, match=r"800 match true nuclei.*10 wrong"):
        fitted(sure)


def test_a_new_card_leaves_the_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = {"in_channels": 3, "outputs": 2, "width": 2, "depth": 2}
    path = tmp_path / "w.safetensors"
    card = save_weights(path, UNet(**config).eval(), Card(name="m", architecture="unet", config=config))
    before, _ = load_weights(path)
    calibration = fitted(judged(20))
    save_with_card(path, path, card.model_copy(update={"calibration": calibration}))
    after, new = load_weights(path)
    assert new.calibration == calibration
    assert new.sha256 == card.sha256
    assert len(calibration.model_dump_json()) < 5000
    for one, other in zip(before.state_dict().values(), after.state_dict().values(), strict=True):
        assert torch.equal(one, other)
