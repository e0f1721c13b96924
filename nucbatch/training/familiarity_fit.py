"""Fits what a model calls familiar to the images that it was made with.

Figures come from the images and their true labels, so no network is needed. Examples are chosen one after
another, each the farthest from those chosen before, so that rare kinds have some.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.familiarity import FIGURES, Familiarity, distances
from nucbatch.inference.image_figures import figures_of_image
from nucbatch.training.data import Entry

FEWEST_IMAGES = 30
"""With fewer images nothing is called unfamiliar."""

_EXAMPLES = 100
_FAMILIAR = 0.99
_COLOUR_SPREAD = 0.25

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SeenImage:
    """An image that a model was made with: its group, and its figures (figures,)."""

    group: str
    figures: Floats


def seen_images(entries: Sequence[Entry]) -> list[SeenImage]:
    """Measures labelled images; those without nuclei are left out."""
    found = []
    for entry in entries:
        pixels = entry.source.read()
        figures = figures_of_image(pixels.image, pixels.labels)
        if figures is not None:
            found.append(SeenImage(entry.group or entry.name, figures))
    return found


def familiarity(images: Sequence[SeenImage]) -> Familiarity | None:
    """Fits examples and limit; None with too few images."""
    if len(images) < FEWEST_IMAGES:
        return None
    figures = np.array([one.figures for one in images])
    spreads = np.maximum(np.nanstd(figures, axis=0), 1e-3)
    spreads[FIGURES.index("colour")] = _COLOUR_SPREAD
    group = np.unique([one.group for one in images], return_inverse=True)[1]
    apart = distances(figures, figures, spreads)
    apart[group[:, np.newaxis] == group[np.newaxis]] = np.inf
    nearest = apart.min(axis=1)
    alone = np.isfinite(nearest)
    chosen = _spread_evenly(figures, spreads)
    limit = float(np.quantile(nearest[alone], _FAMILIAR)) if alone.any() else 1.0
    return Familiarity(
        spreads=_short(spreads),
        lows=_short(np.nanmin(figures, axis=0)),
        highs=_short(np.nanmax(figures, axis=0)),
        examples=tuple(
            tuple(None if np.isnan(value) else float(f"{value:.3g}") for value in row)
            for row in figures[chosen]
        ),
        limit=float(f"{limit:.4g}"),
    )


def _short(values: Floats) -> tuple[float, ...]:
    return tuple(float(f"{value:.4g}") for value in np.nan_to_num(values))


def _spread_evenly(figures: Floats, spreads: Floats) -> list[int]:
    """Returns the places of at most 100 images, each the farthest from those before it."""
    middle = np.nanmedian(figures, axis=0)[np.newaxis]
    chosen = [int(distances(figures, middle, spreads)[:, 0].argmin())]
    nearest = distances(figures, figures[chosen], spreads)[:, 0]
    while len(chosen) < min(_EXAMPLES, len(figures)) and nearest.max() > 0:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, distances(figures, figures[chosen[-1:]], spreads)[:, 0])
    return chosen
