"""``nucbatch train`` as a user calls it: the recipe from the options, the output, and errors."""

import csv
import io
import itertools
import shutil
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console
from rich.text import Text

from nucbatch.cli.train import train
from nucbatch.core.errors import InputError
from nucbatch.core.settings import NormaliseSettings
from nucbatch.networks.checkpoint import read_card, save_weights
from nucbatch.networks.contract import build
from nucbatch.networks.model_card import Card
from nucbatch.synthetic import make_field
from nucbatch.training.chosen_recipe import chosen_recipe
from nucbatch.training.progress_bar import TrainingBar
from nucbatch.training.recipe import Recipe, preset
from nucbatch.training.verdict import verdict

NOTHING: dict[str, Any] = dict.fromkeys(("steps", "epochs", "width", "seed", "patience", "precision"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    rows = ["id,split"]
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number, split in enumerate(("train", "train", "val", "test")):
        images, labels = make_field(80, np.random.default_rng(number), nuclei=4)
        imagecodecs.imwrite(str(folder / "images" / f"f{number}.png"), images[0])
        imagecodecs.imwrite(str(folder / "labels" / f"f{number}.png"), labels.astype(np.uint16))
        rows.append(f"f{number},{split}")
    (folder / "split.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    recipe = Recipe(width=3, depth=2)
    card = Card(
        name="mine",
        architecture="unet",
        config=recipe.config,
        outputs=recipe.outputs,
        normalise=NormaliseSettings(low_percent=2),
    )
    save_weights(tmp_path / "mine.safetensors", build("unet", recipe.config), card)
    return tmp_path / "mine.safetensors"


@pytest.mark.slow
def test_the_papers_recipe_prints_a_line_per_epoch_and_says_how_it_was_reduced(
    data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ["--preset", "paper", "--width", "1", "--epochs", "2", "--test"]
    done = CliRunner().invoke(train, [str(data), "-o", str(out), *options], catch_exceptions=False)
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert "4 labelled images: 2 train, 1 val, 1 test" in lines
    assert [line.split(":")[0] for line in lines if line.startswith("epoch")] == ["epoch 1", "epoch 2"]
    assert sum(line.startswith("before the first step: val loss") for line in lines) == 1
    assert any(line.startswith("1/2 steps: loss") and line.endswith(" left") for line in lines)
    assert "Preset paper, with width 1 instead of 64, epochs 2 instead of 35." in lines
    scores = read_card(out / "weights.safetensors").scores
    assert {"val at 256 px pixel Jaccard", "test at 256 px pixel Jaccard"} <= set(scores)
    files = {path.name for path in out.iterdir()}
    assert {"history.png", "history.csv", "preprocessing.png", "train.json", "best.safetensors"} <= files
    log = (out / "train.log").read_text().splitlines()
    assert any(" INFO nucbatch.training.log driver" in line and "Recipe: " in line for line in log)
    assert sum("Scores: " in line for line in log) == 3
    assert log[-1].endswith("The training has come to its end")
    again = CliRunner().invoke(train, [str(data), "-o", str(out), *options, "--resume", "--quiet"])
    assert again.output.splitlines() == [f"Weights: {out / 'weights.safetensors'}"]
    assert (out / "train.log").read_text().splitlines()[: len(log)] == log


def test_a_terminal_shows_the_last_step_and_the_last_validation_beside_the_bar() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with TrainingBar(console) as bar:
        bar.started(3, 9)
        bar.step(4, 0.25, 0.5)
        bar.scored({"step": 4, "loss": 0.25, "val_object_f1": 0.75})
        bar.step(5, 0.125, 0.625)
    shown = Text.from_ansi(console.file.getvalue()).plain
    assert "3 of 9 steps are done already" in shown
    assert "step 4: loss 0.2500, val object f1 0.7500" in shown
    last = shown.splitlines()[-1]
    assert all(part in last for part in ("5/9", "loss 0.125  Dice 0.625", "val object f1 0.750"))


def test_a_log_has_lines_with_the_time_left() -> None:
    console = Console(file=io.StringIO(), width=120)
    with TrainingBar(console, itertools.count(0, 60).__next__) as bar:
        bar.started(20, 120)
        for done in range(21, 121):
            bar.step(done, 0.25, 0.5)
        bar.scored({"step": 0, "val_object_f1": 0.75})
    lines = console.file.getvalue().splitlines()
    assert lines[:3] == [
        "20 of 120 steps are done already; continuing.",
        "21/120 steps: loss 0.250, Dice 0.500, 1:39:00 left",
        "24/120 steps: loss 0.250, Dice 0.500, 0:48:00 left",
    ]
    assert lines[-2:] == [
        "120/120 steps: loss 0.250, Dice 0.500",
        "before the first step: val object f1 0.7500",
    ]


def test_weights_that_got_worse_or_find_nothing_are_said_to() -> None:
    card = Card(name="x", architecture="unet", config={}, outputs=("foreground",))
    worse = card.model_copy(
        update={
            "training": {"from": "default"},
            "scores": {"val object F1 at 0.5": 0.81, "val pixel F1": 0.9},
        }
    )
    assert verdict(worse, [{"step": 0, "val_object_f1": 0.81}]) == []
    (sentence,) = verdict(worse, [{"step": 0, "val_object_f1": 0.858}])
    assert "val object F1 at 0.5 was 0.8580 and is 0.8100" in sentence
    (sentence,) = verdict(card.model_copy(update={"training": {"warning": "finds no nuclei"}}), [])
    assert sentence.startswith("The model finds no nuclei.")


def test_several_data_sets_are_named_with_their_splits(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "lab" / "data"
    shutil.copytree(data, other)
    for path in (other / "images").iterdir():
        pixels = np.asarray(imagecodecs.imread(str(path))).astype(np.uint16)
        imagecodecs.imwrite(str(path), 65535 - 200 * pixels)
    out = tmp_path / "out"
    options = ["--preset", "paper", "--width", "1", "--steps", "1", "--name", "ours"]
    done = CliRunner().invoke(
        train, [str(data), str(other), "-o", str(out), *options], catch_exceptions=False
    )
    assert done.exit_code == 0
    card = read_card(out / "weights.safetensors")
    assert card.name == "ours"
    assert len(card.data_sets) == 2
    assert "8 labelled images: 4 train, 2 val, 2 test" in done.output
    for name in card.data_sets:
        assert f"  {name}: 2 train, 1 val, 1 test" in done.output.splitlines()


def test_options_change_the_preset() -> None:
    changes = NOTHING | {"width": 16, "epochs": 4, "precision": "bf16"}
    recipe = chosen_recipe("paper", None, changes)
    assert (recipe.width, recipe.epochs, recipe.precision) == (16, 4, "bf16")
    assert chosen_recipe("paper", None, NOTHING | {"steps": 5}).epochs is None
    assert chosen_recipe(None, None, NOTHING) == preset("default")


def test_a_training_from_weights_takes_their_size_and_normalisation(weights: Path) -> None:
    recipe = chosen_recipe(None, weights, NOTHING | {"seed": 3})
    assert (recipe.name, recipe.width, recipe.depth, recipe.seed) == ("finetune", 3, 2, 3)
    assert recipe.normalise.low_percent == 2
    assert recipe.learning_rate < preset("default").learning_rate


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("default", {"steps": 5, "epochs": 5}, "give one"),
        ("finetune", {}, "name them with --from"),
        ("refine", {}, "refine starts from trained weights: name them with --from"),
        ("huge", {}, "the presets are default"),
    ],
)
def test_options_that_make_no_recipe_are_refused(name: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        chosen_recipe(name, None, NOTHING | changes)


def test_the_size_of_given_weights_is_not_for_choice(weights: Path) -> None:
    with pytest.raises(InputError, match="leave it out"):
        chosen_recipe(None, weights, NOTHING | {"width": 8})
    with pytest.raises(InputError, match="train with another --preset"):
        chosen_recipe("paper", weights, NOTHING)


@pytest.mark.slow
def test_several_seeds_give_mean_and_standard_deviation(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--preset", "paper", "--width", "1", "--epochs", "1", "--seeds", "2", "--seed", "5"]
    done = CliRunner().invoke(train, [str(data), "-o", str(out), *options], catch_exceptions=False)
    assert done.exit_code == 0
    scores = [read_card(out / f"seed-{seed}" / "weights.safetensors").scores for seed in (5, 6)]
    assert scores[0] != scores[1]
    loss = [one["val at 256 px loss"] for one in scores]
    mean, deviation = sum(loss) / 2, abs(loss[0] - loss[1]) / 2**0.5
    assert f"  val at 256 px loss: {mean:.4f} ± {deviation:.4f}" in done.output.splitlines()
    with (out / "seeds.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], float(row["val at 256 px loss"])) for row in rows] == [
        ("5", loss[0]),
        ("6", loss[1]),
    ]
    again = [*options, "--resume", "--quiet"]
    resumed = CliRunner().invoke(train, [str(data), "-o", str(out), *again], catch_exceptions=False)
    assert [read_card(out / f"seed-{seed}" / "weights.safetensors").scores for seed in (5, 6)] == scores
    assert "Over 2 seeds, mean ± standard deviation:" in resumed.output
