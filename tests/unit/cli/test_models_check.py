"""Scores of a model in each arithmetic of this machine, and what its card keeps of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from nucbatch.cli.main import nucbatch
from nucbatch.inference.device import offer_here
from nucbatch.networks.checkpoint import load_weights, read_card, save_weights, save_with_card
from nucbatch.networks.locate import locate
from nucbatch.synthetic import make_field

NAMES = ["pixel F1", "object F1 at 0.5", "mean AP"]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    network, card = load_weights(locate("default"))
    save_weights(tmp_path / "ours.safetensors", network, card.model_copy(update={"kinds": {}}))
    return tmp_path / "ours.safetensors"


def labelled(folder: Path, *names: str) -> Path:
    for name, seed in zip(names, range(len(names)), strict=True):
        image, labels = make_field(96, np.random.default_rng(seed), nuclei=4, channels=1)
        for kind, pixels in (("images", image[0]), ("labels", labels)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / kind / f"{name}.tif", pixels)
    rows = "".join(f"{name},{'test' if name == 'c' else 'val'},{name}\n" for name in names)
    (folder / "split.csv").write_text(f"id,split,stain\n{rows}")
    return folder


def checked(weights: Path, data: Path, *options: str) -> str:
    result = CliRunner().invoke(nucbatch, ["models", "check", str(weights), str(data), *options])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_card_gets_the_scores_of_each_kind_of_this_machine(weights: Path, tmp_path: Path) -> None:
    data, before = labelled(tmp_path / "data", "a", "b", "c"), read_card(weights)
    assert "largest difference" in checked(weights, data, "--where", "split=val", "--dry-run")
    assert read_card(weights) == before
    assert str(weights) in checked(weights, data, "--where", "split=val", "--group", "stain=a")
    card = read_card(weights)
    assert card.sha256 == before.sha256
    assert set(card.kinds) == set(offer_here().kinds)
    names = [*NAMES, *(f"stain=a {name}" for name in NAMES)]
    assert all(list(scores) == [f"split=val {name}" for name in names] for scores in card.kinds.values())
    assert card.differences["fp32"] == 0
    assert card.kinds["fp32"]["split=val pixel F1"] > 0.9


def test_scores_of_another_machine_stay_while_the_images_are_the_same(weights: Path, tmp_path: Path) -> None:
    first, second = labelled(tmp_path / "one", "a"), labelled(tmp_path / "two", "b", "d")
    checked(weights, first)
    card = read_card(weights)
    elsewhere = {"fp16-NVIDIA H200": card.kinds["fp32"]}
    save_with_card(weights, weights, card.model_copy(update={"kinds": card.kinds | elsewhere}))
    checked(weights, first)
    assert read_card(weights).differences["fp16-NVIDIA H200"] == 0
    checked(weights, second)
    assert set(read_card(weights).kinds) == set(offer_here().kinds)
