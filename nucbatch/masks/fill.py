"""Holes inside single nuclei are filled.

The decision owned here: a hole is a background region that touches neither the image's border nor more than
one label, and that is not wider than any nucleus' hole: what is LARGEST_HOLE_PX across is ground, so that
nothing has to be known of an image further around than that. So a ring of touching nuclei keeps the empty
ground it encloses, and an island inside a ring is never swallowed. Background is 8-connected, as nuclei are
4-connected.
"""

from __future__ import annotations

import cc3d
import numba
import numpy as np
from numpy.typing import NDArray

LARGEST_HOLE_PX = 64

_OPEN = -1
_UNSEEN = 0


def fill_holes(labels: NDArray[np.uint32], giant: NDArray[np.bool_] | None = None) -> NDArray[np.uint32]:
    """Labels (Y, X) uint32 with the holes of each label filled with that label; a new array.

    ``giant`` (N + 1,): labels whose holes stay open, because nobody sees the whole of them; None: no label.
    """
    ground = cc3d.connected_components(labels == 0, connectivity=8, out_dtype=np.uint32)
    if giant is None:
        giant = np.zeros(int(labels.max(initial=0)) + 1, np.bool_)
    owner = _single_neighbours(np.ascontiguousarray(labels), ground, int(ground.max()), giant)
    filling = np.where(owner > 0, owner, 0).astype(np.uint32)
    return np.where(labels == 0, filling[ground], labels)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]  # numba is untyped
def _single_neighbours(
    labels: NDArray[np.uint32], ground: NDArray[np.uint32], regions: int, giant: NDArray[np.bool_]
) -> NDArray[np.int64]:  # pragma: no cover (compiled)
    """(regions + 1,) int64: the one label around each region, _OPEN where there are several or the border."""
    owner = np.full(regions + 1, _UNSEEN, np.int64)
    owner[0] = _OPEN
    height, width = labels.shape
    top = np.full(regions + 1, -1, np.int64)
    left = np.full(regions + 1, width, np.int64)
    right = np.full(regions + 1, -1, np.int64)
    for y in range(height):
        for x in range(width):
            region = ground[y, x]
            if region == 0:
                continue
            if top[region] < 0:
                top[region] = y
            left[region] = min(left[region], x)
            right[region] = max(right[region], x)
            if max(y - top[region], right[region] - left[region]) >= LARGEST_HOLE_PX:
                owner[region] = _OPEN
                continue
            if y == 0 or x == 0 or y == height - 1 or x == width - 1:
                owner[region] = _OPEN
                continue
            for dy, dx in ((-1, 0), (0, -1), (0, 1), (1, 0)):
                label = labels[y + dy, x + dx]
                if label != 0 and owner[region] != label:
                    alone = owner[region] == _UNSEEN and not giant[label]
                    owner[region] = label if alone else _OPEN
    return owner
