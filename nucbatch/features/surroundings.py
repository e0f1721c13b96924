"""The ring of background around each object, and each object's edge, as regions to be measured.

Both depend on nothing farther away than the ring's outer distance. Distances are Euclidean, between the
centres of pixels. The nearest object of a pixel is found column by column, then along its row, as in an exact
distance transform (Meijster et al., 2000), but only within the ring's reach, so that background far from
objects costs almost nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.jit import kernel
from nucbatch.core.rle import Runs
from nucbatch.features.regions import Region

Ints = npt.NDArray[np.int64]


def ring_of(labels: npt.NDArray[np.uint32], count: int, inner_px: float, outer_px: float) -> Region:
    """Returns each object's ring: background farther than ``inner_px`` from it and at most ``outer_px``.

    A pixel belongs to its nearest object, with equal distances to the one of the lowest label.

    Args:
        labels: (Y, X) uint32, contiguous, 0..N.
        count: N.
        inner_px: at least 0.
        outer_px: more than ``inner_px``, less than 255.
    """
    inner2, outer2 = math.floor(inner_px * inner_px), math.floor(outer_px * outer_px)
    narrow = 2 * outer2 + 1 <= np.iinfo(np.uint16).max  # half the bytes, in half the time
    squares = np.empty((2, labels.shape[1]), np.uint16 if narrow else np.uint32)
    begin, end, owner = _ring(labels, math.floor(outer_px), inner2, outer2, squares)
    return Region.of(Runs(begin, end), owner, count)


def edge_of(labels: npt.NDArray[np.uint32], region: Region) -> Region:
    """Returns each object's pixels that have one of another label, or background, beside or above or below.

    These are CellProfiler's edge pixels. The image's border makes no edge.

    Args:
        labels: (Y, X) uint32, contiguous, 0..N.
        region: the objects' pixels.
    """
    begin, end, owner = _edge(labels, region.runs.begin, region.runs.end, region.owner)
    return Region.of(Runs(begin, end), owner, region.count)


@kernel
def _ring(
    labels: npt.NDArray[np.uint32], reach: int, inner2: int, outer2: int, squares: npt.NDArray[Any]
) -> tuple[Ints, Ints, Ints]:  # pragma: no cover (compiled)
    """Runs of ring pixels, with the index of each run's object.

    ``squares`` (2, X): memory for squared distances up to 2 · outer2 + 1. Loops over whole rows are kept
    so plain that they are compiled to vector instructions.
    """
    height, width = labels.shape
    none = np.uint8(reach + 1)
    start = np.full(width, none, np.uint8)
    below = np.empty((height, width), np.uint8)  # rows to the nearest object pixel below
    _further(labels[height - 1], start, below[height - 1], none)
    for y in range(height - 2, -1, -1):
        _further(labels[y], below[y + 1], below[y], none)
    most = height * width
    begins, ends, owner = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    count = 0
    before, above = start.copy(), np.empty(width, np.uint8)
    vertical, nearest = squares[0], squares[1]
    for y in range(height):
        _further(labels[y], before, above, none)
        before[:] = above
        if not _distances(above, below[y], reach, outer2, vertical, nearest):
            continue
        for x in range(width):
            best = np.int64(nearest[x])
            if best <= inner2 or best > outer2:
                continue
            who = np.uint32(0)
            across = 0
            while across * across <= best:
                rest = best - across * across
                for side in range(2 if across else 1):
                    at = x + across if side else x - across
                    if at < 0 or at >= width or np.int64(vertical[at]) != rest:
                        continue
                    up, down = np.int64(above[at]), np.int64(below[y, at])
                    label = labels[y - up, at] if up <= down else labels[y + down, at]
                    if up == down:
                        label = min(label, labels[y + down, at])
                    if who == 0 or label < who:
                        who = label
                across += 1
            pixel = y * width + x
            if count and ends[count - 1] == pixel and owner[count - 1] == who - 1 and x > 0:
                ends[count - 1] = pixel + 1
            else:
                begins[count], ends[count], owner[count] = pixel, pixel + 1, np.int64(who) - 1
                count += 1
    return begins[:count].copy(), ends[:count].copy(), owner[:count].copy()


@kernel
def _further(
    labels: npt.NDArray[np.uint32],
    before: npt.NDArray[np.uint8],
    now: npt.NDArray[np.uint8],
    none: np.uint8,
) -> None:  # pragma: no cover (compiled)
    """Rows (X,) to the nearest object pixel in one direction, from those of the row before."""
    for x in range(len(now)):
        further = np.uint8(before[x] + np.uint8(1)) if before[x] < none else none
        now[x] = np.uint8(0) if labels[x] != np.uint32(0) else further


@kernel
def _distances(
    above: npt.NDArray[np.uint8],
    below: npt.NDArray[np.uint8],
    reach: int,
    outer2: int,
    vertical: npt.NDArray[Any],
    nearest: npt.NDArray[Any],
) -> bool:  # pragma: no cover (compiled)
    """Squared distances (X,) of a row's pixels to the nearest object pixel: in their column, and in all.

    ``outer2`` + 1 stands for all larger ones. Returns whether any is not larger.
    """
    width, kind = len(above), nearest.dtype.type
    far = kind(outer2 + 1)
    any_near = False
    for x in range(width):
        rows = kind(min(above[x], below[x]))
        square = kind(rows * rows)
        vertical[x] = square if square < far else far
        nearest[x] = vertical[x]
        any_near |= square < far
    if not any_near:
        return False
    for across in range(1, reach + 1):
        aside = kind(across * across)
        for x in range(width - across):
            right = kind(vertical[x + across] + aside)
            nearest[x] = right if right < nearest[x] else nearest[x]
        for x in range(width - across):
            left = kind(vertical[x] + aside)
            nearest[x + across] = left if left < nearest[x + across] else nearest[x + across]
    return True


@kernel
def _edge(
    labels: npt.NDArray[np.uint32], begin: Ints, end: Ints, owner: Ints
) -> tuple[Ints, Ints, Ints]:  # pragma: no cover (compiled)
    """Runs of edge pixels, with the index of each run's object."""
    height, width = labels.shape
    most = (end - begin).sum()
    begins, ends, owners = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    count, y, row = 0, 0, 0
    for run in range(len(begin)):
        while begin[run] >= row + width:
            y, row = y + 1, row + width
        label = np.uint32(owner[run] + 1)
        open_run = False
        for pixel in range(begin[run], end[run]):
            x = pixel - row
            if (
                (y > 0 and labels[y - 1, x] != label)
                or (y + 1 < height and labels[y + 1, x] != label)
                or (x > 0 and labels[y, x - 1] != label)
                or (x + 1 < width and labels[y, x + 1] != label)
            ):
                if open_run:
                    ends[count - 1] = pixel + 1
                else:
                    begins[count], ends[count], owners[count] = pixel, pixel + 1, owner[run]
                    count, open_run = count + 1, True
            else:
                open_run = False
    return begins[:count].copy(), ends[:count].copy(), owners[:count].copy()
