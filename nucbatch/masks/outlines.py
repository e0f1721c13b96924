"""Outlines of labelled objects as polygons along pixel edges, and polygons filled back to masks.

A pixel (y, x) covers the square from (x, y) to (x + 1, y + 1), as in QuPath, ImageJ and COCO. Outlines have
their vertices at corners of pixels, so a mask that is filled from its outlines is exactly the mask again. A
pixel belongs to a polygon if its centre lies inside.

Rings are simple: none touches itself. Outer rings run counterclockwise and holes clockwise, for x to the
right and y upwards (RFC 7946). An object whose pixels touch at corners alone has several outer rings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nucbatch.core.jit import frozen, kernel

Ring = npt.NDArray[np.int64]
"""Corners (N, 2) of a polygon as x, y; the first is not repeated at the end."""


@dataclass(frozen=True, slots=True)
class Outline:
    """Outline of one object: its label, and for each part the outer ring followed by those of holes."""

    label: int
    parts: tuple[tuple[Ring, ...], ...]


def outlines_of(labels: npt.NDArray[np.integer], origin_px: tuple[int, int] = (0, 0)) -> list[Outline]:
    """Traces all objects of a label image.

    >>> outlines_of(np.array([[0, 0, 0], [0, 7, 7]]))[0].parts[0][0].tolist()
    [[1, 1], [3, 1], [3, 2], [1, 2]]

    Args:
        labels: (Y, X), 0 is background.
        origin_px: (y, x) of the first pixel in its image.

    Returns:
        In ascending order of labels.
    """
    corners, ends, owners = _trace(frozen(labels, np.uint32))
    top, left = origin_px
    begin = 0
    rings: dict[int, list[Ring]] = {}
    for end, owner in zip(ends.tolist(), owners.tolist(), strict=True):
        for ring in _simple(corners[begin:end]):
            rings.setdefault(owner, []).append(ring + np.array([left, top]))
        begin = end
    return [Outline(label, _grouped(rings[label])) for label in sorted(rings)]


def borders(labels: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Walks along the borders of all objects of a label image (Y, X), each with its object on the right hand.

    Returns:
        Corners (V, 2) as x, y, where the borders turn, one border after the other; the last corner of each
        is where it began. The end of each border among them (R,).
    """
    corners, ends, _ = _trace(frozen(labels, np.uint32))
    return corners, ends


