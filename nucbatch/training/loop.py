"""The training itself, from top to bottom.

On a CPU deterministic from the recipe's seed, on one kind of machine with one number of threads; resumable,
because a state holds all that a step depends on. On a GPU a resumed training goes on from the same state, but
the last bits of its sums are not promised.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import nn
from torch.optim import AdamW

from nucbatch.core.errors import InputError
from nucbatch.core.signals import Stopped, StopSignal
from nucbatch.networks.checkpoint import as_stored, load_weights, read_card, save_weights
from nucbatch.store.folder import RunFolder
from nucbatch.store.lock import run_lock
from nucbatch.training.card import weights_card, write_run_card
from nucbatch.training.data import DataSet
from nucbatch.training.feed import feed, suitable_workers
from nucbatch.training.history import Record
from nucbatch.training.monitor import Course
from nucbatch.training.parallel import Team, team
from nucbatch.training.precision import Precision
from nucbatch.training.recipe import Recipe
from nucbatch.training.schedule import length_of, rate_factor
from nucbatch.training.start import first_network
from nucbatch.training.state import State, load_state, save_state
from nucbatch.training.task import task_of


class Watcher(Protocol):
    """Who is told how a training goes; only in the process that leads."""

    def begins(self, done: int, steps: int) -> None:
        """So many steps are done already, of so many."""
        ...

    def step(self, done: int, loss: float, dice: float) -> None:
        """A step is done."""
        ...

    def scored(self, record: Record) -> None:
        """The history has a new line."""
        ...


class Nobody:
    """A watcher that says nothing."""

    def begins(self, done: int, steps: int) -> None: ...

    def step(self, done: int, loss: float, dice: float) -> None: ...

    def scored(self, record: Record) -> None: ...


def train(
    data: DataSet,
    folder: Path,
    recipe: Recipe,
    *,
    start: Path | None = None,
    resume: bool = False,
    test: bool = False,
    device: str = "auto",
    workers: int | None = None,
    name: str = "",
    command: Sequence[str] = (),
    watcher: Watcher | None = None,
) -> Path:
    """Trains a network and returns the path of its weights, ``folder/weights.safetensors``.

    The folder also gets ``state.safetensors`` (to resume), ``best.safetensors``, ``history.csv``,
    ``history.png`` and ``train.json``. With ``resume`` an earlier state in the folder is gone on from.
    ``history.csv`` begins with the scores of the weights to begin with, at step 0.
    ``start`` is a weight file to begin with, for which the recipe was adopted. ``test`` also scores the test
    split, once, at the end. ``device`` is auto, cpu or cuda; ``workers`` make batches beside the training
    (None: as suits the device). ``name`` is the model's on its card; by default it is made of the data sets'
    names and the recipe's. Under torchrun all processes call this alike.

    Raises:
        InputError: no training images; a state is there and ``resume`` was not asked for, or weights without
            a state; the folder is a run's; no such device; the loss is no longer a number.
        RunLocked: another training is at work in the folder.
        SettingsConflict: the state there was made by another recipe or other data.
        Stopped: a signal asked the training to leave; its state is saved.
    """
    with team(device, recipe.batch) as members:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one_in(folder) if members.leads else nullcontext():
            return _train(
                *(data, folder, recipe, start, resume, test, members, workers, name, command),
                watcher or Nobody(),
            )


def _train(
    data: DataSet,
    folder: Path,
    recipe: Recipe,
    start: Path | None,
    resume: bool,
    test: bool,
    members: Team,
    workers: int | None,
    name: str,
    command: Sequence[str],
    watcher: Watcher,
) -> Path:
    kept, weights = folder / "state.safetensors", folder / "weights.safetensors"
    if kept.exists() and not resume:
        raise InputError(f"{folder} already holds a training. Add --resume to go on, or name another folder.")
    there = [path.name for path in (weights, folder / "best.safetensors") if path.exists()]
    if there and not kept.exists():
        raise InputError(
            f"{folder} holds {' and '.join(there)}, but no state of a training that could go on: name "
            "another folder, so that they are not replaced."
        )
    start_card = None if start is None else read_card(start)
    task = task_of(recipe, data, start_card)
    length = length_of(recipe, task.steps_per_epoch)
    card_of = partial(
        weights_card, recipe, data, name=name, start=start_card, diameter_px=task.nucleus_diameter_px
    )

    _be_repeatable(members.device)
    network = first_network(recipe, start).to(members.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network).requires_grad_(False)
    optimiser = AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    state = State(network, average, optimiser, Precision(recipe.precision, members.device))
    identity = json.dumps(
        {
            "recipe": recipe.model_dump(mode="json"),
            "data": data.sha256,
            "start": start_card.sha256 if start_card else "",
            "processes": members.size,
        },
        sort_keys=True,
    )
    if kept.exists():
        load_state(kept, state, identity)
    course = Course(
        folder,
        task,
        recipe,
        length,
        lambda steps, objects, scores: card_of(steps=steps, objects=objects, scores=scores),
        watcher.scored,
    )
    joined = members.joined(network)
    began = time.monotonic() - state.seconds
    if members.leads:
        course.go_on(state)
        task.draw(folder)
        watcher.begins(state.done, length.steps)
        course.score(state)  # a state is saved before its scoring, which may not have come to its end
    over = members.highest(course.is_exhausted())

    workers = suitable_workers(members.device, members.size) if workers is None else workers
    with StopSignal() as notice:
        for batch in feed(task, state.done, state.done if over else length.steps, workers):
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * rate_factor(state.done, length.steps, recipe)
            pictures = members.share(batch)
            logits = state.precision.forward(joined, pictures.images)  # (N, outputs, H, W)
            loss, dice = task.loss(logits, pictures)
            state.precision.step(loss, network, optimiser, recipe.clip)
            state.done += 1
            follow(average, network, min(recipe.average, state.done / (9 + state.done)))
            loss_value, dice = members.mean(loss.item()), members.mean(dice)
            _check(loss_value, state.done, recipe)
            state.tally.add(loss_value, dice)

            asked = int(members.highest(notice.signal))
            due = length.is_due(state.done)
            if members.leads:
                watcher.step(state.done, loss_value, dice)
                if asked or due or state.done % recipe.checkpoint_every == 0:
                    state.seconds = time.monotonic() - began
                    save_state(kept, state, identity)
            if asked:
                raise Stopped(asked, state.done, "steps")
            if due:
                if members.leads:
                    course.score(state)
                if members.highest(course.is_exhausted()):
                    break
    members.check_agreement(network)
    if not members.leads:
        return weights

    steps = state.done
    if recipe.keep == "best" and course.best.is_file():
        chosen, best_card = load_weights(course.best)
        average.load_state_dict(chosen.state_dict())
        steps = int(best_card.training["steps"])
    if start is not None and recipe.kept_of_start:
        follow(average, load_weights(start)[0].to(members.device), 1 - recipe.kept_of_start)
    objects, scores = task.finish(as_stored(average), test=test)
    state.seconds = time.monotonic() - began
    card = save_weights(weights, average, card_of(steps=steps, objects=objects, scores=scores))
    write_run_card(folder / "train.json", recipe, data, card, state, length, members, command)
    return weights


@contextmanager
def _only_one_in(folder: Path) -> Iterator[None]:
    """Holds the folder's lock, the same as a run's.

    Raises:
        InputError: the folder is a run's.
        RunLocked: another process holds it.
    """
    place = RunFolder(folder)
    if place.is_run():
        raise InputError(f"{folder} is a run's folder: name another one for the training.")
    place.hidden.mkdir(exist_ok=True)
    with run_lock(place):
        yield


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Moves the average's numbers (normalisation statistics too) towards the network's."""
    for mean, value in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _be_repeatable(device: torch.device) -> None:
    """On a CPU the same sums in the same order; on a GPU the fastest algorithms, whose order may vary."""
    torch.use_deterministic_algorithms(device.type == "cpu")
    torch.backends.cudnn.benchmark = device.type == "cuda"


def _check(loss: float, step: int, recipe: Recipe) -> None:
    if not math.isfinite(loss):
        raise InputError(
            f"the loss is {loss} at step {step}: the training ran away at a rate of {recipe.learning_rate} "
            f"and precision {recipe.precision}. Look for damaged images, or use --precision fp32."
        )
