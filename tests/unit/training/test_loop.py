import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from scipy.ndimage import binary_dilation

from nucbatch.core.errors import InputError, RunLocked, SettingsConflict
from nucbatch.core.settings import NormaliseSettings, ObjectSettings
from nucbatch.core.signals import Stopped
from nucbatch.networks.checkpoint import load_weights, read_card, save_weights
from nucbatch.networks.contract import build
from nucbatch.networks.model_card import Card
from nucbatch.store.run_folder import RunFolder
from nucbatch.training.data import DataSet, find_data
from nucbatch.training.history import Record, best_of, read_history, write_history
from nucbatch.training.initial_weights import adapt_to_weights
from nucbatch.training.listener import SilentListener
from nucbatch.training.loop import train
from nucbatch.training.monitor import DIGITS
from nucbatch.training.precision import Precision
from nucbatch.training.recipe import Recipe
from nucbatch.training.sample import load_sample
from nucbatch.training.targets import interior
from nucbatch.training.validate import FOREGROUNDS, PEAKS, fitting_thresholds, validate

TINY = Recipe(name="tiny", width=2, depth=2, steps=6, batch=2, crop_px=32, score_every=3, checkpoint_every=2)
PAPER = Recipe(
    name="tiny",
    task="paper",
    width=2,
    depth=2,
    outputs=("foreground",),
    epochs=3,
    batch=2,
    crop_px=32,
    keep="best",
)


class Failure(Exception):
    pass


class Signals(SilentListener):
    """Sends this process a signal after a number of steps, or after a validation."""

    def __init__(self, number: int, *, step: int = -1, scored: int = -1) -> None:
        self.number, self.at_step, self.at_scored = number, step, scored

    def step(self, done: int, loss: float, dice: float) -> None:
        if done == self.at_step:
            os.kill(os.getpid(), self.number)

    def scored(self, record: Record) -> None:
        if record["step"] == self.at_scored:
            os.kill(os.getpid(), self.number)


class Fails(SilentListener):
    """Breaks a training off as a kill would: nothing is saved on the way out."""

    def __init__(self, *, step: int = -1, scored: int = -1) -> None:
        self.at_step, self.at_scored = step, scored

    def step(self, done: int, loss: float, dice: float) -> None:
        if done == self.at_step:
            raise Failure

    def scored(self, record: Record) -> None:
        if record["step"] == self.at_scored:
            raise Failure


@pytest.fixture(scope="module")
def data(small_data: Path) -> DataSet:
    return find_data(small_data)


