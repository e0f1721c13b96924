"""Digital topology in the plane: which pixels can change without changing objects or holes.

No change of such a pixel joins, cuts, creates or removes an object or a hole. Foreground is 4-connected,
background 8-connected, and beyond the image lies background. A pixel is *simple* if exactly one foreground
component in its 3 × 3 neighbourhood touches it by an edge, and the neighbourhood has background (Kong &
Rosenfeld, Digital topology, Computer Vision, Graphics and Image Processing 48, 1989).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.jit import kernel

Mask = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

# The eight neighbours, clockwise from the one above; those of even index share an edge with the pixel.
CIRCLE: tuple[tuple[int, int], ...] = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


def _pieces(code: int) -> int:
    """Foreground components that touch a pixel by an edge; bit k of ``code`` is neighbour k of the circle.

    Two edge neighbours belong to one component if the corner between them is foreground.
    """
    edges = sum(code >> k & 1 for k in range(0, 8, 2))
    joints = sum(all(code >> (k + step) % 8 & 1 for step in range(3)) for k in range(0, 8, 2))
    # Four edges joined by four corners close the circle: one component, not zero.
    return max(edges - joints, int(edges > 0))


PIECES: Mask = np.array([_pieces(code) for code in range(256)], np.uint8)
"""(256,) uint8: foreground components that touch a pixel, by its neighbourhood's code."""

SIMPLE: Mask = np.array([_pieces(code) == 1 and code != 255 for code in range(256)], np.uint8)
"""(256,) uint8: 1 if a pixel with that neighbourhood is simple."""


def offsets(width: int) -> Ints:
    """The circle of neighbours (8,) int64 as offsets in a flat image of that width."""
    return np.array([row * width + column for row, column in CIRCLE], np.int64)


@kernel
def warp(source: Any, target: Any, simple: Any, around: Any, pending: Any) -> int:
    """Changes simple pixels of ``source`` towards ``target`` until none is left.

    Returns the number of changes.

    Pixels that differ are visited in waves, the first in raster order; a change puts its differing neighbours
    into the next wave. Borders thus move evenly from all sides, and the result is deterministic.

    Args:
        source, target: (N,) uint8 of 0 and 1, flat images with a frame of background; source is changed.
        simple: (256,) :data:`SIMPLE`.
        around: (8,) :func:`offsets`.
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
    """Counts the pixels that would cut an object if changed, and those that would join two objects.

    A foreground pixel with several components around it cuts its object if two backgrounds next to it are
    connected elsewhere; if all are different, changing it only joins holes. A background pixel joins objects
    if the components next to it belong to different objects; if they belong to one, it closes off a hole.

    Args:
        source: (N,) uint8 flat image with a frame.
        objects: (N,) its 4-connected foreground components.
        grounds: (N,) its 8-connected background components.
        pieces: (256,) :data:`PIECES`.
        around: (8,) :func:`offsets`.
        differing: (K,) int64 positions.
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
