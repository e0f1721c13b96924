"""Seeded watershed with deterministic ties.

Lower pixels are flooded first; among equals, those that were reached first; seeds start in raster order
(Meyer's flooding: Meyer, 1991; Beucher and Meyer, 1993). So pixels elsewhere in the image can't change how
a tie is decided, which the priority queue of a general watershed doesn't guarantee.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.jit import kernel


def flood(
    seeds: NDArray[np.uint32], height: NDArray[np.uint8], inside: NDArray[np.bool_]
) -> NDArray[np.uint32]:
    """Grows seeds over ``inside`` by a watershed; returns labels (Y, X) uint32.

    Args:
        seeds: (Y, X) uint32, 0 where there is none; their pixels never change.
        height: (Y, X) uint8, low pixels are flooded first.
        inside: (Y, X) bool, the pixels over which seeds grow, by 4-connected steps.
    """
    grown = _flood(np.ascontiguousarray(seeds), np.ascontiguousarray(height), np.ascontiguousarray(inside))
    return np.asarray(grown, np.uint32)


def grow(seeds: NDArray[np.uint32], inside: NDArray[np.bool_], reach_px: int) -> NDArray[np.uint32]:
    """Grows seeds (Y, X) uint32 over ``inside`` by up to ``reach_px`` steps; returns labels (Y, X) uint32.

    Each pixel goes to the seed that reaches it first; among several in the same step, to the one
    whose path starts first in raster order. So a pixel depends only on seeds within that many steps.
    """
    grown = _grow(np.ascontiguousarray(seeds), np.ascontiguousarray(inside), reach_px)
    return np.asarray(grown, np.uint32)


def grow_back(labels: NDArray[np.uint32], inside: NDArray[np.uint32], free: NDArray[np.int64]) -> None:
    """Grows labels (Y, X) uint32, in place, over all free pixels that can be reached.

    The order is that of :func:`grow`, and of :func:`flood` at constant height; only free pixels are visited.

    Args:
        labels: contiguous.
        inside: (Y, X) uint32, contiguous; labels grow where it isn't 0.
        free: linear indices, ascending, of pixels inside without a label.
    """
    _grow_on(labels, inside, np.sort(_first_ways(labels, free)), len(free))


@kernel
def _grow(
    seeds: NDArray[np.uint32], inside: NDArray[np.bool_], reach_px: int
) -> NDArray[np.uint32]:  # pragma: no cover (compiled)
    rows, columns = seeds.shape
    labels = seeds.copy()
    free = 0
    for y in range(rows):
        for x in range(columns):
            if inside[y, x] and seeds[y, x] == 0:
                free += 1
    reached = np.empty(free, np.int64)
    count = 0
    for y in range(rows):
        for x in range(columns):
            if seeds[y, x] != 0:
                count = _step(y, x, labels, inside, reached, count)
    begin = 0
    for _ in range(reach_px - 1):
        end = count
        for at in range(begin, end):
            count = _step(reached[at] // columns, reached[at] % columns, labels, inside, reached, count)
        begin = end
        if count == end:
            break
    return labels


@kernel
def _step(
    y: int,
    x: int,
    labels: NDArray[np.uint32],
    inside: NDArray[np.bool_] | NDArray[np.uint32],
    reached: NDArray[np.int64],
    count: int,
) -> int:  # pragma: no cover (compiled)
    """Gives a pixel's label to its free neighbours, and lists them."""
    rows, columns = labels.shape
    for dy, dx in ((-1, 0), (0, -1), (0, 1), (1, 0)):
        to_y, to_x = y + dy, x + dx
        if 0 <= to_y < rows and 0 <= to_x < columns and labels[to_y, to_x] == 0 and inside[to_y, to_x]:
            labels[to_y, to_x] = labels[y, x]
            reached[count] = to_y * columns + to_x
            count += 1
    return count


@kernel
def _first_ways(
    labels: NDArray[np.uint32], free: NDArray[np.int64]
) -> NDArray[np.int64]:  # pragma: no cover (compiled)
    """Lists first steps onto free pixels: index of the labelled neighbour times 4, plus the direction.

    The neighbour is the first in raster order; directions are up, left, right, down. Sorted, these numbers
    give the order in which pixels are reached.
    """
    rows, columns = labels.shape
    ways = np.empty(len(free), np.int64)
    count = 0
    for pixel in free:
        y, x = pixel // columns, pixel % columns
        for dy, dx, direction in ((-1, 0, 3), (0, -1, 2), (0, 1, 1), (1, 0, 0)):
            by_y, by_x = y + dy, x + dx
            if 0 <= by_y < rows and 0 <= by_x < columns and labels[by_y, by_x] != 0:
                ways[count] = (by_y * columns + by_x) * 4 + direction
                count += 1
                break
    return ways[:count]


@kernel
def _grow_on(
    labels: NDArray[np.uint32], inside: NDArray[np.uint32], ways: NDArray[np.int64], free: int
) -> None:  # pragma: no cover (compiled)
    columns = labels.shape[1]
    towards = (-columns, -1, 1, columns)
    reached = np.empty(free, np.int64)
    for at in range(len(ways)):
        reached[at] = ways[at] // 4 + towards[ways[at] % 4]
        labels.flat[reached[at]] = labels.flat[ways[at] // 4]
    at, count = 0, len(ways)
    while at < count:
        count = _step(reached[at] // columns, reached[at] % columns, labels, inside, reached, count)
        at += 1


@kernel
def _flood(
    seeds: NDArray[np.uint32], height: NDArray[np.uint8], inside: NDArray[np.bool_]
) -> NDArray[np.uint32]:  # pragma: no cover (compiled)
    rows, columns = seeds.shape
    labels = seeds.copy()
    following = np.full(seeds.size, -1, np.int64)  # one queue per height, linked through the pixels
    first = np.full(256, -1, np.int64)
    last = np.full(256, -1, np.int64)
    for y in range(rows):
        for x in range(columns):
            if seeds[y, x] != 0:
                _spread(y, x, 0, labels, height, inside, first, last, following)
    for level in range(256):
        while first[level] >= 0:
            position = first[level]
            first[level] = following[position]
            y, x = position // columns, position % columns
            _spread(y, x, level, labels, height, inside, first, last, following)
    return labels


@kernel
def _spread(
    y: int,
    x: int,
    level: int,
    labels: NDArray[np.uint32],
    height: NDArray[np.uint8],
    inside: NDArray[np.bool_],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    following: NDArray[np.int64],
) -> None:  # pragma: no cover (compiled)
    """Gives a pixel's label to its free neighbours, and queues them."""
    rows, columns = labels.shape
    for dy, dx in ((-1, 0), (0, -1), (0, 1), (1, 0)):
        to_y, to_x = y + dy, x + dx
        if not (0 <= to_y < rows and 0 <= to_x < columns):
            continue
        if labels[to_y, to_x] != 0 or not inside[to_y, to_x]:
            continue
        labels[to_y, to_x] = labels[y, x]
        own = height[to_y, to_x]
        queue = level if own < level else own
        reached = to_y * columns + to_x
        if first[queue] < 0:
            first[queue] = reached
        else:
            following[last[queue]] = reached
        last[queue] = reached
