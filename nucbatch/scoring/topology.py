"""Digital topology in the plane: which pixels may change without anything being joined, cut, made or filled.

Decided here: foreground is connected over edges (4), background over corners too (8), and beyond the image
there is background. A pixel is *simple* if exactly one piece of foreground in its 3 × 3 neighbourhood touches
it by an edge, and the neighbourhood has background (Kong & Rosenfeld, Digital topology, Computer Vision,
Graphics and Image Processing 48, 1989). Changing a simple pixel changes no count of objects or holes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.jit import kernel

Mask = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

# The eight neighbours in a circle, from the one above, clockwise; even ones share an edge with the pixel.
CIRCLE: tuple[tuple[int, int], ...] = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


def _pieces(code: int) -> int:
    """Pieces of foreground that touch the pixel by an edge; bit k of ``code`` is neighbour k of the circle.

    Two edge neighbours are of one piece if the corner between them is foreground.
    """
    edges = sum(code >> k & 1 for k in range(0, 8, 2))
    joints = sum(all(code >> (k + step) % 8 & 1 for step in range(3)) for k in range(0, 8, 2))
    # Four edges joined by four corners close the circle: one piece, not none.
    return max(edges - joints, int(edges > 0))


PIECES: Mask = np.array([_pieces(code) for code in range(256)], np.uint8)
"""(256,) uint8: pieces of foreground at a pixel by its neighbourhood's code."""

SIMPLE: Mask = np.array([_pieces(code) == 1 and code != 255 for code in range(256)], np.uint8)
"""(256,) uint8: 1 where a pixel with such a neighbourhood is simple."""


def offsets(width: int) -> Ints:
    """The circle (8,) int64 as steps in a flat image of that width."""
    return np.array([row * width + column for row, column in CIRCLE], np.int64)


@kernel
def warp(source: Any, target: Any, simple: Any, around: Any, pending: Any) -> int:
    """Changes simple pixels of ``source`` towards ``target`` until none is left; returns how many changed.

    The pixels that differ are visited in waves, the first in raster order; a change puts its neighbours that
    differ into the next wave. So borders move evenly from all sides, and the result is always the same.

    Args:
        source, target: (N,) uint8 of 0 and 1, flat images with a frame of background; source is changed.
        simple: (256,) :data:`SIMPLE`. around: (8,) :func:`offsets`.
        pending: (K,) int64, all positions where the two differ, ascending. It is overwritten.
    """
    changed = 0
    queued = np.zeros(source.size, np.uint8)
    for index in range(pending.size):
        queued[pending[index]] = 1
    later = np.empty(pending.size, np.int64)
    count = pending.size
    while count:
        following = 0
        for index in range(count):
            at = pending[index]
            queued[at] = 0
            code = 0
            for k in range(8):
                code |= source[at + around[k]] << k
            if simple[code] == 0:
                continue
            source[at] = target[at]
            changed += 1
            for k in range(8):
                near = at + around[k]
                if source[near] != target[near] and queued[near] == 0:
                    queued[near] = 1
                    later[following] = near
                    following += 1
        pending, later = later, pending
        count = following
    return changed


@kernel
def splits_and_merges(
    source: Any, objects: Any, grounds: Any, pieces: Any, around: Any, differing: Any
) -> tuple[int, int]:
    """How many of the pixels that can't change would cut an object, and how many would join two.

    A foreground pixel with several pieces around it cuts its object if two backgrounds at it are one
    elsewhere; if all are different it only opens holes into one another. A background pixel joins objects if
    the pieces at it are of different objects; if they are of one, it closes off a hole.

    Args:
        source: (N,) uint8 flat image with a frame. objects: (N,) its 4-connected foreground components.
        grounds: (N,) its 8-connected background components. pieces: (256,) :data:`PIECES`.
        around: (8,) :func:`offsets`. differing: (K,) int64 positions.
    """
    cuts = 0
    joins = 0
    seen = np.empty(8, np.int64)
    for index in range(differing.size):
        at = differing[index]
        code = 0
        for k in range(8):
            code |= source[at + around[k]] << k
        if pieces[code] < 2:
            continue
        different = 0
        for k in range(8):
            near = at + around[k]
            if source[at] == 0 and k % 2 == 1:
                continue
            name = objects[near] if source[at] == 0 else grounds[near]
            if name == 0:
                continue
            known = False
            for j in range(different):
                known = known or seen[j] == name
            if not known:
                seen[different] = name
                different += 1
        if source[at] == 0:
            joins += different > 1
        else:
            cuts += different < pieces[code]
    return cuts, joins
