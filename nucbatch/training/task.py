"""Training tasks: batches, loss and scores that belong together.

A recipe's ``task`` is resolved here and nowhere else. A new task is a class with the members of :class:`Task`
and a line in :func:`task_of`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from nucbatch.core.settings import ObjectSettings
from nucbatch.networks.model_card import Card
from nucbatch.training.data import DataSet
from nucbatch.training.nuclei_task import NucleiTask
from nucbatch.training.paper_task import PaperTask
from nucbatch.training.recipe import Recipe
from nucbatch.training.teachers import Teachers


class ImageBatch(Protocol):
    """A batch: a dataclass of tensors (N, …), among them the network's input (N, 3, H, W) in [0, 1]."""

    @property
    def images(self) -> Tensor: ...


class Task(Protocol):
    """A way to train a network on labelled images.

    ``steps_per_epoch``: steps of about one pass over the training split. ``criterion``: the history's column
    by which the best weights are chosen; higher is better. ``nucleus_diameter_px``: typical diameter as the
    network sees it.
    """

    criterion: str

    @property
    def steps_per_epoch(self) -> int: ...

    @property
    def nucleus_diameter_px(self) -> float | None: ...

    def batch(self, step: int) -> ImageBatch:
        """The batch of a step: a pure function of the recipe's seed, the step and the data."""
        ...

    def loss(self, logits: Tensor, batch: Any) -> tuple[Tensor, float]:
        """Loss (scalar, with gradient) of logits (N, outputs, H, W), and the foreground's Dice."""
        ...

    def score(self, network: nn.Module, *, fit: bool) -> tuple[ObjectSettings, dict[str, float]]:
        """Thresholds for the network's maps, and figures of the validation split for the history.

        The figures are computed with these thresholds; there are none without a validation split. ``fit``:
        whether the thresholds are fitted to the network, if the recipe says so; otherwise they are those of
        the initial weights, or the defaults.
        """
        ...

    def finish(self, network: nn.Module, *, test: bool) -> tuple[ObjectSettings, dict[str, float]]:
        """Thresholds for the finished network's maps, and its scores, each named with its split."""
        ...

    def draw(self, folder: Path) -> None:
        """Draws figures of the data into a folder, before the first step."""
        ...


def task_of(
    recipe: Recipe, data: DataSet, start: Card | None = None, teachers: Teachers | None = None
) -> Task:
    """The task that a recipe names. ``start``: card of the initial weights.

    Raises:
        InputError: the data has no training images.
    """
    if recipe.task == "paper":
        return PaperTask(data, recipe)
    return NucleiTask(data, recipe, start.objects if start else None, teachers)
