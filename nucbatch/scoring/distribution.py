"""How images spread over a figure: bars over twentieths from 0 to 1, for all images and for each group.

Decided here: counts of images, drawn relative to each row's fullest bar, because groups differ in size; the
median stands as a line and a number. Images in which the figure is undefined are left out and counted.
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
    """One row's bars for one figure. ``bars`` has ``BINS`` numbers of images; ``median`` is NaN if none."""

    bars: tuple[int, ...]
    median: float
    undefined: int

    @property
    def fullest(self) -> int:
        """The most images in one bar, at least 1."""
        return max(1, *self.bars)


@dataclass(frozen=True, slots=True)
class SpreadRow:
    """A group's name, its number of images, and its spread over each of ``FIGURES``."""

    name: str
    images: int
    spreads: tuple[Spread, ...]


def spread_rows(tables: Mapping[str, ScoreTable]) -> list[SpreadRow]:
    """A row per table in the order given; of more than ``MOST_ROWS`` those with the most images."""
    most = sorted(tables, key=lambda name: -len(tables[name].rows))[:MOST_ROWS]
    rows = []
    for name in (name for name in tables if name in most):
        figures = [row.figures() for row in tables[name].rows]
        spreads = tuple(spread([one[figure] for one in figures]) for figure, _ in FIGURES)
        rows.append(SpreadRow(name, len(figures), spreads))
    return rows


def spread(values: list[float]) -> Spread:
    """Bars of values from 0 to 1 (1 itself falls into the last); NaN is undefined."""
    defined = [value for value in values if not math.isnan(value)]
    bars = [0] * BINS
    for value in defined:
        bars[min(int(value * BINS), BINS - 1)] += 1
    median = statistics.median(defined) if defined else math.nan
    return Spread(tuple(bars), median, len(values) - len(defined))
