"""Quartiles, median and median absolute deviation of each object's grey levels, by selection.

Quartiles are interpolated linearly between neighbouring ranks, as NumPy's ``percentile`` does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.jit import kernel


@kernel
def order_statistics(
    grouped: npt.NDArray[Any], begins: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:  # pragma: no cover (compiled)
    """Lower quartile, median, upper quartile and median absolute deviation (N, 4); NaN without pixels.

    Args:
        grouped: values, object by object; they are reordered.
        begins: (N + 1,) where each object's values begin.
    """
    most = 0
    for at in range(len(begins) - 1):
        most = max(most, begins[at + 1] - begins[at])
    deviations = np.empty(most, np.float64)
    found = np.full((len(begins) - 1, 4), np.nan)
    for at in range(len(begins) - 1):
        own = grouped[begins[at] : begins[at + 1]]
        if len(own) == 0:
            continue
        median = _quantile(own, 0.5)
        found[at, 1] = median
        # The values below and above the median's rank are already apart.
        found[at, 0], found[at, 2] = _quantile(own, 0.25), _quantile(own, 0.75)
        for k in range(len(own)):
            deviations[k] = abs(own[k] - median)
        found[at, 3] = _quantile(deviations[: len(own)], 0.5)
    return found


@kernel
def _quantile(values: npt.NDArray[Any], fraction: float) -> float:  # pragma: no cover (compiled)
    position = (len(values) - 1) * fraction
    rank = int(position)
    lower = float(_select(values, rank))
    part = position - rank
    if part == 0:
        return lower
    above = values[rank + 1]
    for k in range(rank + 2, len(values)):
        above = min(above, values[k])
    return lower + (float(above) - lower) * part


@kernel
def _select(values: npt.NDArray[Any], rank: int) -> Any:  # pragma: no cover (compiled)
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
    return values[rank]
