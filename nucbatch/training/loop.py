"""The training itself, from top to bottom.

Deterministic from the recipe's seed on one kind of machine with one number of threads; resumable, because a
state holds all that a step depends on.
"""

from __future__ import annotations

import copy
import json
import math
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW

from nucbatch.errors import InputError
from nucbatch.networks.checkpoint import Card, save_weights
from nucbatch.networks.contract import build, count_parameters
from nucbatch.settings import ObjectSettings
from nucbatch.training.augment import BatchSettings, make_batch
from nucbatch.training.data import DataSet, Sample, load_sample, sampling_weights
from nucbatch.training.history import Record, draw_history, read_history, write_history
from nucbatch.training.loss import loss_and_dice
from nucbatch.training.recipe import Recipe
from nucbatch.training.state import load_state, save_state
from nucbatch.training.targets import typical_diameter
from nucbatch.training.validate import fitting_thresholds, predict_samples, score_maps, validate

Progress = Callable[[int, float, float], None]
"""Called after each step with (steps done, loss, Dice)."""


def train(
    data: DataSet, folder: Path, recipe: Recipe, *, resume: bool = False, progress: Progress | None = None
) -> Path:
    """Trains a network and returns the path of its weights, ``folder/weights.safetensors``.

    The folder also gets ``state.safetensors`` (to resume), ``history.csv``, ``history.png`` and
    ``train.json``. With ``resume`` an earlier state in the folder is gone on from.

    Raises:
        InputError: no training images; or a state is there and ``resume`` was not asked for.
        SettingsConflict: the state there was made by another recipe or other data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state, history = folder / "state.safetensors", folder / "history.csv"
    if state.exists() and not resume:
        raise InputError(f"{folder} already holds a training. Add --resume to go on, or name another folder.")
    samples = [load_sample(entry, recipe.normalise) for entry in data.split("train")]
    held_out = [load_sample(entry, recipe.normalise) for entry in data.split("val")]
    if not samples:
        raise InputError("the data has no images in the train split: there is nothing to learn from.")

    torch.manual_seed(recipe.seed)
    torch.use_deterministic_algorithms(True)
    config = {"in_channels": 3, "outputs": 2, "width": recipe.width, "depth": recipe.depth}
    network = build(recipe.architecture, config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network).requires_grad_(False)
    optimiser = AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    batches = BatchSettings(size=recipe.batch, crop_px=recipe.crop_px)
    chances = sampling_weights(samples)
    identity = json.dumps({"recipe": recipe.model_dump(mode="json"), "data": data.sha256}, sort_keys=True)
    done = load_state(state, network, average, optimiser, identity) if state.exists() else 0
    records = read_history(history, done)

    losses: list[float] = []
    dices: list[float] = []
    network.train()
    for step in range(done, recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * rate_factor(step, recipe)
        batch = make_batch(samples, chances, batches, recipe.normalise, seed=recipe.seed, step=step)
        logits = network(batch.images.contiguous(memory_format=torch.channels_last))  # (N, 2, H, W)
        loss, dice = loss_and_dice(logits, batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        follow(average, network, min(recipe.average, (1 + step) / (10 + step)))
        losses.append(loss.item())
        dices.append(dice)
        if progress is not None:
            progress(step + 1, losses[-1], dice)
        if (step + 1) % recipe.score_every == 0 or step + 1 == recipe.steps:
            records.append(_record(step + 1, losses, dices, average, held_out))
            losses, dices = [], []
            write_history(history, records)
            draw_history(folder / "history.png", records)
            save_state(state, network, average, optimiser, step + 1, identity)
    return _finish(folder, recipe, data, average, samples, held_out)


def rate_factor(step: int, recipe: Recipe) -> float:
    """Learning rate at a step as a fraction of the highest: a linear rise, then a cosine to zero."""
    rising = max(1, round(recipe.warmup * recipe.steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, recipe.steps - rising)))


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Moves the average's numbers (normalisation statistics too) towards the network's."""
    for mean, value in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _record(
    step: int, losses: list[float], dices: list[float], average: nn.Module, held_out: list[Sample]
) -> Record:
    figures = validate(average, held_out, ObjectSettings()).figures() if held_out else {}
    nothing = float("nan")
    return Record(
        step,
        round(float(np.mean(losses)), 5),
        round(float(np.mean(dices)), 5),
        figures.get("pixel F1", nothing),
        figures.get("pixel IoU", nothing),
        figures.get("object F1 at 0.5", nothing),
        figures.get("mean AP 0.5-0.95", nothing),
    )


def _finish(
    folder: Path,
    recipe: Recipe,
    data: DataSet,
    average: nn.Module,
    samples: list[Sample],
    held_out: list[Sample],
) -> Path:
    """Writes the weights with their card, and the run card. Thresholds are those that suit val best."""
    objects, scores = ObjectSettings(), {}
    if held_out:
        predicted = predict_samples(average, held_out)
        objects = fitting_thresholds(predicted, held_out, objects)
        scores = score_maps(predicted, held_out, objects).figures()
    every, trainable = count_parameters(average)
    card = Card(
        name=recipe.name,
        architecture=recipe.architecture,
        config={"in_channels": 3, "outputs": 2, "width": recipe.width, "depth": recipe.depth},
        normalise=recipe.normalise,
        objects=objects,
        nucleus_diameter_px=round(float(np.nanmedian([typical_diameter(s.labels) for s in samples])), 1),
        data=f"{len(samples)} training images, {len(held_out)} for validation",
        data_sha256=data.sha256,
        training={
            "steps": recipe.steps,
            "batch": recipe.batch,
            "crop_px": recipe.crop_px,
            "seed": recipe.seed,
        },
        scores={f"val {name}": value for name, value in scores.items()},
    )
    weights = folder / "weights.safetensors"
    card = save_weights(weights, average, card)
    report = {
        "recipe": recipe.model_dump(mode="json"),
        "card": card.model_dump(mode="json"),
        "parameters": {"all": every, "trainable": trainable},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "threads": torch.get_num_threads(),
    }
    (folder / "train.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return weights
