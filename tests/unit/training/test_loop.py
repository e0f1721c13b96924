"""What a training leaves in its folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation
from tiny_training import PAPER, TINY, same_outcome

from nucbatch.core.errors import InputError
from nucbatch.core.settings import NormaliseSettings, ObjectSettings
from nucbatch.networks.checkpoint import load_weights, read_card, save_weights
from nucbatch.networks.contract import build
from nucbatch.networks.model_card import Card
from nucbatch.training.data import DataSet
from nucbatch.training.history import read_history
from nucbatch.training.loop import train
from nucbatch.training.precision import Precision
from nucbatch.training.recipe import Recipe
from nucbatch.training.sample import load_sample
from nucbatch.training.targets import interior
from nucbatch.training.validate import fitting_thresholds


def test_a_training_leaves_weights_with_a_card_and_a_run_card(straight: Path, data: DataSet) -> None:
    _, card = load_weights(straight / "weights.safetensors")
    assert card.data_sha256 == data.sha256
    assert card.training["steps"] == 6
    assert card.outputs == TINY.outputs
    assert card.config["outputs"] == len(TINY.outputs)
    assert card.scores.keys() >= {"val pixel F1", "val object F1 at 0.5"}
    assert (straight / "history.png").read_bytes().startswith(b"\x89PNG")
    run = json.loads((straight / "train.json").read_text())
    assert run["data"] == {
        "sha256": data.sha256,
        "sets": dict(data.sets),
        "images": {"train": 5, "val": 1, "test": 0},
    }
    assert card.data_sets == data.sets
    assert run["seed"] == 0
    assert run["precision"] == Precision(TINY.precision, torch.device("cpu")).name
    assert run["versions"].keys() >= {"nucbatch", "python", "torch", "numpy"}


def test_best_weights_are_those_of_the_best_line_and_become_the_model_if_asked(
    data: DataSet, tmp_path: Path
) -> None:
    train(data, tmp_path, PAPER)
    records = read_history(tmp_path / "history.csv", 99)
    best = max(records[1:], key=lambda record: record["val_dice"])
    assert read_card(tmp_path / "best.safetensors").training["steps"] == best["step"]
    card = read_card(tmp_path / "weights.safetensors")
    assert card.training["steps"] == best["step"]
    assert card.scores["val at 32 px pixel F1"] == pytest.approx(best["val_dice"], abs=2e-3)


def test_batches_made_by_workers_are_the_same(data: DataSet, straight: Path, tmp_path: Path) -> None:
    train(data, tmp_path, TINY, workers=2)
    assert same_outcome(tmp_path, straight)


def test_a_loss_that_is_no_number_ends_the_training_with_a_sentence(data: DataSet, tmp_path: Path) -> None:
    wild = TINY.model_copy(update={"learning_rate": 1e30, "clip": 0.0, "warmup": 0.0})
    with pytest.raises(InputError, match="the training diverged"):
        train(data, tmp_path, wild)


def test_thresholds_are_those_that_find_the_nuclei_best(data: DataSet) -> None:
    (sample,) = [load_sample(entry, NormaliseSettings()) for entry in data.split("val")]
    timid = np.stack([(sample.labels > 0) * 190, interior(sample.labels) * 120]).astype(np.uint8)
    timid[0][binary_dilation(sample.labels > 0, iterations=8) & (sample.labels == 0)] = 170
    chosen = fitting_thresholds([timid], [sample], ObjectSettings())
    assert 170 / 255 < chosen.foreground <= 190 / 255
    assert chosen.interior < 120 / 255


@pytest.mark.parametrize("recipe", [TINY, PAPER])
def test_weights_that_find_nothing_are_written_with_scores_of_0_and_a_warning(
    data: DataSet, tmp_path: Path, recipe: Recipe
) -> None:
    network = build("unet", recipe.config)
    with torch.no_grad():
        network.head.bias.fill_(-30.0)  # type: ignore[union-attr, operator]
    start = tmp_path / "start.safetensors"
    save_weights(
        start, network, Card(name="x", architecture="unet", config=recipe.config, outputs=recipe.outputs)
    )
    still = recipe.model_copy(update={"learning_rate": 1e-12, "keep": "best"})
    card = read_card(train(data, tmp_path / "on", still, start=start))
    assert card.training["warning"] == "finds no nuclei on the images it was scored on"
    assert all(np.isfinite(value) for value in card.scores.values())
    assert 0 in card.scores.values()
    assert read_card(tmp_path / "on" / "best.safetensors").training["warning"]
    json.loads((tmp_path / "on" / "train.json").read_text(), parse_constant=pytest.fail)


def test_a_model_is_called_after_its_data_and_recipe_or_as_asked(
    data: DataSet, straight: Path, tmp_path: Path
) -> None:
    (name,) = data.sets
    assert read_card(straight / "weights.safetensors").name == f"{name}-tiny"
    one = TINY.model_copy(update={"steps": 1})
    assert read_card(train(data, tmp_path, one, name="ours")).name == "ours"
