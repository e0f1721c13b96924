"""The ring of background around each object, and each object's edge, as regions to be measured.

Both depend on nothing farther away than the ring's outer distance. Distances are Euclidean, between the
centres of pixels. The nearest object of a pixel is found column by column, then along its row, as in an exact
distance transform (Meijster et al., 2000), but only within the ring's reach. Distance and object are one
number, so that the smaller of two numbers is the nearer object, or of two equally near ones that of the lower
label; a minimum is one vector instruction.
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
    # A key is a squared distance, up to 2 · outer2 + 1, above the bits of the object's index.
    bits = 32 - (2 * outer2 + 1).bit_length()
    kind, shift = (np.uint32, bits) if count < 2**bits else (np.uint64, 32)
    keys = np.empty((2, labels.shape[1]), kind)
    begin, end, owner = _ring(labels, math.floor(outer_px), inner2, outer2, shift, keys)
    return Region.of(Runs(begin, end), owner, count)


def edge_of(shape: tuple[int, int], region: Region, *, closed: bool = False) -> Region:
    """Returns each object's pixels that have one of another label, or background, beside or above or below.

    These are CellProfiler's edge pixels.

    Args:
        shape: (Y, X) of the image.
        region: the objects' pixels.
        closed: whether pixels at the border of the labels are edge pixels, too.
    """
    begin, end, owner = _edge(region.runs.begin, region.runs.end, region.owner, *shape, closed)
    return Region.of(Runs(begin, end), owner, region.count)


@kernel
def _ring(
    labels: npt.NDArray[np.uint32], reach: int, inner2: int, outer2: int, shift: int, keys: npt.NDArray[Any]
) -> tuple[Ints, Ints, Ints]:  # pragma: no cover (compiled)
    """Runs of ring pixels, with the index of each run's object.

    ``keys`` (2, X): memory for keys, a squared distance shifted by ``shift`` bits plus an object's index.
    Loops over whole rows are so plain that they are compiled to vector instructions.
    """
    height, width = labels.shape
    kind = keys.dtype.type
    far, nearest = kind((outer2 + 1) << shift), kind((inner2 + 1) << shift)
    index = kind((1 << shift) - 1)
    most = height * width
    begins, ends, owner = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    places, objects = np.empty(width, np.int64), np.empty(width, np.int64)
    vertical, best = keys[0], keys[1]
    count = 0
    seen = 0  # rows that were searched for objects
    last = -reach - 1  # the last of them that has any
    for y in range(height):
        while seen < min(height, y + reach + 1):
            last = seen if _any(labels[seen]) else last
            seen += 1
        if last < y - reach:
            continue
        vertical[:] = far
        _nearer_object(labels[y], kind(0), far, vertical)
        for away in range(1, reach + 1):
            further = kind(away * away << shift)
            if y >= away:
                _nearer_object(labels[y - away], further, far, vertical)
            if y + away < height:
                _nearer_object(labels[y + away], further, far, vertical)
        best[:] = vertical
        for away in range(1, min(reach + 1, width)):
            further = kind(away * away << shift)
            _nearer(vertical[away:], further, best[: width - away])
            _nearer(vertical[: width - away], further, best[away:])
        found = _between(best, nearest, far, index, places, objects)
        count = _append_runs(places[:found], objects[:found], y * width, begins, ends, owner, count)
    return begins[:count].copy(), ends[:count].copy(), owner[:count].copy()


@kernel
def _any(labels: npt.NDArray[np.uint32]) -> bool:  # pragma: no cover (compiled)
    bits = np.uint32(0)
    for x in range(len(labels)):
        bits |= labels[x]
    return bool(bits != 0)


@kernel
def _nearer_object(
    labels: npt.NDArray[np.uint32], further: Any, far: Any, keys: npt.NDArray[Any]
) -> None:  # pragma: no cover (compiled)
    """Lowers the keys (X,) of pixels to those of the objects (X,) at a squared distance of ``further``."""
    kind = keys.dtype.type
    for x in range(len(keys)):
        key = kind(labels[x] - np.uint32(1)) if labels[x] != np.uint32(0) else far
        key = kind((key if key < far else far) + further)
        keys[x] = key if key < keys[x] else keys[x]


@kernel
def _nearer(
    beside: npt.NDArray[Any], further: Any, keys: npt.NDArray[Any]
) -> None:  # pragma: no cover (compiled)
    """Lowers the keys (X,) of pixels to those of pixels beside them, at a squared distance of ``further``."""
    for x in range(len(keys)):
        key = keys.dtype.type(beside[x] + further)
        keys[x] = key if key < keys[x] else keys[x]


@kernel
def _between(
    keys: npt.NDArray[Any], lowest: Any, end: Any, index: Any, places: Ints, objects: Ints
) -> int:  # pragma: no cover (compiled)
    """Lists the pixels whose keys are at least ``lowest`` and below ``end``; returns their number."""
    count = np.uint64(0)
    for x in range(len(keys)):
        key = keys[x]
        places[count], objects[count] = x, key & index
        count += np.uint64((key >= lowest) & (key < end))
    return int(count)


@kernel
def _append_runs(
    places: Ints, objects: Ints, first: int, begins: Ints, ends: Ints, owner: Ints, count: int
) -> int:  # pragma: no cover (compiled)
    """Appends a row's pixels as runs behind ``count`` others; returns the number of all.

    A run that is not finished is written again, which takes less time than a branch that can't be predicted.
    """
    place, own, at = np.int64(-2), np.int64(-1), np.int64(count)
    for one in range(len(places)):
        is_new = (places[one] != place + 1) | (objects[one] != own)
        place, own = places[one], objects[one]
        begins[np.uint64(at)], owner[np.uint64(at)] = first + place, own
        at += is_new
        ends[np.uint64(at - 1)] = first + place + 1
    return int(at)


@kernel
def _edge(
    begin: Ints, end: Ints, owner: Ints, height: int, width: int, closed: bool
) -> tuple[Ints, Ints, Ints]:  # pragma: no cover (compiled)
    """Runs of edge pixels, with the index of each run's object; ``closed``: the border makes an edge too.

    Pixels inside an object lie between others of their run, and below and above runs of the same object. So
    runs alone are read.
    """
    count_runs, most = len(begin), (end - begin).sum()
    begins, ends, owners = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    count, above, below, y, row = 0, 0, 0, 0, 0
    for run in range(count_runs):
        while begin[run] >= row + width:
            y, row = y + 1, row + width
        first, last, own = begin[run], end[run], owner[run]
        # The first runs of the rows above and below that end behind the beginning of this one.
        while begin[above] < row - width or (begin[above] < row and end[above] + width <= first):
            above += 1
        while below < count_runs and (begin[below] < row + width or end[below] <= first + width):
            below += 1
        low = first if first == row and not closed else first + 1
        high = last if last == row + width and not closed else last - 1
        at_top, at_bottom = y == 0, y == height - 1
        up, down, at = above, below, first
        while not (closed and (at_top or at_bottom)):
            if not at_top:
                if begin[up] >= row or begin[up] + width >= last:
                    break
                if owner[up] != own:
                    up += 1
                    continue
            if not at_bottom:
                if down == count_runs or begin[down] >= last + width:
                    break
                if owner[down] != own:
                    down += 1
                    continue
            begin_up, end_up = (low, high) if at_top else (begin[up] + width, end[up] + width)
            begin_down, end_down = (low, high) if at_bottom else (begin[down] - width, end[down] - width)
            inside = max(low, begin_up, begin_down)
            inside_end = min(high, end_up, end_down)
            if inside < inside_end:
                if at < inside:
                    begins[count], ends[count], owners[count] = at, inside, own
                    count += 1
                at = inside_end
            if at_top and at_bottom:
                break
            if at_bottom or (not at_top and end_up <= end_down):
                up += 1
            else:
                down += 1
        if at < last:
            begins[count], ends[count], owners[count] = at, last, own
            count += 1
    return begins[:count].copy(), ends[:count].copy(), owners[:count].copy()
