"""Mean, standard deviation and interpolated percentiles from a histogram, for models from elsewhere."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def mean_and_deviation(levels: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[float, float]:
    """Returns the mean, and the mean plus the standard deviation, as numpy's ``mean`` and ``std``.

    Args:
        levels: (L,) float64, the distinct pixel values in ascending order.
        counts: (L,) int64, the number of pixels of each level.
    """
    pixels = int(counts.sum())
    mean = math.fsum(levels * counts) / pixels
    return mean, mean + math.sqrt(math.fsum((levels - mean) ** 2 * counts) / pixels)


def interpolated_percentiles(
    levels: NDArray[np.float64], counts: NDArray[np.int64], percent: tuple[float, float]
) -> tuple[float, float]:
    """Returns two percentiles, interpolated between neighbouring pixels as ``numpy.percentile`` does.

    The maximum takes the place of the second one if both are equal.

    Args:
        levels: (L,) float64, the distinct pixel values in ascending order.
        counts: (L,) int64, the number of pixels of each level.
        percent: the percentiles, 0 to 100.
    """
    total = np.cumsum(counts)
    pixels = int(total[-1])

    def at(share: float) -> float:
        place = share / 100 * (pixels - 1)
        first = int(place)
        below, above = (
            float(levels[np.searchsorted(total, rank, side="right")])
            for rank in (first, min(first + 1, pixels - 1))
        )
        return below + (above - below) * (place - first)

    low, high = at(percent[0]), at(percent[1])
    return low, high if high > low else float(levels[-1])
