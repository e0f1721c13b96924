"""Outlines of labelled objects for the page, as an SVG path or as a compact code.

A contour is a closed walk along edges between an object's pixels and others, with the object on the right.
Drawn are the middles of its edges, which cut corners as marching squares do. Outlines are vectors, so that
the pixels below stay unchanged and can be viewed without outlines.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.masks.outlines import borders

_LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", np.uint8)
MOST_SIDE_PX = 4095  # of labels whose outlines are coded: a coordinate has two letters


def outline_path(labels: NDArray[Any]) -> str:
    """All outlines of labels (Y, X) as SVG path data, in half pixels: pixel (y, x) covers 2x to 2x+2.

    Collinear steps are merged.
    """
    starts, steps = trace(labels)
    if not len(starts):
        return ""
    # All contours at once: a field has hundreds of them with a few dozen points each.
    ends = np.cumsum(starts[:, 2])
    begins = ends - starts[:, 2]
    moves = _MOVES[steps]
    corners = np.cumsum(moves, axis=0) - moves  # each contour's own origin is subtracted next
    corners += np.repeat(starts[:, :2] - corners[begins], starts[:, 2], axis=0)
    points = 2 * corners + moves
    after = np.roll(points, -1, axis=0) - points
    after[ends - 1] = points[begins] - points[ends - 1]
    before = np.roll(after, 1, axis=0)
    before[begins] = after[ends - 1]
    is_corner = np.any(after != before, axis=1)
    is_corner[begins] = True
    kept = points[is_corner]
    texts = [f" {x} {y}" for y, x in np.diff(kept, axis=0, prepend=kept[:1]).tolist()]
    first = np.cumsum(is_corner)[begins] - 1
    for at, (y, x) in zip(first.tolist(), kept[first].tolist(), strict=True):
        texts[at] = f"zM{x} {y}l"
    return "".join(texts)[1:] + "z"


def outline_code(labels: NDArray[Any]) -> str:
    """All outlines of labels (Y, X), sides up to :data:`MOST_SIDE_PX`, as text of 64 letters.

    Each contour: x and y of its first corner (2 letters each, the higher 6 bits first), its number of steps
    (3 letters), then its steps of 2 bits (0 right, 1 down, 2 left, 3 up), three to a letter, first step
    highest. The page's script draws it.
    """
    starts, steps = trace(labels)
    if not len(starts):
        return ""
    # All contours at once, as in outline_path.
    y, x, lengths = starts.T
    letters = -(-lengths // 3)
    ends = np.cumsum(letters)
    begins, first_steps = ends - letters, np.cumsum(lengths) - lengths
    padded = np.zeros(3 * int(ends[-1]), np.uint8)
    padded[np.arange(len(steps)) + np.repeat(3 * begins - first_steps, lengths)] = steps
    thirds = padded.reshape(-1, 3)
    numbers = np.arange(len(starts))
    code = np.empty(int(ends[-1]) + _HEAD * len(starts), np.uint8)
    code[np.arange(len(thirds)) + np.repeat(_HEAD * (numbers + 1), letters)] = (
        thirds[:, 0] << 4 | thirds[:, 1] << 2 | thirds[:, 2]
    )
    for at, value in enumerate((x >> 6, x, y >> 6, y, lengths >> 12, lengths >> 6, lengths)):
        code[begins + _HEAD * numbers + at] = value & 63
    return _LETTERS[code].tobytes().decode("ascii")


_HEAD = 7  # letters of a contour before its steps
_MOVES = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)], np.int64)  # right, down, left, up as (y, x)


def trace(labels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Walks along all contours of labels (Y, X), in raster order of their first edge.

    Returns:
        (C, 3) int64: corner (y, x) where each contour begins, and its number of steps; the corner of pixel
        (y, x) towards the origin is (y, x). (S,) uint8: the steps of all contours one after the other: 0
        right, 1 down, 2 left, 3 up.
    """
    corners, ends = borders(labels)
    if not len(ends):
        return np.zeros((0, 3), np.int64), np.zeros(0, np.uint8)
    begins = np.concatenate([[0], ends[:-1]])
    before = np.roll(corners, 1, axis=0)
    before[begins] = corners[ends - 1]
    right, down = (corners - before).T
    lengths = np.abs(right) + np.abs(down)
    headings = np.where(right, np.where(right > 0, 0, 2), np.where(down > 0, 1, 3)).astype(np.uint8)
    starts = np.column_stack([corners[ends - 1, ::-1], np.add.reduceat(lengths, begins)])
    return starts, np.repeat(headings, lengths)
