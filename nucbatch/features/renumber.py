"""Renumbers labels that have gaps, because measurements need the numbers 1..N."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def renumbered(labels: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Numbers the objects of a label image (Y, X) 1..N, in the order of their labels.

    >>> compact, numbers = renumbered(np.array([[0, 7, 7], [3, 0, 900]], np.uint32))
    >>> compact.tolist(), numbers.tolist()
    ([[0, 2, 2], [1, 0, 3]], [3, 7, 900])

    Returns:
        The labels 1..N, and (N,) int64 the label that each object had. Labels without gaps are returned
        unchanged.
    """
    top = int(labels.max(initial=0))
    if top <= 4 * labels.size:
        numbers = np.flatnonzero(np.bincount(labels.ravel(), minlength=1)[1:]) + 1
        if len(numbers) == top:
            return labels, numbers
        places = np.zeros(top + 1, np.uint32)
        places[numbers] = np.arange(1, len(numbers) + 1, dtype=np.uint32)
        return places[labels], numbers
    values = np.union1d(np.zeros(1, labels.dtype), labels)
    return np.searchsorted(values, labels).astype(np.uint32), values[1:].astype(np.int64)
