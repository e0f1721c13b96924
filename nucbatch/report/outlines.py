"""Outlines of labelled objects: traced along the pixels' edges, as an SVG path or as a compact code.

A contour is a closed walk along edges between an object's pixels and others, with the object on the right.
Drawn are the middles of its edges, which cut corners as marching squares do. Outlines are vectors, so that
the pixels below stay unchanged and can be viewed without outlines.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.jit import frozen, kernel

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
    texts = []
    ends = np.cumsum(starts[:, 2])
    for (y, x, length), end in zip(starts.tolist(), ends.tolist(), strict=True):
        walked = np.zeros(-(-length // 3) * 3, np.uint8)
        walked[:length] = steps[end - length : end]
        thirds = walked.reshape(-1, 3)
        head = [x >> 6, x & 63, y >> 6, y & 63, length >> 12, length >> 6 & 63, length & 63]
        texts.append(_LETTERS[np.concatenate([head, thirds[:, 0] << 4 | thirds[:, 1] << 2 | thirds[:, 2]])])
    return np.concatenate(texts).tobytes().decode("ascii") if texts else ""


_MOVES = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)], np.int64)  # right, down, left, up as (y, x)


def trace(labels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Walks along all contours of labels (Y, X), in raster order of their first edge.

    Returns:
        (C, 3) int64: corner (y, x) where each contour begins, and its number of steps; the corner of pixel
        (y, x) towards the origin is (y, x). (S,) uint8: the steps of all contours one after the other: 0
        right, 1 down, 2 left, 3 up.
    """
    padded = frozen(np.pad(labels, 1), np.uint32)
    starts, steps = _trace(padded)
    return starts, steps


@kernel
def _trace(
    padded: NDArray[np.uint32],
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    height, width = padded.shape
    edges = 0
    tops = 0
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            label = padded[y, x]
            if label == 0:
                continue
            tops += padded[y - 1, x] != label
            edges += padded[y - 1, x] != label
            edges += padded[y + 1, x] != label
            edges += padded[y, x - 1] != label
            edges += padded[y, x + 1] != label
    steps = np.empty(edges, np.uint8)
    starts = np.empty((tops, 3), np.int64)
    walked = np.zeros((height, width), np.bool_)  # pixels whose upper edge belongs to a contour already
    down = np.array([0, 1, 0, -1])
    right = np.array([1, 0, -1, 0])
    at = 0
    contours = 0
    for first_y in range(1, height - 1):
        for first_x in range(1, width - 1):
            label = padded[first_y, first_x]
            if label == 0 or padded[first_y - 1, first_x] == label or walked[first_y, first_x]:
                continue
            begin = at
            y, x, heading = first_y, first_x, 0
            while True:
                if heading == 0:
                    if walked[y, x]:
                        break  # back at the first edge
                    walked[y, x] = True
                steps[at] = heading
                at += 1
                y += down[heading]
                x += right[heading]
                # The two pixels ahead, beyond the corner (y, x): on the left and on the right of the heading.
                left_y = y - 1 if heading == 0 or heading == 3 else y
                left_x = x - 1 if heading == 3 or heading == 2 else x
                right_y = y - 1 if heading == 3 or heading == 2 else y
                right_x = x - 1 if heading == 2 or heading == 1 else x
                if padded[left_y, left_x] == label:
                    heading = (heading + 3) % 4
                elif padded[right_y, right_x] != label:
                    heading = (heading + 1) % 4
            starts[contours] = (first_y - 1, first_x - 1, at - begin)
            contours += 1
    return starts[:contours].copy(), steps
