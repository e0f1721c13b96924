"""Describes a training: the card inside the weights, and the run card ``train.json`` beside them.

The weights' card holds what decides the weights, so that the same training gives the same bytes. Time,
machine and versions differ from run to run and stand in ``train.json`` alone.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from nucbatch.core.settings import ObjectSettings
from nucbatch.networks.contract import count_parameters
from nucbatch.networks.model_card import Card
from nucbatch.store.atomic import write_text
from nucbatch.training.data import DataSet
from nucbatch.training.processes import ProcessGroup
from nucbatch.training.recipe import PRESETS, Recipe
from nucbatch.training.schedule import Length
from nucbatch.training.state import State
from nucbatch.version import __version__

_PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "kornia", "safetensors")
_FOUND = ("pixel F1", "val_pixel_f1", "val_dice")
"""Ends of the names of scores that are 0 where no true pixel is found."""
_LONGEST_NAME = 200


def weights_card(
    recipe: Recipe,
    data: DataSet,
    *,
    name: str,
    steps: int,
    replanned: Sequence[tuple[int, int]] = (),
    start: Card | None,
    teachers: Sequence[Card] = (),
    diameter_px: float | None,
    objects: ObjectSettings,
    scores: dict[str, float],
) -> Card:
    """The card of the weights after a number of steps.

    Scores that are not finite are left out.

    Args:
        recipe: the training's settings.
        data: the data set that was trained on.
        name: of the model; if empty, it is made from the names of the data sets and the recipe.
        steps: optimiser steps taken.
        replanned: steps at which the training was resumed with another number of steps, and the number
            planned until then.
        start: card of the initial weights, None if they were random.
        teachers: cards of the networks whose maps were learnt beside the labels.
        diameter_px: typical diameter of the nuclei, as the network sees them.
        objects: the thresholds that turn maps into nuclei.
        scores: figures by name.
    """
    training: dict[str, str | int | float] = {
        "preset": recipe.name,
        "steps": steps,
        "batch": recipe.batch,
        "crop_px": recipe.crop_px,
        "seed": recipe.seed,
    }
    if recipe.epochs is not None:
        training["epochs"] = recipe.epochs
    changed = recipe.differences(as_shipped(recipe, start))
    if changed:
        training["differs from the preset"] = changed
    if replanned:
        training["planned before"] = ", ".join(f"{plan} until step {step}" for step, plan in replanned)
    if data.predicted:
        training["predictions as labels"] = f"{data.predicted} of {len(data.entries)} images"
    if start is not None:
        training["from"] = f"{start.name} {start.sha256[:12]}"
    if teachers:
        training["teachers"] = ", ".join(f"{card.name} {card.sha256[:12]}" for card in teachers)
    finite = {figure: value for figure, value in scores.items() if math.isfinite(value)}
    if any(figure.endswith(_FOUND) and value == 0 for figure, value in finite.items()):
        training["warning"] = "finds no nuclei on the images it was scored on"
    return Card(
        name=name or f"{'+'.join(data.sets) or 'unnamed'}-{recipe.name}".replace("/", "_")[-_LONGEST_NAME:],
        architecture=recipe.architecture,
        config=recipe.config,
        outputs=recipe.outputs,
        normalise=recipe.normalise,
        objects=objects,
        pixel_size_um=start.pixel_size_um if start else None,
        nucleus_diameter_px=diameter_px,
        data=f"{len(data.split('train'))} training images, {len(data.split('val'))} for validation",
        data_sha256=data.sha256,
        data_sets=dict(data.sets),
        training=training,
        scores=finite,
    )


def as_shipped(recipe: Recipe, start: Card | None) -> Recipe:
    """The preset with the recipe's name, adapted to the initial weights.

    The recipe itself if no preset has its name.
    """
    named = PRESETS.get(recipe.name, recipe)
    if start is None:
        return named
    kept = {
        name: getattr(recipe, name) for name in ("architecture", "width", "depth", "outputs", "normalise")
    }
    return named.model_copy(update=kept)


def write_run_card(
    path: Path,
    recipe: Recipe,
    data: DataSet,
    card: Card,
    state: State,
    length: Length,
    team: ProcessGroup,
    command: Sequence[str],
) -> None:
    """Writes ``train.json``: data, splits, seed, recipe, card, versions, machine, command and time taken."""
    every, trainable = count_parameters(state.network)
    cuda = team.device.type == "cuda"
    report: dict[str, Any] = {
        "data": {
            "sha256": data.sha256,
            "sets": dict(data.sets),
            "images": {name: len(data.split(name)) for name in ("train", "val", "test")},
        },
        "seed": recipe.seed,
        "steps": {"done": state.done, "planned": length.steps, "scored every": length.score_every},
        "recipe": recipe.model_dump(mode="json"),
        "card": card.model_dump(mode="json"),
        "parameters": {"all": every, "trainable": trainable},
        "versions": {
            "nucbatch": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES if _is_installed(name)},
        },
        "device": torch.cuda.get_device_name(team.device) if cuda else platform.machine() + " CPU",
        "precision": state.precision.name,
        "processes": team.size,
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "command": list(command),
        "seconds": round(state.seconds, 1),
    }
    write_text(path, json.dumps(report, indent=2, allow_nan=False) + "\n")


def _is_installed(package: str) -> bool:
    from importlib.metadata import PackageNotFoundError

    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
