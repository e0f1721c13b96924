"""What a network is taught and how it is judged: batches, loss and scores that belong together.

The one place where a recipe's ``task`` becomes code. A new one is a class with these members and a line here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from nucbatch.core.settings import ObjectSettings
from nucbatch.networks.checkpoint import Card
from nucbatch.training.data import DataSet
from nucbatch.training.nuclei import NucleiTask
from nucbatch.training.paper import PaperTask
from nucbatch.training.recipe import Recipe


class Pictures(Protocol):
    """A batch: a dataclass of tensors (N, …), among them the network's input (N, 3, H, W) in [0, 1]."""

    @property
    def images(self) -> Tensor: ...


class Task(Protocol):
    """Images with labels, as something to learn.

    ``steps_per_epoch``: about one pass over the training split. ``criterion``: the history's column that the
    best weights have the highest of. ``nucleus_diameter_px``: typical, as the network sees nuclei.
    """

    criterion: str

    @property
    def steps_per_epoch(self) -> int: ...

    @property
    def nucleus_diameter_px(self) -> float | None: ...

    def batch(self, step: int) -> Pictures:
        """The batch of a step: a pure function of the recipe's seed, the step and the data."""
        ...

    def loss(self, logits: Tensor, batch: Any) -> tuple[Tensor, float]:
        """Loss (scalar, with gradient) of logits (N, outputs, H, W), and the foreground's Dice."""
        ...

    def score(self, network: nn.Module, *, fit: bool) -> tuple[ObjectSettings, dict[str, float]]:
        """How to make nuclei of the network's maps, and the history's columns of the validation split.

        There are no columns without a validation split. They are what weights with these settings give.
        ``fit``: whether the settings are fitted to the network, if the recipe has them fitted; else they are
        those of the weights to begin with, or the general ones.
        """
        ...

    def finish(self, network: nn.Module, *, test: bool) -> tuple[ObjectSettings, dict[str, float]]:
        """How to make nuclei of the finished network's maps, and its scores, each named with its split."""
        ...

    def draw(self, folder: Path) -> None:
        """Pictures of the data, before the first step."""
        ...


def task_of(recipe: Recipe, data: DataSet, start: Card | None = None) -> Task:
    """The task a recipe names. ``start``: the card of the weights to go on from.

    Raises:
        InputError: the data has no images to learn from.
    """
    if recipe.task == "paper":
        return PaperTask(data, recipe)
    return NucleiTask(data, recipe, start.objects if start else None)