@pytest.fixture(scope="module")
def straight(data: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    train(data, folder, TINY)
    return folder


ODD = ObjectSettings(foreground=0.31, peak=0.07, min_area_px=7)
"""Thresholds that no grid of fitted ones has."""


@pytest.fixture
def odd_start(straight: Path, tmp_path: Path) -> Path:
    """Weights to begin with whose card carries odd thresholds."""
    network, card = load_weights(straight / "weights.safetensors")
    start = tmp_path / "start.safetensors"
    save_weights(start, network, card.model_copy(update={"objects": ODD}))
    return start


def same_outcome(one: Path, other: Path) -> bool:
    names = ("weights.safetensors", "best.safetensors", "history.csv")
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


@pytest.mark.parametrize("listener", [Fails(step=1), Fails(step=5), Fails(scored=3), Fails(scored=6)])
def test_a_training_that_was_killed_resumes_to_the_same_bytes(
    data: DataSet, straight: Path, tmp_path: Path, listener: Fails
) -> None:
    with pytest.raises(Failure):
        train(data, tmp_path, TINY, listener=listener)
    train(data, tmp_path, TINY, resume=True)
    assert same_outcome(tmp_path, straight)


@pytest.mark.parametrize(
    "recipe",
    [
        TINY.model_copy(update={"architecture": "unet-2015", "elastic_px": 3.0, "weights": "borders"}),
        TINY.model_copy(update={"architecture": "unet-plus-plus-supervised", "depth": 2}),
    ],
    ids=["dropout", "deep supervision"],
)
def test_networks_that_behave_otherwise_in_training_resume_to_the_same_bytes_too(
    data: DataSet, tmp_path: Path, recipe: Recipe
) -> None:
    train(data, tmp_path / "straight", recipe)
    with pytest.raises(Failure):
        train(data, tmp_path / "killed", recipe, listener=Fails(step=5))
    train(data, tmp_path / "killed", recipe, resume=True)
    assert same_outcome(tmp_path / "straight", tmp_path / "killed")


def test_a_scoring_that_was_killed_is_done_again(data: DataSet, straight: Path, tmp_path: Path) -> None:
    with pytest.raises(Failure):
        train(data, tmp_path, TINY, listener=Fails(scored=3))
    history = tmp_path / "history.csv"  # the state was saved before its line and the best weights
    write_history(history, read_history(history, 0))
    (tmp_path / "best.safetensors").unlink()
    train(data, tmp_path, TINY, resume=True)
    assert same_outcome(tmp_path, straight)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)]
)
def test_a_signal_saves_the_state_after_the_step_in_hand(
    data: DataSet, straight: Path, tmp_path: Path, number: int, code: int
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as stopped:
        train(data, tmp_path, TINY, listener=Signals(number, step=5))
    assert (stopped.value.done, stopped.value.exit_code) in ((5, code), (6, code))
    assert signal.getsignal(number) is before
    with safe_open(tmp_path / "state.safetensors", framework="pt") as stored:
        assert json.loads(stored.metadata()["nucbatch-training"])["step"] == stopped.value.done
    train(data, tmp_path, TINY, resume=True)
    assert same_outcome(tmp_path, straight)


def test_a_signal_during_a_scoring_loses_neither_the_scoring_nor_a_step(
    data: DataSet, straight: Path, tmp_path: Path
) -> None:
    with pytest.raises(Stopped) as stopped:
        train(data, tmp_path, TINY, listener=Signals(signal.SIGTERM, scored=3))
    assert stopped.value.done == 4
    assert [record["step"] for record in read_history(tmp_path / "history.csv", 99)] == [0, 3]
    train(data, tmp_path, TINY, resume=True)
    assert same_outcome(tmp_path, straight)


@pytest.mark.slow
def test_a_training_by_epochs_resumes_to_the_same_bytes_too(data: DataSet, tmp_path: Path) -> None:
    train(data, tmp_path / "straight", PAPER)
    with pytest.raises(Stopped):
        train(data, tmp_path / "halting", PAPER, listener=Signals(signal.SIGTERM, step=4))
    train(data, tmp_path / "halting", PAPER, resume=True)
    assert same_outcome(tmp_path / "straight", tmp_path / "halting")
    records = read_history(tmp_path / "halting" / "history.csv", 99)
    assert [(record["step"], record["epoch"]) for record in records] == [(0, 0), (3, 1), (6, 2), (9, 3)]
    assert (tmp_path / "halting" / "preprocessing.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_fp16_resumes_with_its_loss_scale(data: DataSet, tmp_path: Path) -> None:
    half = TINY.model_copy(update={"precision": "fp16"})
    train(data, tmp_path / "straight", half)
    with pytest.raises(Failure):
        train(data, tmp_path / "halting", half, listener=Fails(step=5))
    train(data, tmp_path / "halting", half, resume=True)
    assert same_outcome(tmp_path / "straight", tmp_path / "halting")


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


def test_a_training_without_progress_ends_early(data: DataSet, tmp_path: Path) -> None:
    still = PAPER.model_copy(update={"learning_rate": 1e-12, "patience": 2, "epochs": 9})
    train(data, tmp_path, still)
    records = read_history(tmp_path / "history.csv", 99)
    best = max(range(1, len(records)), key=lambda place: (records[place]["val_dice"], -place))
    assert len(records) == best + 3 < 10
    again = (tmp_path / "weights.safetensors").read_bytes()
    train(data, tmp_path, still, resume=True)
    assert read_history(tmp_path / "history.csv", 99) == records
    assert (tmp_path / "weights.safetensors").read_bytes() == again


def test_batches_made_by_workers_are_the_same(data: DataSet, straight: Path, tmp_path: Path) -> None:
    train(data, tmp_path, TINY, workers=2)
    assert same_outcome(tmp_path, straight)


def test_a_folder_in_use_needs_resume_and_the_same_recipe(
    data: DataSet, straight: Path, tmp_path: Path
) -> None:
    (tmp_path / "state.safetensors").write_bytes((straight / "state.safetensors").read_bytes())
    with pytest.raises(InputError, match="--resume"):
        train(data, tmp_path, TINY)
    with pytest.raises(SettingsConflict, match=r"other settings or data\. recipe\.seed: 0 → 1\."):
        train(data, tmp_path, TINY.model_copy(update={"seed": 1}), resume=True)


def test_a_training_can_be_continued_to_another_number_of_steps(
    data: DataSet, straight: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state.safetensors"
    state.write_bytes((straight / "state.safetensors").read_bytes())
    with pytest.raises(InputError, match="has done 6 steps, and 4 are planned"):
        train(data, tmp_path, TINY.model_copy(update={"steps": 4}), resume=True)
    train(data, tmp_path, TINY.model_copy(update={"steps": 8}), resume=True)
    train(data, tmp_path, TINY.model_copy(update={"steps": 9}), resume=True)
    card = read_card(tmp_path / "weights.safetensors")
    assert card.training["steps"] == 9
    assert card.training["planned before"] == "6 until step 6, 8 until step 8"


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


def test_a_loss_that_is_no_number_ends_the_training_with_a_sentence(data: DataSet, tmp_path: Path) -> None:
    wild = TINY.model_copy(update={"learning_rate": 1e30, "clip": 0.0, "warmup": 0.0})
    with pytest.raises(InputError, match="the training diverged"):
        train(data, tmp_path, wild)


@pytest.mark.gpu
def test_a_training_on_a_gpu_is_broken_off_and_resumed(data: DataSet, tmp_path: Path) -> None:
    for recipe in (TINY, PAPER):
        folder = tmp_path / recipe.task
        with pytest.raises(Stopped):
            train(data, folder, recipe, listener=Signals(signal.SIGTERM, step=4))
        weights = train(data, folder, recipe, resume=True)
        run = json.loads((folder / "train.json").read_text())
        assert run["precision"] in ("bf16", "fp32")
        assert "CPU" not in run["device"]
        assert all(np.isfinite(tensor).all() for tensor in load_weights(weights)[0].state_dict().values())


def test_thresholds_are_those_that_find_the_nuclei_best(data: DataSet) -> None:
    (sample,) = [load_sample(entry, NormaliseSettings()) for entry in data.split("val")]
    timid = np.stack([(sample.labels > 0) * 190, interior(sample.labels) * 120]).astype(np.uint8)
    timid[0][binary_dilation(sample.labels > 0, iterations=8) & (sample.labels == 0)] = 170
    chosen = fitting_thresholds([timid], [sample], ObjectSettings())
    assert 170 / 255 < chosen.foreground <= 190 / 255
    assert chosen.interior < 120 / 255


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


def test_a_second_training_in_the_folder_of_one_at_work_is_refused(data: DataSet, tmp_path: Path) -> None:
    class Second(SilentListener):
        refused = ""

        def step(self, done: int, loss: float, dice: float) -> None:
            with pytest.raises(RunLocked) as caught:
                train(data, tmp_path, TINY, resume=True)
            self.refused = str(caught.value)

    listener = Second()
    train(data, tmp_path, TINY.model_copy(update={"steps": 1}), listener=listener)
    assert f"{tmp_path} is in use by process {os.getpid()}" in listener.refused


@pytest.mark.parametrize("resume", [False, True])
def test_weights_without_a_state_are_not_replaced(
    data: DataSet, straight: Path, tmp_path: Path, resume: bool
) -> None:
    kept = (straight / "weights.safetensors").read_bytes()
    (tmp_path / "weights.safetensors").write_bytes(kept)
    with pytest.raises(
        InputError, match=r"holds weights\.safetensors, but no state that a training could continue from"
    ):
        train(data, tmp_path, TINY, resume=resume)
    assert (tmp_path / "weights.safetensors").read_bytes() == kept


def test_a_runs_folder_is_no_place_for_a_training(data: DataSet, tmp_path: Path) -> None:
    RunFolder(tmp_path / "run").create()
    with pytest.raises(InputError, match="is the output of a run: name another folder"):
        train(data, tmp_path / "run", TINY)


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
