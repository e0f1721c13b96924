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
        runs: of the labels' pixels, or of more.
        merge: fraction, 255 is 1, of the lower of two labels' maxima that the interior must exceed at a pair
            of 4-neighbouring pixels, one of each label, in the lower of both. ``NEVER`` returns the labels.
    """
    if merge >= NEVER:
        return labels
    flat, shape = np.ascontiguousarray(labels).ravel(), labels.shape
    inside = np.ascontiguousarray(interior).ravel()
    count = int(labels.max(initial=0))
    leader = _merged(runs.begin, runs.end, flat, inside, shape[1], count, merge)
    return leader[labels] if leader[-1] != count else labels


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
    peaks = np.zeros(count + 1, np.int64)
    for run in range(len(begin)):
        for pixel in range(begin[run], end[run]):
            peaks[labels[pixel]] = max(peaks[labels[pixel]], np.int64(interior[pixel]))
    leader = np.arange(count + 1).astype(np.uint32)
    for run in range(len(begin)):
        for pixel in range(begin[run], end[run]):
            own = labels[pixel]
            if own == 0:
                continue
            for step in (1, width):
                by = pixel + step
                if by >= len(labels) or (step == 1 and by % width == 0):
                    continue
                other = labels[by]
                if other == 0 or other == own:
                    continue
                border = np.int64(min(interior[pixel], interior[by]))
                if border * 255 > merge * min(peaks[own], peaks[other]):
                    unite(leader, own, other)
    number(leader, 0, count + 1)
    return leader
