"""Normalisation constants from background and foreground, computed from an image's histogram.

Percentiles of all pixels depend on how many of them are nuclei: with one nucleus in a field, the brightest
0.2 % are noise. Here the background is the narrowest range of levels that holds a fifth of all pixels; its
width estimates the noise. Pixels far above it are foreground. The 90th percentile of the foreground alone
sets the upper constant, however few pixels it has. Ranks are integers, so the result does not depend on how
an image was cut into blocks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GROUND_SHARE = 5
"""The background range holds at least one pixel in this many; images with 60 % nuclei have twice that."""
FAR = 10.0
"""Distance of the foreground from the background, in standard deviations of the background."""
FOREGROUND_PERCENT = 90
ABOVE = 1.33
"""Distance of the upper constant from the background, as a multiple of the foreground percentile's distance.

Nuclei differ in brightness. With this factor, a field full of nuclei gets the same constant as from its
99.8th percentile (median of 553 training images).
"""
BELOW = 1.15
"""The same factor for a few dark nuclei on a bright background."""
FEWEST_PX = 12
"""Fewer foreground pixels than this in the whole image are taken for hot or dead pixels."""
_LOW_PERCENT = 1
_FEW_PER_MILLE = 25

_WIDTH_OF_SHARE = 2 * 0.25335
"""Width of the middle fifth of a normal distribution, in standard deviations."""


def limits(levels: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[float, float]:
    """Finds the grey levels that become 0 and 1; they are equal if the image has one level only.

    Args:
        levels: (L,) float64, the distinct pixel values in ascending order.
        counts: (L,) int64, the number of pixels of each level, at least 1.

    Returns:
        The lower and the upper level, in the image's own values.
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
    """Estimates level and standard deviation of the background from the narrowest range with enough pixels.

    Of ranges of equal width, the one with the most pixels is taken. Each level counts as wide as the smallest
    step between two levels. So images of few levels get a width above zero, and scaling an image scales it.
    """
    needed = -(-int(total[-1]) // GROUND_SHARE)
    before = total - counts
    end = np.searchsorted(total, before + needed)  # for each first level: the last level of its range
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
    """Returns the percentile of the foreground's distance from the background, and its number of pixels.

    Args:
        distance: (L,) float64, distances of the levels from the background, ascending.
        counts: (L,) int64, the number of pixels of each level.
        beyond: pixels at larger distances are foreground.
    """
    first = int(np.searchsorted(distance, beyond, side="right"))
    total = np.cumsum(counts[first:])
    if not len(total):
        return 0.0, 0
    rank = -(-int(total[-1]) * FOREGROUND_PERCENT // 100)
    return float(distance[first + int(np.searchsorted(total, rank))]), int(total[-1])
