"""A training that is killed, stopped or refused: nothing is lost, and its end is the same."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from tiny_training import PAPER, TINY, Fails, Failure, Signals, same_outcome

from nucbatch.core.errors import InputError, RunLocked, SettingsConflict
from nucbatch.core.signals import Stopped
from nucbatch.networks.checkpoint import load_weights, read_card
from nucbatch.store.run_folder import RunFolder
from nucbatch.training.data import DataSet
from nucbatch.training.history import read_history, write_history
from nucbatch.training.listener import SilentListener
from nucbatch.training.loop import train
from nucbatch.training.recipe import Recipe


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
