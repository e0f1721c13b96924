"""Chooses the fields that stand best for all doubtful ones: weighted k-medoids, chosen greedily.

A field stands for those that look like it. Each choice adds the field that most reduces the sum, over all
fields, of doubt times distance to the nearest chosen field. So a kind of field that is common and doubtful
comes first, no kind comes twice before the others have come, and a single odd field does not displace a
common kind. The greedy choice reaches at least 63 % of the largest possible reduction (Nemhauser, Wolsey and
Fisher, Mathematical Programming 14, 1978).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LEAST_DOUBT = 0.05
"""Share of the mean doubt that every field counts with, so that a choice is possible where all are clear."""


def choose(
    looks: NDArray[np.float64], doubt: NDArray[np.float64], count: int
) -> tuple[list[int], NDArray[np.int64]]:
    """Chooses fields, the most worthwhile first.

    Args:
        looks: (N, features) how each field looks, all on comparable scales.
        doubt: (N,) of each field, 0 to 1.
        count: number of fields to choose.

    Returns:
        The places of the chosen fields, at most N; and for each of the N fields the place of the chosen field
        that stands for it. Equal gains go to the lower place.
    """
    size = len(doubt)
    squares = (looks**2).sum(axis=1)
    apart = np.sqrt(np.maximum(squares[:, np.newaxis] + squares - 2 * looks @ looks.T, 0))
    weight = doubt + _LEAST_DOUBT * (float(doubt.mean()) or 1.0)
    weight = weight / weight.sum()
    chosen: list[int] = []
    nearest = np.full(size, apart.max())
    for _ in range(min(count, size)):
        gain = weight @ np.maximum(nearest[:, np.newaxis] - apart, 0)
        gain = np.round(gain, 9)  # sums may differ in their last bits between machines
        gain[chosen] = -1
        best = int(gain.argmax())
        chosen.append(best)
        nearest = np.minimum(nearest, apart[:, best])
    stands_for = np.asarray(chosen, np.int64)[apart[:, chosen].argmin(axis=1)]
    return chosen, stands_for