def fill(
    polygons: Sequence[npt.NDArray[np.floating] | Ring], shape: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Fills polygons (N, 2) of x, y in an image (Y, X): pixels whose centre is inside, by the even-odd rule.

    Parts that lie outside the image are cut off.
    """
    inside = np.zeros(shape, np.bool_)
    for polygon in polygons:
        _fill(frozen(polygon, np.float64), inside)
    return inside


def signed_area(ring: npt.NDArray[np.integer] | npt.NDArray[np.floating]) -> float:
    """Returns the area of a ring (N, 2) of x, y; negative if it runs clockwise, with y upwards."""
    x, y = ring[:, 0], ring[:, 1]
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2


@kernel
def _trace(
    labels: npt.NDArray[np.uint32],
) -> tuple[
    npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]
]:  # pragma: no cover (compiled)
    """Follows each border with its object on the right hand (in the image, where y points down).

    At a corner where the object's pixels touch diagonally it turns right, so that they stay apart.

    Returns:
        Corners (V, 2) of all rings, the end of each ring among them (R,), and its object's label (R,).
    """
    height, width = labels.shape
    seen = np.zeros((height, width), np.bool_)  # upper edges that a ring has passed
    corners = np.empty((256, 2), np.int64)
    ends, owners = np.empty(64, np.int64), np.empty(64, np.int64)
    count = rings = 0
    # Directions: right, down, left, up. The pixel ahead on the right and on the left of a corner (y, x).
    step_y, step_x = (0, 1, 0, -1), (1, 0, -1, 0)
    right_y, right_x = (0, 0, -1, -1), (0, -1, -1, 0)
    left_y, left_x = (-1, 0, 0, -1), (0, 0, -1, -1)
    for top in range(height):
        for start in range(width):
            label = labels[top, start]
            if label == 0 or seen[top, start] or (top > 0 and labels[top - 1, start] == label):
                continue
            y, x, way = top, start, 0
            while True:
                if way == 0:
                    if seen[y, x]:
                        break  # the ring is closed
                    seen[y, x] = True
                y, x = y + step_y[way], x + step_x[way]
                ry, rx = y + right_y[way], x + right_x[way]
                ly, lx = y + left_y[way], x + left_x[way]
                right = 0 <= ry < height and 0 <= rx < width and labels[ry, rx] == label
                left = 0 <= ly < height and 0 <= lx < width and labels[ly, lx] == label
                if right and not left:
                    continue
                way = (way + 1) % 4 if not right else (way + 3) % 4
                if count == len(corners):
                    grown = np.empty((2 * count, 2), np.int64)
                    grown[:count] = corners
                    corners = grown
                corners[count, 0], corners[count, 1] = x, y
                count += 1
            if rings == len(ends):
                more, others = np.empty(2 * rings, np.int64), np.empty(2 * rings, np.int64)
                more[:rings], others[:rings] = ends, owners
                ends, owners = more, others
            ends[rings], owners[rings] = count, label
            rings += 1
    return corners[:count], ends[:rings], owners[:rings]


def _simple(ring: Ring) -> list[Ring]:
    """Splits a ring where it touches itself, and starts each part at its first corner in raster order."""
    points = [tuple(point) for point in ring.tolist()]
    parts = []
    if len(set(points)) == len(points):
        parts = [points]
    else:
        path: list[tuple[int, ...]] = []
        at: dict[tuple[int, ...], int] = {}
        for point in points:
            if point in at:
                parts.append(path[at[point] :])
                for gone in path[at[point] :]:
                    del at[gone]
                del path[len(path) - len(parts[-1]) :]
            at[point] = len(path)
            path.append(point)
        parts.append(path)
    return [_from_first(np.array(part, np.int64)) for part in parts]


def _from_first(ring: Ring) -> Ring:
    first = int(np.lexsort((ring[:, 0], ring[:, 1]))[0])
    return np.roll(ring, -first, axis=0)


def _grouped(rings: list[Ring]) -> tuple[tuple[Ring, ...], ...]:
    """Puts each hole after the smallest outer ring around it."""
    areas = [signed_area(ring) for ring in rings]
    outer = [(area, ring, [ring]) for area, ring in zip(areas, rings, strict=True) if area > 0]
    for area, ring in zip(areas, rings, strict=True):
        if area < 0:
            around = [one for one in outer if one[0] > -area and _holds(one[1], ring)]
            min(around, key=lambda one: one[0])[2].append(ring)
    return tuple(tuple(part) for _, _, part in outer)


def _holds(outer: Ring, hole: Ring) -> bool:
    """Tells whether a hole, whose first corner is its upper left one, lies in an outer ring."""
    x, y = hole[0] + 0.5  # the centre of a pixel of the hole
    (x0, y0), y1 = outer.T, np.roll(outer[:, 1], -1)
    crossing = ((y0 <= y) != (y1 <= y)) & (x0 > x)  # upright edges to the right
    return bool(np.count_nonzero(crossing) % 2)


@kernel
def _fill(
    polygon: npt.NDArray[np.float64], inside: npt.NDArray[np.bool_]
) -> None:  # pragma: no cover (compiled)
    """Inverts the pixels of ``inside`` whose centre lies in a polygon, row by row."""
    height, width = inside.shape
    count = len(polygon)
    if count < 3:
        return
    first = max(0, int(np.ceil(polygon[:, 1].min() - 0.5)))
    last = min(height, int(np.ceil(polygon[:, 1].max() - 0.5)))
    crossings = np.empty(count, np.float64)
    for row in range(first, last):
        y = row + 0.5
        found = 0
        for at in range(count):
            x0, y0 = polygon[at]
            x1, y1 = polygon[(at + 1) % count]
            if (y0 <= y) != (y1 <= y):
                crossings[found] = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
                found += 1
        ordered = np.sort(crossings[:found])
        for pair in range(0, found - 1, 2):
            begin = max(0, int(np.ceil(ordered[pair] - 0.5)))
            end = min(width, int(np.ceil(ordered[pair + 1] - 0.5)))
            for column in range(begin, end):
                inside[row, column] = not inside[row, column]
