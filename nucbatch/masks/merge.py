"""Merges the pieces of a nucleus that was cut.

The interior map is the relative distance to the nucleus' outline. Between two nuclei that touch it falls to
zero; across a cut through one nucleus it stays high. Two neighbouring labels are merged where it is higher on
their border than a fraction of the lower of their maxima. All pairs are judged by the labels as given, so the
result doesn't depend on an order, and in a component it depends on that component alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.jit import kernel
from nucbatch.core.rle import Runs
from nucbatch.masks.union_find import number, unite

NEVER = 255
"""Value of ``merge`` that merges nothing: no border is higher than the lower of two maxima."""


def merge_cut_nuclei(
    labels: NDArray[np.uint32], interior: NDArray[np.uint8], runs: Runs, merge: int
) -> NDArray[np.uint32]:
    """Gives the pieces of one nucleus one number; returns labels (Y, X) uint32.

    Args:
        labels: (Y, X) uint32, numbered 1..N in any order; 0 is background.
        interior: (Y, X) uint8; 255 is the middle of a nucleus.
        runs: of the labels' pixels, or of more, each as long as possible.
        merge: fraction, 255 is 1, of the lower of two labels' maxima that the interior must exceed at a pair
            of 4-neighbouring pixels, one of each label, in the lower of both. ``NEVER`` returns the labels.
    """
    if merge >= NEVER:
        return labels
    flat, shape = np.ascontiguousarray(labels).ravel(), labels.shape
    inside = np.ascontiguousarray(interior).ravel()
    count = runs.highest(labels)
    leader = _merged(runs.begin, runs.end, flat, inside, shape[1], count, merge)
    if leader[-1] == count:
        return labels
    merged = np.zeros(shape, np.uint32)
    _renumber(runs.begin, runs.end, flat, leader, merged.ravel())
    return merged


@kernel
def _merged(
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    labels: NDArray[np.uint32],
    interior: NDArray[np.uint8],
    width: int,
    count: int,
    merge: int,
) -> NDArray[np.uint32]:  # pragma: no cover (compiled)
    """Returns the new number (count + 1,) of each label, 0 for the background."""
    peaks = np.zeros(count + 1, np.uint8)
    for run in range(len(begin)):
        pixel, stop = begin[run], end[run]
        while pixel < stop:
            own, peak = labels[pixel], np.uint8(0)
            while pixel < stop and labels[pixel] == own:
                peak = max(peak, interior[pixel])
                pixel += 1
            peaks[own] = max(peaks[own], peak)
    leader = np.arange(count + 1).astype(np.uint32)
    last = len(labels) - width  # first pixel without one below it
    for run in range(len(begin)):
        for pixel in range(begin[run], end[run]):
            own = labels[pixel]
            if own == 0:
                continue
            if pixel + 1 < end[run]:
                beside = labels[pixel + 1]
                if beside != own and beside != 0:
                    _judge(leader, peaks, own, beside, min(interior[pixel], interior[pixel + 1]), merge)
            if pixel < last:
                below = labels[pixel + width]
                if below != own and below != 0:
                    _judge(leader, peaks, own, below, min(interior[pixel], interior[pixel + width]), merge)
    number(leader, 0, count + 1)
    return leader


@kernel
def _judge(
    leader: NDArray[np.uint32], peaks: NDArray[np.uint8], own: int, other: int, border: int, merge: int
) -> None:  # pragma: no cover (compiled)
    """Joins two labels if the interior on their border exceeds a fraction of the lower of their maxima."""
    if np.int64(border) * 255 > merge * np.int64(min(peaks[own], peaks[other])):
        unite(leader, own, other)


@kernel
def _renumber(
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    labels: NDArray[np.uint32],
    numbers: NDArray[np.uint32],
    renumbered: NDArray[np.uint32],
) -> None:  # pragma: no cover (compiled)
    """Writes the new number of each pixel of the runs into an empty image."""
    for run in range(len(begin)):
        for pixel in range(begin[run], end[run]):
            renumbered[pixel] = numbers[labels[pixel]]
