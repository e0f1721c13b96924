"""The ring of background around each object, and each object's edge, as regions to be measured.

Both depend on nothing farther away than the ring's outer distance. Distances are Euclidean, between the
centres of pixels. The nearest object of a pixel is found column by column, then along its row, as in an exact
distance transform (Meijster et al., 2000), but only within the ring's reach, so that background far from
objects costs almost nothing.
"""

from __future__ import annotations

import math

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
    begin, end, owner = _ring(
        labels, math.floor(outer_px), math.floor(inner_px * inner_px), math.floor(outer_px * outer_px)
    )
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
    labels: npt.NDArray[np.uint32], reach: int, inner2: int, outer2: int
) -> tuple[Ints, Ints, Ints]:  # pragma: no cover (compiled)
    """Runs of ring pixels, with the index of each run's object."""
    height, width = labels.shape
    none = np.uint8(reach + 1)
    below = np.empty((height, width), np.uint8)  # rows to the nearest object pixel below
    for x in range(width):
        below[height - 1, x] = 0 if labels[height - 1, x] else none
    for y in range(height - 2, -1, -1):
        for x in range(width):
            further = min(np.uint8(below[y + 1, x] + 1), none)
            below[y, x] = 0 if labels[y, x] else further
    most = height * width
    begins, ends, owner = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    count = 0
    above = np.full(width, none, np.uint8)
    column = np.empty(width, np.uint8)  # rows to the nearest object pixel of the column
    for y in range(height):
        nearest = none
        for x in range(width):
            further = min(np.uint8(above[x] + 1), none)
            above[x] = 0 if labels[y, x] else further
            column[x] = min(above[x], below[y, x])
            nearest = min(nearest, column[x])
        if nearest == none:
            continue
        ahead, seen = 0, -reach - 1  # next and last column that has an object pixel within reach
        for x in range(width):
            while ahead < width and (ahead < x or column[ahead] == none):
                ahead += 1
            if column[x] != none:
                seen = x
            if labels[y, x] or (x - seen > reach and ahead - x > reach):
                continue
            best, who = np.int64(outer2), np.uint32(0)
            for across in range(reach + 1):
                if across * across > best:
                    break
                for side in range(2 if across else 1):
                    at = x + across if side else x - across
                    if at < 0 or at >= width or column[at] == none:
                        continue
                    rows = np.int64(column[at])
                    far = across * across + rows * rows
                    if far > best:
                        continue
                    label = labels[y - rows, at] if above[at] == rows else labels[y + rows, at]
                    if above[at] == below[y, at]:
                        label = min(label, labels[y + rows, at])
                    if far < best or who == 0 or label < who:
                        best, who = np.int64(far), label
            if who == 0 or best <= inner2:
                continue
            pixel = y * width + x
            if count and ends[count - 1] == pixel and owner[count - 1] == who - 1 and x > 0:
                ends[count - 1] = pixel + 1
            else:
                begins[count], ends[count], owner[count] = pixel, pixel + 1, np.int64(who) - 1
                count += 1
    return begins[:count].copy(), ends[:count].copy(), owner[:count].copy()


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
