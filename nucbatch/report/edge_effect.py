"""The edge effect: whether wells at the plate's edge differ from those inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FEWEST = 3  # wells on each side


@dataclass(frozen=True, slots=True)
class EdgeEffect:
    """Medians of the outer and the inner wells, and how clearly they differ.

    ``delta`` is Cliff's: the share of pairs in which the outer well is higher, minus the share in which it is
    lower. ``p`` is that of the two-sided Mann-Whitney test. ``outer_wells``, ``inner_wells``: their numbers.
    """

    outer_median: float
    inner_median: float
    delta: float
    p: float
    outer_wells: int
    inner_wells: int


def edge_effect(values: NDArray[np.float64], outer: NDArray[np.bool_]) -> EdgeEffect | None:
    """Compares the values (W,) of outer wells with the others; None with fewer than three on a side.

    >>> values = np.array([9, 9, 8, 8, 1, 2, 1, 3.0])
    >>> found = edge_effect(values, np.arange(8) < 4)
    >>> found.outer_median, found.inner_median, found.delta
    (8.5, 1.5, 1.0)
    """
    known = np.isfinite(values)
    edge, inside = values[known & outer], values[known & ~outer]
    if min(len(edge), len(inside)) < FEWEST:
        return None
    tested = stats.mannwhitneyu(edge, inside)
    delta = 2 * float(tested.statistic) / (len(edge) * len(inside)) - 1
    medians = float(np.median(edge)), float(np.median(inside))
    return EdgeEffect(*medians, delta, float(tested.pvalue), len(edge), len(inside))
