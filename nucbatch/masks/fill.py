"""Holes inside single nuclei are filled.

The decision owned here: a hole is a background region that touches neither the image's border nor more than
one label, and that is not wider than any nucleus' hole: what is LARGEST_HOLE_PX across is ground, so that
nothing has to be known of an image further around than that. So a ring of touching nuclei keeps the empty
ground it encloses, and an island inside a ring is never swallowed. Background is 8-connected, as nuclei are
4-connected.

Background is looked at as runs along rows. Most of it belongs to regions that are open by their border or by
their size, and nobody needs to look around these pixel by pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.jit import kernel
from nucbatch.masks.classes import number, unite

LARGEST_HOLE_PX = 64

_OPEN = -1
_UNSEEN = 0


def fill_holes(labels: NDArray[np.uint32], giant: NDArray[np.bool_] | None = None) -> NDArray[np.uint32]:
    """Labels (Y, X) uint32 with the holes of each label filled with that label.

    A new array, or the labels themselves where no label has a hole.

    ``giant`` (N + 1,): labels whose holes stay open, because nobody sees the whole of them; None: no label.
    """
    if giant is None:
        giant = np.zeros(int(labels.max(initial=0)) + 1, np.bool_)
    labels = np.ascontiguousarray(labels)
    begin, end = _ground_runs(labels)
    owner = _owners(labels, begin, end, giant)
    holes = np.flatnonzero(owner > 0)
    if not len(holes):
        return labels
    filled = labels.copy()
    _fill(filled, begin[holes], end[holes], owner[holes])
    return filled


@kernel
def _fill(
    labels: NDArray[np.uint32], begin: NDArray[np.int64], end: NDArray[np.int64], owner: NDArray[np.int64]
) -> None:  # pragma: no cover (compiled)
    for run in range(len(begin)):
        for pixel in range(begin[run], end[run]):
            labels.flat[pixel] = owner[run]


@kernel
def _ground_runs(
    labels: NDArray[np.uint32],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # pragma: no cover (compiled)
    """Linear indices of the begins and ends (half open) of the background's runs along rows."""
    height, width = labels.shape
    begin, end = np.empty(height + 64, np.int64), np.empty(height + 64, np.int64)
    count = 0
    for y in range(height):
        x = 0
        while x < width:
            while x < width and labels[y, x] != 0:
                x += 1
            if x == width:
                break
            if count == len(begin):
                begin = np.concatenate((begin, np.empty_like(begin)))
                end = np.concatenate((end, np.empty_like(end)))
            begin[count] = y * width + x
            while x < width and labels[y, x] == 0:
                x += 1
            end[count] = y * width + x
            count += 1
    return begin[:count], end[:count]


@kernel
def _regions(
    begin: NDArray[np.int64], end: NDArray[np.int64], width: int
) -> tuple[NDArray[np.uint32], int]:  # pragma: no cover (compiled)
    """The 8-connected region 0..R - 1 of each run, and R."""
    region = np.arange(len(begin)).astype(np.uint32)
    above = 0  # the first run of the row above that reaches this run or lies behind it
    for run in range(len(begin)):
        row = begin[run] // width * width
        while begin[above] < row - width or (begin[above] < row and end[above] + width < begin[run]):
            above += 1
        beside = above
        while beside < run and begin[beside] < row and begin[beside] + width <= end[run]:
            unite(region, beside, run)
            beside += 1
    return region, number(region, 0, len(region))


@kernel
def _owners(
    labels: NDArray[np.uint32], begin: NDArray[np.int64], end: NDArray[np.int64], giant: NDArray[np.bool_]
) -> NDArray[np.int64]:  # pragma: no cover (compiled)
    """The label (runs,) int64 of which each run is a hole, _OPEN of those that are none."""
    height, width = labels.shape
    region, count = _regions(begin, end, width)
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
                    alone = owner[own] == _UNSEEN and not giant[label]
                    owner[own] = label if alone else _OPEN
    found = np.empty(len(begin), np.int64)
    for run in range(len(begin)):
        found[run] = owner[region[run]]
    return found
