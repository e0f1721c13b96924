"""Ground and foreground of an image, from its grey levels alone: which levels become 0 and 1.

Percentiles of all pixels depend on how many of them are nuclei: with one nucleus in a field the brightest
0.2 % are noise. Here the ground is the narrowest range of levels that holds a fifth of all pixels, and its
width says how far noise reaches. What lies far above it is foreground, whose own 90th percentile sets the
upper value, however few pixels that are. All ranks are counted in integers, so the levels are the same
however an image was cut.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GROUND_SHARE = 5
"""The ground holds at least one pixel in this many: images of up to 60 % nuclei keep twice that."""
FAR = 10.0
"""Foreground lies this many standard deviations of the ground from it."""
FOREGROUND_PERCENT = 90
ABOVE = 1.33
"""How far above the ground 1 lies, as a multiple of that percentile's distance.

Nuclei differ in brightness; with this factor, a field full of them gets the same values as from its 99.8th
percentile (median of 553 training images).
"""
BELOW = 1.15
"""The same for a few dark nuclei on a bright ground."""
FEWEST_PX = 12
"""Fewer pixels than this, of the whole image, are hot or dead ones."""
_LOW_PERCENT = 1
_FEW_PER_MILLE = 25

_WIDTH_OF_SHARE = 2 * 0.25335
"""Standard deviations of a normal distribution that its middle fifth spans."""


def limits(levels: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[float, float]:
    """The levels that become 0 and 1 of an image with these pixels; both the same where nothing differs.

    Args:
        levels: (L,) the values that occur, ascending, each once.
        counts: (L,) how many pixels have each, at least 1.
    """
    if len(levels) == 1:
        return float(levels[0]), float(levels[0])
    total = np.cumsum(counts)
    pixels = int(total[-1])

    def at_rank(rank: int) -> float:
        return float(levels[np.searchsorted(total, min(pixels, max(1, rank)))])

    ground, sigma = _ground(levels, counts, total)
    bright = _far(levels - ground, counts, FAR * sigma)
    high = ground + ABOVE * bright[0] if bright[1] >= FEWEST_PX else at_rank(pixels - FEWEST_PX)
    dark = _far((ground - levels)[::-1], counts[::-1], FAR * sigma)
    few_are_dark = FEWEST_PX <= dark[1] < pixels * _FEW_PER_MILLE // 1000
    low = ground - BELOW * dark[0] if few_are_dark else at_rank(-(-pixels * _LOW_PERCENT // 100))
    return low, high if high > low else float(levels[-1])


def _ground(
    levels: NDArray[np.float64], counts: NDArray[np.int64], total: NDArray[np.int64]
) -> tuple[float, float]:
    """Level and standard deviation of the ground: the narrowest range with its share of the pixels.

    Of ranges of the same width the one with the most pixels. A level is as wide as the smallest step between
    two, so that images of few levels have a ground of some width too, and a scaled image a scaled one.
    """
    needed = -(-int(total[-1]) // GROUND_SHARE)
    before = total - counts
    end = np.searchsorted(total, before + needed)  # the last level of a range that begins at each
    begin = np.flatnonzero(end < len(levels))
    end = end[begin]
    width = levels[end] - levels[begin] + np.diff(levels).min()
    held = total[end] - before[begin]
    best = np.lexsort((-held, width))[0]
    first, last = int(begin[best]), int(end[best])
    middle = int(before[first] + total[last] + 1) // 2
    share_of_held = needed / int(held[best])
    level = float(levels[np.searchsorted(total, middle)])
    return level, float(width[best]) * share_of_held / _WIDTH_OF_SHARE


def _far(distance: NDArray[np.float64], counts: NDArray[np.int64], beyond: float) -> tuple[float, int]:
    """The foreground's percentile of the distance from the ground, and how many pixels it has.

    ``distance`` (L,) ascends; pixels at more than ``beyond`` are foreground.
    """
    first = int(np.searchsorted(distance, beyond, side="right"))
    total = np.cumsum(counts[first:])
    if not len(total):
        return 0.0, 0
    rank = -(-int(total[-1]) * FOREGROUND_PERCENT // 100)
    return float(distance[first + int(np.searchsorted(total, rank))]), int(total[-1])
