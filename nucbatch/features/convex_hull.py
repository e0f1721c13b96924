"""Convex hulls of objects: area for the solidity, largest and smallest diameter.

A hull is built from the first and last pixel of each of an object's rows, in integers. Its area counts the
pixels whose centres lie in the hull of the pixels' outlines, as scikit-image does; diameters are those of the
hull of the pixels' centres, as CellProfiler's (Feret).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nucbatch.core.jit import kernel

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_FAR = 2**40  # beyond any pixel


@kernel
def hulls(
    begin: Ints, end: Ints, owner: Ints, boxes: Ints, width: int
) -> tuple[Ints, Floats]:  # pragma: no cover (compiled)
    """Area of the hull in px (N,), and its largest and smallest diameter in px (N, 2).

    Args:
        begin, end, owner: runs of the objects' pixels in an image.
        boxes: (N, 4).
        width: of the image.
    """
    count = len(boxes)
    offsets, tallest = np.zeros(count + 1, np.int64), 1
    for at in range(count):
        height = boxes[at, 2] - boxes[at, 0]
        offsets[at + 1] = offsets[at] + height
        tallest = max(tallest, height)
    first, last = np.full(offsets[-1], _FAR), np.full(offsets[-1], -_FAR)
    y, row = 0, 0
    for run in range(len(begin)):
        while begin[run] >= row + width:
            y, row = y + 1, row + width
        at = owner[run]
        place = offsets[at] + y - boxes[at, 0]
        first[place] = min(first[place], begin[run] - row - boxes[at, 1])
        last[place] = max(last[place], end[run] - 1 - row - boxes[at, 1])
    areas, diameters = np.zeros(count, np.int64), np.zeros((count, 2))
    left, right = np.empty((2 * tallest + 1, 2), np.int64), np.empty((2 * tallest + 1, 2), np.int64)
    for at in range(count):
        own_first, own_last = first[offsets[at] : offsets[at + 1]], last[offsets[at] : offsets[at + 1]]
        areas[at] = _area(own_first, own_last, left, right)
        diameters[at, 0], diameters[at, 1] = _feret(own_first, own_last, left, right)
    return areas, diameters


@kernel
def _append(chain: Ints, length: int, y: int, x: int) -> int:  # pragma: no cover (compiled)
    """Appends a point to a chain of a hull's left side, and drops those that it makes superfluous."""
    while length > 1:
        y0, x0, y1, x1 = (
            chain[length - 2, 0],
            chain[length - 2, 1],
            chain[length - 1, 0],
            chain[length - 1, 1],
        )
        if (x1 - x0) * (y - y0) < (x - x0) * (y1 - y0):
            break
        length -= 1
    chain[length, 0], chain[length, 1] = y, x
    return length + 1


@kernel
def _area(first: Ints, last: Ints, left: Ints, right: Ints) -> int:  # pragma: no cover (compiled)
    """Number of pixel centres in the hull of the middles of the pixels' sides, in half pixels."""
    height = len(first)
    lefts, rights = 0, 0
    for half in range(2 * height + 1):
        # Odd half rows are the pixels' middles; even ones lie between two rows.
        if half % 2:
            low, high = 2 * first[half // 2] - 1, 2 * last[half // 2] + 1
        else:
            low, high = _FAR, -_FAR
            if half:
                low, high = 2 * first[half // 2 - 1], 2 * last[half // 2 - 1]
            if half < 2 * height:
                low, high = min(low, 2 * first[half // 2]), max(high, 2 * last[half // 2])
        if low <= high:
            lefts = _append(left, lefts, half, low)
            rights = _append(right, rights, half, -high)
    inside, i, j = 0, 0, 0
    for half in range(1, 2 * height, 2):
        while left[i + 1, 0] < half:
            i += 1
        while right[j + 1, 0] < half:
            j += 1
        inside += 1 - _at(left, i, half) - _at(right, j, half)
    return inside


@kernel
def _at(chain: Ints, i: int, half: int) -> int:  # pragma: no cover (compiled)
    """First pixel of a row that is not left of the chain's side from point ``i``; rounds up."""
    down = chain[i + 1, 0] - chain[i, 0]
    across = chain[i, 1] * down + (chain[i + 1, 1] - chain[i, 1]) * (half - chain[i, 0])
    return int(-((-across) // (2 * down)))


@kernel
def _feret(first: Ints, last: Ints, left: Ints, right: Ints) -> tuple[float, float]:  # pragma: no cover
    """Largest and smallest distance between parallel lines that touch the hull of the pixels' centres."""
    lefts, rights = 0, 0
    for y in range(len(first)):
        if first[y] <= last[y]:
            lefts = _append(left, lefts, y, first[y])
            rights = _append(right, rights, y, -last[y])
    count = lefts + rights
    points = np.empty((count, 2), np.int64)
    for i in range(lefts):
        points[i, 0], points[i, 1] = left[i, 0], left[i, 1]
    for j in range(rights):
        points[lefts + j, 0], points[lefts + j, 1] = right[rights - 1 - j, 0], -right[rights - 1 - j, 1]
    largest, smallest = np.int64(0), np.inf
    for i in range(count):
        following = i + 1 if i + 1 < count else 0
        down, across = points[following, 0] - points[i, 0], points[following, 1] - points[i, 1]
        farthest = np.int64(0)
        for j in range(count):
            dy, dx = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1]
            largest = max(largest, dy * dy + dx * dx)
            farthest = max(farthest, abs(dy * across - dx * down))
        if down != 0 or across != 0:
            smallest = min(smallest, farthest / np.sqrt(float(down * down + across * across)))
    return np.sqrt(float(largest)), smallest if smallest < np.inf else 0.0
