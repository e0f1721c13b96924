"""The edge effect: whether wells at the plate's edge differ from those inside."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FEWEST = 3  # wells on each side
_MOST_EXACT = 8  # wells on one side, up to which the test is exact if no two values are the same


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
    ordered = np.sort(inside)
    below, to = (int(np.searchsorted(ordered, edge, side).sum()) for side in ("left", "right"))
    delta = (below + to) / (len(edge) * len(inside)) - 1
    medians = float(np.median(edge)), float(np.median(inside))
    return EdgeEffect(*medians, delta, _p(edge, inside, (below + to) / 2), len(edge), len(inside))


def _p(edge: NDArray[np.float64], inside: NDArray[np.float64], u: float) -> float:
    """Two-sided p of the Mann-Whitney test for its statistic U; as ``scipy.stats.mannwhitneyu``.

    That is not used because loading ``scipy.stats`` takes half a second of processor time in every run.
    """
    few, many = sorted((len(edge), len(inside)))
    pairs, wells = few * many, few + many
    u = max(u, pairs - u)
    repeats = np.unique(np.concatenate([edge, inside]), return_counts=True)[1].astype(np.float64)
    if few <= _MOST_EXACT and len(repeats) == wells:
        ways = _ways(few, many)
        return min(1.0, 2 * float(ways[: pairs - int(u) + 1].sum() / ways.sum()))
    ties = float((repeats**3 - repeats).sum()) / (wells * (wells - 1))
    spread = math.sqrt(pairs / 12 * (wells + 1 - ties))
    # Half a pair towards the mean, because U is discrete and the normal distribution is not.
    return math.erfc((u - pairs / 2 - 0.5) / (spread * math.sqrt(2))) if spread and u > pairs / 2 else 1.0


@lru_cache(maxsize=16)
def _ways(few: int, many: int) -> NDArray[np.float64]:
    """Numbers of orders (``few * many + 1``,) of two groups without ties, by the statistic U.

    They are the coefficients of the Gaussian binomial.
    """
    ways = np.zeros(few * many + 1)
    ways[0] = 1
    for group in range(1, few + 1):  # times (1 - q^(many + group)) / (1 - q^group)
        ways[many + group :] -= ways[: -(many + group)].copy()
        for first in range(group):
            ways[first::group] = np.cumsum(ways[first::group])
    return ways
