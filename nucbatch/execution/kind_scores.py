"""Scores of a model in each numeric kind that this machine computes, for the model's card.

A run with ``--precision auto`` uses a kind only if these are close to those of float32.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import StoreError
from nucbatch.core.numeric_kind import FLOAT32
from nucbatch.core.settings import RunSettings
from nucbatch.execution.prepared import chosen
from nucbatch.inference.device import offer_here
from nucbatch.inference.queue import queue_of_process
from nucbatch.inference.scale import Scale
from nucbatch.inference.segment import require_image, segment_stack
from nucbatch.networks.checkpoint import read_card, save_with_card
from nucbatch.networks.model_card import Card
from nucbatch.scoring import ImageScore, ScoreTable, score_image

FIGURES = {
    "pixel F1": ("pooled", "pixel_f1"),
    "object F1 at 0.5": ("pooled", "object_f1_50"),
    "mean AP": ("averaged", "mean_ap"),
}
"""The compared figures, each with its total and its name in a table of scores."""

_DIGITS = 6


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image with its true labels, read when they are needed.

    ``image``: (Y, X) or (Y, X, 3). ``labels``: (Y, X). ``ignore``: (Y, X), not 0 where pixels don't count.
    ``groups``: names of the groups of images that it belongs to, besides all.
    """

    name: str
    image: Callable[[], NDArray[Any]]
    labels: Callable[[], NDArray[Any]]
    ignore: Callable[[], NDArray[Any]] | None
    groups: Collection[str] = ()


def kind_scores(
    weights: Path,
    images: Sequence[LabelledImage],
    all_are: str = "",
    progress: Callable[[str, int], None] = lambda kind, done: None,
) -> dict[str, dict[str, float]]:
    """Scores a model in each kind of this machine, float32 among them.

    Args:
        weights: the model's weight file.
        images: the images; groups are scored alone too.
        all_are: what all images are, such as "split=val"; begins the names of all figures.
        progress: called with the kind and the number of images that are done in it.

    Returns:
        The figures of each kind by name; those of a group begin with its name.

    Raises:
        InputError: an image can't be segmented or scored. WeightsError: the model can't be used.
    """
    groups = sorted({group for image in images for group in image.groups})
    scores: dict[str, dict[str, float]] = {}
    for kind in offer_here().kinds:
        rows: list[ImageScore] = []
        for image in images:
            found = _segmented(weights, kind, image.image())
            ignored = image.ignore() if image.ignore else None
            rows.append(score_image(image.name, image.labels(), found, ignored))
            progress(kind, len(rows))
        figures = _figures(rows)
        for group in groups:
            some = [row for row, image in zip(rows, images, strict=True) if group in image.groups]
            figures |= {f"{group} {name}": value for name, value in _figures(some).items()}
        scores[kind] = {f"{all_are} {name}".strip(): value for name, value in figures.items()}
    return scores


def write_kind_scores(weights: Path, scores: Mapping[str, dict[str, float]]) -> Card:
    """Writes scores of kinds into a model's card, and returns the card.

    Those of kinds of other machines stay, if float32 has the same scores as before: they were then measured
    on the same images.

    Raises:
        WeightsError: the model can't be read. StoreError: the file can't be written.
    """
    card = read_card(weights)
    kept = card.kinds if card.kinds.get(FLOAT32) == scores[FLOAT32] else {}
    card = card.model_copy(update={"kinds": {**kept, **scores}})
    try:
        save_with_card(weights, weights, card)
    except OSError as error:
        raise StoreError(f"{weights} can't be written: {error.strerror or error}.") from error
    return card


def _segmented(weights: Path, kind: str, image: NDArray[Any]) -> NDArray[np.uint32]:
    image = require_image(image)
    queue = queue_of_process(str(weights), kind=kind)
    settings = RunSettings()
    thresholds, normalisation = chosen(queue.card, settings)
    scale = Scale.of(queue.card, settings.model_copy(update={"normalise": normalisation}))
    return segment_stack(image, image.ndim == 3, queue, thresholds, normalisation, scale)


def _figures(rows: Sequence[ImageScore]) -> dict[str, float]:
    totals = ScoreTable(tuple(rows)).totals()
    return {name: round(totals[total][figure], _DIGITS) for name, (total, figure) in FIGURES.items()}
