"""Quartiles, median and median absolute deviation of each object's grey levels.

Quartiles are interpolated linearly between neighbouring ranks, as NumPy's ``percentile`` does. Integers that
span few levels are counted in a histogram, from which all four follow; other values are selected by rank.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.jit import kernel

_LEVELS = 8192
"""Longest histogram; clearing and scanning it costs less than selecting from a nucleus' pixels."""


def order_statistics(grouped: npt.NDArray[Any], begins: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Lower quartile, median, upper quartile and median absolute deviation (N, 4); NaN without pixels.

    Args:
        grouped: values, object by object, uint8, uint16 or float64; they may be reordered.
        begins: (N + 1,) where each object's values begin.
    """
    found = np.full((len(begins) - 1, 4), np.nan)
    if grouped.dtype == np.float64:
        _selected(grouped, begins, found)
    else:
        _counted(grouped, begins, found)
    return found


@kernel
def _counted(
    grouped: npt.NDArray[Any], begins: npt.NDArray[np.int64], found: npt.NDArray[np.float64]
) -> None:  # pragma: no cover (compiled)
    counts = np.zeros(_LEVELS + 2, np.int64)
    for at in range(len(found)):
        own = grouped[begins[at] : begins[at + 1]]
        if len(own) == 0:
            continue
        lowest = highest = own[0]
        for value in own:
            lowest, highest = min(lowest, value), max(highest, value)
        span = np.int64(highest) - np.int64(lowest)
        if span > _LEVELS:
            _of_one(own.astype(np.float64), found[at])
            continue
        for value in own:
            counts[np.int64(value) - np.int64(lowest)] += 1
        middle = (len(own) - 1) * 0.5
        level, below = 0, 0  # values in lower levels
        for which in range(3):
            position = (len(own) - 1) * (0.25 * (which + 1))
            rank = int(position)
            while below + counts[level] <= rank:
                below += counts[level]
                level += 1
            further = level
            if below + counts[level] <= rank + 1 and position > rank:
                further += 1
                while counts[further] == 0:
                    further += 1
            lower = float(np.int64(lowest) + level)
            found[at, which] = lower + (further - level) * (position - rank)
        twice = int(2 * (found[at, 1] - np.int64(lowest)))  # the median is whole or half
        down, up = twice // 2, twice // 2 + 1
        near, first, second = 0, -1, -1  # values nearer than these, and doubled deviations at the ranks
        while second < 0:
            if down >= 0 and (up > span or twice - 2 * down <= 2 * up - twice):
                far, near, down = twice - 2 * down, near + counts[down], down - 1
            else:
                far, near, up = 2 * up - twice, near + counts[up], up + 1
            if first < 0 and near > int(middle):
                first = far
            if near > len(own) // 2:
                second = far
        found[at, 3] = (first + second) / 4
        counts[: span + 1] = 0


@kernel
def _selected(
    grouped: npt.NDArray[np.float64], begins: npt.NDArray[np.int64], found: npt.NDArray[np.float64]
) -> None:  # pragma: no cover (compiled)
    for at in range(len(found)):
        if begins[at + 1] > begins[at]:
            _of_one(grouped[begins[at] : begins[at + 1]], found[at])


@kernel
def _of_one(
    own: npt.NDArray[np.float64], found: npt.NDArray[np.float64]
) -> None:  # pragma: no cover (compiled)
    median = _quantile(own, 0.5)
    # The values below and above the median's rank are already apart.
    found[0], found[1], found[2] = _quantile(own, 0.25), median, _quantile(own, 0.75)
    found[3] = _quantile(np.abs(own - median), 0.5)


@kernel
def _quantile(values: npt.NDArray[np.float64], fraction: float) -> float:  # pragma: no cover (compiled)
    position = (len(values) - 1) * fraction
    rank = int(position)
    lower = _select(values, rank)
    part = position - rank
    if part == 0:
        return lower
    above = values[rank + 1]
    for k in range(rank + 2, len(values)):
        above = min(above, values[k])
    return float(lower + (above - lower) * part)


@kernel
def _select(values: npt.NDArray[np.float64], rank: int) -> float:  # pragma: no cover (compiled)
    """Moves the value of a rank to its place, smaller ones before and larger ones behind (Hoare's FIND)."""
    low, high = 0, len(values) - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if j < rank:
            low = i
        if rank < i:
            high = j
    return float(values[rank])
