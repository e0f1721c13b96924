"""Fills the holes of nuclei.

A hole is an 8-connected region of background that touches neither the image's border nor a second label,
and spans less than ``LARGEST_HOLE_PX``. The limit bounds how far around itself a block must look. A ring of
touching nuclei keeps the ground that it encloses, and an object inside a ring-shaped one keeps its label.

Background is processed as runs along rows: most runs belong to regions that are too large or touch the
border, and their pixels need not be visited.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.jit import kernel
from nucbatch.core.rle import Runs
from nucbatch.masks.components import classes_of

LARGEST_HOLE_PX = 64

_OPEN = -1
_UNSEEN = 0


def fill_holes(labels: NDArray[np.uint32], runs: Runs, oversized: NDArray[np.bool_]) -> Runs:
    """Fills the holes of each label with that label, in place; returns the runs of all labels afterwards.

    Args:
        labels: (Y, X), contiguous, up to N.
        runs: of the labels' pixels.
        oversized: (N + 1,) labels whose holes are not filled, because a window may hold only a part of them.
    """
    begin, end = _between(runs.begin, runs.end, *labels.shape)
    owner = _owners(labels, begin, end, oversized)
    holes = owner > 0
    if not holes.any():
        return runs
    _fill(labels, begin[holes], end[holes], owner[holes])
    # The complement of the remaining background: labels and filled holes.
    return Runs(*_between(begin[~holes], end[~holes], *labels.shape))


@kernel
def _fill(
    labels: NDArray[np.uint32], begin: NDArray[np.int64], end: NDArray[np.int64], owner: NDArray[np.int64]
) -> None:  # pragma: no cover (compiled)
    for run in range(len(begin)):
        for pixel in range(begin[run], end[run]):
            labels.flat[pixel] = owner[run]


@kernel
def _between(
    begin: NDArray[np.int64], end: NDArray[np.int64], height: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # pragma: no cover (compiled)
    """Returns the runs of the background: the complement of runs in an image of that shape."""
    free_begin, free_end = np.empty(len(begin) + height, np.int64), np.empty(len(begin) + height, np.int64)
    count, run = 0, 0
    for row in range(0, height * width, width):
        at = row
        while run < len(begin) and begin[run] < row + width:
            if begin[run] > at:
                free_begin[count], free_end[count] = at, begin[run]
                count += 1
            at = end[run]
            run += 1
        if at < row + width:
            free_begin[count], free_end[count] = at, row + width
            count += 1
    return free_begin[:count], free_end[:count]


@kernel
def _owners(
    labels: NDArray[np.uint32], begin: NDArray[np.int64], end: NDArray[np.int64], oversized: NDArray[np.bool_]
) -> NDArray[np.int64]:  # pragma: no cover (compiled)
    """Returns the label (runs,) int64 whose hole each run belongs to; _OPEN for runs in no hole."""
    height, width = labels.shape
    region, count = classes_of(begin, end, width, 1)
    owner = np.full(count, _UNSEEN, np.int64)
    top = np.full(count, -1, np.int64)
    left = np.full(count, width, np.int64)
    right = np.full(count, -1, np.int64)
    for run in range(len(begin)):
        own = region[run]
        y, x = begin[run] // width, begin[run] % width
        last = x + end[run] - begin[run] - 1
        if top[own] < 0:
            top[own] = y
        left[own] = min(left[own], x)
        right[own] = max(right[own], last)
        wide = max(y - top[own], right[own] - left[own]) >= LARGEST_HOLE_PX
        if wide or y == 0 or x == 0 or y == height - 1 or last == width - 1:
            owner[own] = _OPEN
    for run in range(len(begin)):
        own = region[run]
        for pixel in range(begin[run], end[run]):
            if owner[own] == _OPEN:
                break
            for step in (-width, -1, 1, width):
                label = np.int64(labels.flat[pixel + step])
                if label != 0 and owner[own] != label:
                    alone = owner[own] == _UNSEEN and not oversized[label]
                    owner[own] = label if alone else _OPEN
    found = np.empty(len(begin), np.int64)
    for run in range(len(begin)):
        found[run] = owner[region[run]]
    return found
