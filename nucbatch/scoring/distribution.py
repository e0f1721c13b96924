"""Histograms of figures over images: 20 bins from 0 to 1, for all images and for each group.

Bars count images, relative to the tallest bar of the row, because groups differ in size. The median is shown
as a line and a number. Images in which the figure is undefined are left out and counted.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from nucbatch.scoring.table import ScoreTable

FIGURES: tuple[tuple[str, str], ...] = (
    ("pixel_f1", "Pixel F1"),
    ("object_f1_50", "Object F1 at IoU 0.5"),
    ("mean_ap", "Mean AP"),
    ("pq", "PQ"),
)
BINS = 20
MOST_ROWS = 12


@dataclass(frozen=True, slots=True)
class Spread:
    """The histogram of one figure in one row.

    ``bars``: number of images in each of ``BINS`` bins. ``median`` is NaN if the figure is defined in no
    image. ``undefined``: number of images in which it is not defined.
    """

    bars: tuple[int, ...]
    median: float
    undefined: int

    @property
    def fullest(self) -> int:
        """The count of the tallest bar, at least 1."""
        return max(1, *self.bars)


@dataclass(frozen=True, slots=True)
class SpreadRow:
    """A group's name, its number of images, and its histogram for each of ``FIGURES``."""

    name: str
    images: int
    spreads: tuple[Spread, ...]


def spread_rows(tables: Mapping[str, ScoreTable]) -> list[SpreadRow]:
    """A row per table in the given order; of more than ``MOST_ROWS`` tables, those with the most images."""
    most = sorted(tables, key=lambda name: -len(tables[name].rows))[:MOST_ROWS]
    rows = []
    for name in (name for name in tables if name in most):
        figures = [row.figures() for row in tables[name].rows]
        spreads = tuple(spread([one[figure] for one in figures]) for figure, _ in FIGURES)
        rows.append(SpreadRow(name, len(figures), spreads))
    return rows


def spread(values: list[float]) -> Spread:
    """The histogram of values from 0 to 1 (1 falls into the last bin); NaN is undefined."""
    defined = [value for value in values if not math.isnan(value)]
    bars = [0] * BINS
    for value in defined:
        bars[min(int(value * BINS), BINS - 1)] += 1
    median = statistics.median(defined) if defined else math.nan
    return Spread(tuple(bars), median, len(values) - len(defined))
