"""The training loop, to be read from top to bottom.

On a CPU a training is deterministic given the recipe's seed, the kind of machine and the number of threads.
It can be resumed, because the saved state holds everything that a step depends on. On a GPU a resumed
training continues from the same state, but sums may differ in their last bits.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from nucbatch.core.errors import InputError
from nucbatch.core.log_file import SHOWN
from nucbatch.core.signals import Stopped, StopSignal
from nucbatch.networks.checkpoint import as_stored, load_weights, read_card, save_weights
from nucbatch.store.lock import run_lock
from nucbatch.store.run_folder import RunFolder
from nucbatch.training.batch_loader import default_workers, load_batches
from nucbatch.training.card import weights_card, write_run_card
from nucbatch.training.data import DataSet
from nucbatch.training.history import read_history
from nucbatch.training.initial_weights import initial_network
from nucbatch.training.listener import Listener, SilentListener
from nucbatch.training.log import LoggedListener, training_log
from nucbatch.training.monitor import TrainingMonitor
from nucbatch.training.precision import Precision
from nucbatch.training.processes import ProcessGroup, process_group
from nucbatch.training.recipe import Recipe
from nucbatch.training.schedule import length_of, rate_factor
from nucbatch.training.state import State, load_state, save_state
from nucbatch.training.task import ImageBatch, Task, task_of
from nucbatch.training.teachers import Teachers
from nucbatch.training.verdict import verdict

_log = logging.getLogger(__name__)


def train(
    data: DataSet,
    folder: Path,
    recipe: Recipe,
    *,
    start: Path | None = None,
    teachers: Sequence[Path] = (),
    resume: bool = False,
    test: bool = False,
    device: str = "auto",
    workers: int | None = None,
    name: str = "",
    command: Sequence[str] = (),
    listener: Listener | None = None,
) -> Path:
    """Trains a network and returns the path of its weights, ``folder/weights.safetensors``.

    The folder also gets ``state.safetensors`` (to resume), ``best.safetensors``, ``history.csv``,
    ``history.png``, ``train.json`` and ``train.log``. ``history.csv`` begins with the scores of the initial
    weights, at step 0. Under torchrun all processes call this function with the same arguments.

    Args:
        data: the checked data set.
        folder: where the results are written.
        recipe: the settings; adapted to ``start`` if that is given.
        start: weight file to start from; None for random weights.
        teachers: weight files of networks whose maps are learnt beside the labels.
        resume: whether to continue from a state that the folder holds.
        test: whether to score the test split too, once, at the end.
        device: auto, cpu or cuda.
        workers: processes that make batches beside the training; None for a number that suits the device.
        name: of the model on its card; if empty, made from the names of the data sets and the recipe.
        command: the command line, for ``train.json``.
        listener: receives the progress.

    Raises:
        InputError: there are no training images; a teacher doesn't fit the recipe; the folder holds a state
            and ``resume`` is False, or weights without a state; the folder is a run's; there is no such
            device; the loss is not finite.
        RunLocked: another training is running in the folder.
        SettingsConflict: the state there belongs to another recipe or other data.
        Stopped: a signal asked the training to stop; its state is saved.
    """
    with process_group(device, recipe.batch) as group:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            if group.is_main:
                stack.enter_context(_locked(folder))
                stack.enter_context(training_log(folder, data, recipe, group))
            return _train(
                *(data, folder, recipe, start, teachers, resume, test, group, workers, name, command),
                LoggedListener(listener or SilentListener()),
            )


def _train(
    data: DataSet,
    folder: Path,
    recipe: Recipe,
    start: Path | None,
    teachers: Sequence[Path],
    resume: bool,
    test: bool,
    group: ProcessGroup,
    workers: int | None,
    name: str,
    command: Sequence[str],
    listener: Listener,
) -> Path:
    kept, weights = folder / "state.safetensors", folder / "weights.safetensors"
    if kept.exists() and not resume:
        raise InputError(
            f"{folder} already holds a training. Add --resume to continue it, or name another folder."
        )
    there = [path.name for path in (weights, folder / "best.safetensors") if path.exists()]
    if there and not kept.exists():
        raise InputError(
            f"{folder} holds {' and '.join(there)}, but no state that a training could continue from: name "
            "another folder, so that they are not overwritten."
        )
    start_card = None if start is None else read_card(start)
    taught_by = Teachers(teachers, recipe, group.device) if teachers else None
    task = task_of(recipe, data, start_card, taught_by)
    length = length_of(recipe, task.steps_per_epoch)
    card_of = partial(
        weights_card,
        *(recipe, data),
        name=name,
        start=start_card,
        teachers=taught_by.cards if taught_by else (),
        diameter_px=task.nucleus_diameter_px,
    )

    _set_determinism(group.device)
    # torch's types know no memory format for to()
    network = initial_network(recipe, start).to(group.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network).requires_grad_(False)
    optimiser = AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    state = State(network, average, optimiser, Precision(recipe.precision, group.device), length.steps)
    identity = json.dumps(
        {
            "recipe": recipe.model_dump(mode="json", exclude={"steps", "epochs"}),
            "data": data.sha256,
            "start": start_card.sha256 if start_card else "",
            **({"teachers": [card.sha256 for card in taught_by.cards]} if taught_by else {}),
            "processes": group.size,
        },
        sort_keys=True,
    )
    if kept.exists():
        load_state(kept, state, identity)
    monitor = TrainingMonitor(
        folder,
        task,
        recipe,
        length,
        lambda steps, objects, scores: card_of(
            steps=steps, replanned=state.replanned, objects=objects, scores=scores
        ),
        listener.scored,
    )
    joined = group.joined(network)
    began = time.monotonic() - state.seconds
    if group.is_main:
        monitor.resume(state)
        task.draw(folder)
        listener.started(state.done, length.steps)
        # The state is saved before it is scored, and the scoring may have been interrupted.
        monitor.score(state)
    over = group.highest(monitor.should_stop())

    workers = default_workers(group.device, group.size) if workers is None else workers
    with StopSignal() as notice:
        for batch in load_batches(task, state.done, state.done if over else length.steps, workers):
            for parameters in optimiser.param_groups:
                parameters["lr"] = recipe.learning_rate * rate_factor(state.done, length.steps, recipe)
            pictures = group.share(batch)
            torch.manual_seed(_seed_of_step(recipe.seed, state.done))  # of dropout, if the network has any
            logits = state.precision.forward(joined, pictures.images)
            loss, dice = _loss(task, logits, pictures)
            state.precision.step(loss, network, optimiser, recipe.clip)
            state.done += 1
            update_average(average, network, min(recipe.average, state.done / (9 + state.done)))
            loss_value, dice = group.mean(loss.item()), group.mean(dice)
            _check(loss_value, state.done, recipe)
            state.tally.add(loss_value, dice)

            asked = int(group.highest(notice.signal))
            due = length.is_due(state.done)
            if group.is_main:
                listener.step(state.done, loss_value, dice)
                if asked or due or state.done % recipe.checkpoint_every == 0:
                    state.seconds = time.monotonic() - began
                    save_state(kept, state, identity)
            if asked:
                raise Stopped(asked, state.done, "steps")
            if due:
                if group.is_main:
                    monitor.score(state)
                if group.highest(monitor.should_stop()):
                    break
    group.check_agreement(network)
    if not group.is_main:
        return weights

    steps = state.done
    if recipe.keep == "best" and monitor.best.is_file():
        chosen, best_card = load_weights(monitor.best)
        average.load_state_dict(chosen.state_dict())
        steps = int(best_card.training["steps"])
    if start is not None and recipe.kept_of_start:
        update_average(average, load_weights(start)[0].to(group.device), 1 - recipe.kept_of_start)
    objects, scores = task.finish(as_stored(average), test=test)
    state.seconds = time.monotonic() - began
    card = save_weights(
        weights,
        average,
        card_of(steps=steps, replanned=state.replanned, objects=objects, scores=scores),
    )
    for sentence in verdict(card, read_history(folder / "history.csv", 0)):
        _log.warning(sentence, extra=SHOWN)
    write_run_card(folder / "train.json", recipe, data, card, state, length, group, command)
    return weights


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the folder's lock, which is the same as a run's.

    Raises:
        InputError: the folder is a run's.
        RunLocked: another process holds the lock.
    """
    place = RunFolder(folder)
    if place.is_run():
        raise InputError(f"{folder} is the output of a run: name another folder for the training.")
    place.hidden.mkdir(exist_ok=True)
    with run_lock(place):
        yield


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Moves the exponential moving average (parameters and normalisation statistics) towards the network."""
    for mean, value in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _seed_of_step(seed: int, step: int) -> int:
    return int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0])


def _loss(task: Task, logits: Tensor, batch: ImageBatch) -> tuple[Tensor, float]:
    """Loss and Dice of logits (N, outputs, H, W), or their means over (heads, N, outputs, H, W)."""
    if logits.ndim == 4:
        return task.loss(logits, batch)
    each = [task.loss(head, batch) for head in logits]
    return torch.stack([loss for loss, _ in each]).mean(), sum(dice for _, dice in each) / len(each)


def _set_determinism(device: torch.device) -> None:
    """Deterministic algorithms on a CPU; the fastest ones on a GPU, where the order of sums may vary."""
    torch.use_deterministic_algorithms(device.type == "cpu")
    torch.backends.cudnn.benchmark = device.type == "cuda"


def _check(loss: float, step: int, recipe: Recipe) -> None:
    if not math.isfinite(loss):
        raise InputError(
            f"the loss is {loss} at step {step}: the training diverged at a learning rate of "
            f"{recipe.learning_rate} and precision {recipe.precision}. Check for damaged images, or use "
            "--precision fp32."
        )
