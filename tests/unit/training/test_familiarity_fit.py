"""Fitting what a model calls familiar to the images that it was made with."""

import numpy as np
import pytest

from nucbatch.core.calibration import Calibration, ConfidenceModel, Standardised
from nucbatch.core.familiarity import FIGURES, Familiarity
from nucbatch.inference.image_figures import figures_of_image
from nucbatch.synthetic.field import make_field
from nucbatch.training.familiarity_fit import SeenImage, familiarity


def seen(count: int, seed: int) -> list[SeenImage]:
    rng = np.random.default_rng(seed)
    return [SeenImage(f"g{place // 2}", rng.normal(size=len(FIGURES))) for place in range(count)]


def _grey(figures: np.ndarray) -> np.ndarray:
    return np.where(np.array(FIGURES) == "colour", 0.0, figures)


def test_images_far_from_all_examples_are_unfamiliar() -> None:
    found = familiarity([SeenImage(one.group, _grey(one.figures)) for one in seen(300, 1)])
    assert found is not None
    assert len(found.examples) == 100
    same = [_grey(one.figures) for one in seen(200, 2)]
    assert np.mean([bool(found.reason(one)) for one in same]) < 0.05
    assert all(found.reason(one + np.r_[9.0, np.zeros(len(FIGURES) - 1)]) for one in same)


def test_too_few_images_make_nothing_unfamiliar() -> None:
    assert familiarity(seen(29, 1)) is None


def test_figures_come_from_image_and_labels() -> None:
    images, labels = make_field(160, np.random.default_rng(0), nuclei=12)
    found = figures_of_image(images[0], labels)
    assert found is not None
    assert found[FIGURES.index("colour")] == 0
    assert 2 ** found[0] > 8
    larger = figures_of_image(
        np.kron(images[0], np.ones((4, 4), images[0].dtype)), np.kron(labels, np.ones((4, 4), int))
    )
    assert larger is not None
    assert larger[0] - found[0] == pytest.approx(2, abs=0.01)
    assert figures_of_image(images[0], np.zeros_like(labels)) is None


def test_dark_nuclei_have_a_negative_polarity_in_grey_and_in_rgb() -> None:
    images, labels = make_field(160, np.random.default_rng(0), nuclei=12)
    bright = images[0].astype(np.float64) / images[0].max()
    dark = (200 - 150 * bright).astype(np.uint8)
    place = FIGURES.index("polarity")
    polarities = []
    for image in (images[0], dark, np.stack([dark] * 3, axis=2)):
        found = figures_of_image(image, labels)
        assert found is not None
        polarities.append(found[place])
    assert polarities[0] > 0.2
    assert polarities[1] < -0.02
    assert polarities[2] == pytest.approx(polarities[1], abs=1e-6)


def test_an_older_card_with_fewer_figures_gives_no_flags() -> None:
    found = familiarity([SeenImage(one.group, _grey(one.figures)) for one in seen(40, 1)])
    assert found is not None
    written = {
        "images": 1,
        "groups": 1,
        "confidence": _blank().model_dump(),
        "familiarity": found.model_dump(),
    }
    assert isinstance(Calibration.model_validate(written).familiarity, Familiarity)
    written["familiarity"] |= {"spreads": found.spreads[:7]}
    assert Calibration.model_validate(written).familiarity is None


def _blank() -> ConfidenceModel:
    scaling = Standardised(names=("one",), means=(0.0,), spreads=(1.0,))
    return ConfidenceModel(evidence=scaling, linear=(0.0,), square=(0.0,), constant=0.0)
