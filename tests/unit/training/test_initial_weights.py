"""A training that starts from the weights of a model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import ODD, TINY

from nucbatch.core.errors import InputError
from nucbatch.networks.checkpoint import load_weights, read_card
from nucbatch.networks.model_card import Card
from nucbatch.training.data import DataSet
from nucbatch.training.history import best_of, read_history
from nucbatch.training.initial_weights import adapt_to_weights
from nucbatch.training.loop import train
from nucbatch.training.monitor import DIGITS
from nucbatch.training.sample import load_sample
from nucbatch.training.validate import FOREGROUNDS, PEAKS, validate


def figures_of(weights: Path, data: DataSet) -> dict[str, float]:
    """The history's columns, as the weights in a file give them with the thresholds on their card."""
    network, card = load_weights(weights)
    samples = [load_sample(entry, card.normalise) for entry in data.split("val")]
    found = validate(network, samples, card.objects)
    return {
        "val_pixel_f1": round(found.pixels.f1, DIGITS),
        "val_object_f1": round(found.objects.f1(0.5), DIGITS),
        "val_mean_ap": round(found.objects.mean_ap, DIGITS),
    }


def test_a_training_may_begin_with_a_models_weights(data: DataSet, straight: Path, tmp_path: Path) -> None:
    start = straight / "weights.safetensors"
    card = read_card(start)
    recipe = adapt_to_weights(
        TINY.model_copy(update={"name": "on", "steps": 1, "learning_rate": 1e-12, "width": 7}), card
    )
    assert recipe.width == 2
    weights = train(data, tmp_path, recipe, start=start)
    (before, _), (after, onward) = load_weights(start), load_weights(weights)
    for one, other in zip(before.parameters(), after.parameters(), strict=True):
        np.testing.assert_allclose(one.detach(), other.detach(), atol=1e-6)
    assert onward.training["from"] == f"{card.name} {card.sha256[:12]}"


@pytest.mark.slow
def test_a_share_of_the_weights_to_begin_with_is_kept_in_the_model(
    data: DataSet, straight: Path, tmp_path: Path
) -> None:
    start = straight / "weights.safetensors"
    recipe = adapt_to_weights(TINY.model_copy(update={"steps": 2, "learning_rate": 0.1}), read_card(start))
    found = {}
    for share in (0.0, 0.25):
        one = recipe.model_copy(update={"kept_of_start": share})
        weights = train(data, tmp_path / str(share), one, start=start)
        found[share] = load_weights(weights)[0].state_dict()
    before = load_weights(start)[0].state_dict()
    for name in ("head.weight", "encoder.0.1.running_mean"):
        assert not torch.allclose(found[0.0][name], before[name], atol=1e-3)
        torch.testing.assert_close(
            found[0.25][name], 0.75 * found[0.0][name] + 0.25 * before[name], atol=2e-3, rtol=2e-3
        )


@pytest.mark.parametrize("thresholds", ["keep", "fit"])
def test_thresholds_are_kept_as_the_model_has_them_or_fitted_anew(
    data: DataSet, odd_start: Path, tmp_path: Path, thresholds: str
) -> None:
    recipe = adapt_to_weights(
        TINY.model_copy(update={"steps": 1, "thresholds": thresholds}), read_card(odd_start)
    )
    found = read_card(train(data, tmp_path / "on", recipe, start=odd_start)).objects
    assert found.min_area_px == 7
    assert (found == ODD) == (thresholds == "keep")
    assert (found.foreground in FOREGROUNDS) == (found.peak in PEAKS) == (thresholds == "fit")


def test_weights_of_other_maps_are_refused_as_a_beginning() -> None:
    card = Card(
        name="old", architecture="unet", config={"in_channels": 3}, outputs=("foreground", "interior")
    )
    with pytest.raises(InputError, match="the weights of old predict foreground, interior"):
        adapt_to_weights(TINY, card)


@pytest.mark.parametrize("thresholds", ["keep", "fit"])
def test_the_best_weights_as_written_give_the_figures_that_were_shown(
    data: DataSet, odd_start: Path, tmp_path: Path, thresholds: str
) -> None:
    recipe = adapt_to_weights(TINY.model_copy(update={"thresholds": thresholds}), read_card(odd_start))
    train(data, tmp_path / "on", recipe, start=odd_start)
    records = read_history(tmp_path / "on" / "history.csv", 99)
    best = records[best_of(records, "val_object_f1") or 0]
    assert best.items() >= figures_of(tmp_path / "on" / "best.safetensors", data).items()
    assert (read_card(tmp_path / "on" / "best.safetensors").objects == ODD) == (thresholds == "keep")
    # the line before the first step is of the weights to begin with, as they are
    assert records[0].items() >= figures_of(odd_start, data).items()
    assert records[0]["step"] == 0
    assert "loss" not in records[0]


def test_weights_without_a_start_have_a_line_before_the_first_step_that_is_never_the_best(
    data: DataSet, straight: Path
) -> None:
    records = read_history(straight / "history.csv", 99)
    assert [record["step"] for record in records] == [0, 3, 6]
    assert read_card(straight / "best.safetensors").training["steps"] in (3, 6)
