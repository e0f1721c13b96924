"""Offsets as arrows: how a map holds them, and where a pixel gets that follows them.

The decision owned here: an offset map says the way from a pixel to its nucleus' middle along one axis, 0.5
being "here", 0 and 1 REACH_PX back and forth. Longer ways are shortened to REACH_PX in their own direction:
one gets there in several steps. As uint8 that is a quarter of a pixel's resolution; steps are whole pixels,
so that the last bits of a device's floats can't lead astray, and never lead out of a pixel's own component.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

REACH_PX = 32.0
STEPS = 8

_STEP_PX = np.rint((np.arange(256) / 255 - 0.5) * 2 * REACH_PX).astype(np.int64)


def encoded(offsets_px: NDArray[np.floating]) -> NDArray[np.float32]:
    """Offsets (2, Y, X) in px, y and x → maps (2, Y, X) float32 in [0, 1]."""
    length = np.sqrt((offsets_px**2).sum(axis=0))
    shorter = np.minimum(1, REACH_PX / np.maximum(length, 1e-6))
    return np.asarray(0.5 + offsets_px * shorter / (2 * REACH_PX), np.float32)


def rescaled(offsets: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Offset maps (2, Y, X) uint8 with arrows ``factor`` times as long."""
    offsets_px = (offsets.astype(np.float32) / 255 - 0.5) * np.float32(2 * REACH_PX * factor)
    return np.asarray(np.rint(encoded(offsets_px) * 255), np.uint8)


def follow(components: NDArray[np.uint32], offsets: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where each pixel arrives: linear index (Y, X) int64, -1 outside of components.

    Args:
        components: (Y, X) uint32, 0 is background.
        offsets: (2, Y, X) uint8, y and x.
    """
    arrived = _follow(np.ascontiguousarray(components), np.ascontiguousarray(offsets), _STEP_PX, STEPS)
    return np.asarray(arrived, np.int64)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]  # numba is untyped
def _follow(
    components: NDArray[np.uint32], offsets: NDArray[np.uint8], step_px: NDArray[np.int64], steps: int
) -> NDArray[np.int64]:  # pragma: no cover (compiled)
    height, width = components.shape
    arrived = np.full((height, width), -1, np.int64)
    for start_y in range(height):
        for start_x in range(width):
            own = components[start_y, start_x]
            if own == 0:
                continue
            y, x = start_y, start_x
            for _ in range(steps):
                dy, dx = step_px[offsets[0, y, x]], step_px[offsets[1, y, x]]
                # An arrow that points out of the component is shortened until it doesn't.
                while dy != 0 or dx != 0:
                    to_y = min(max(y + dy, 0), height - 1)
                    to_x = min(max(x + dx, 0), width - 1)
                    if components[to_y, to_x] == own:
                        y, x = to_y, to_x
                        break
                    dy = dy // 2 if dy >= 0 else -(-dy // 2)
                    dx = dx // 2 if dx >= 0 else -(-dx // 2)
                if dy == 0 and dx == 0:
                    break
            arrived[start_y, start_x] = y * width + x
    return arrived
