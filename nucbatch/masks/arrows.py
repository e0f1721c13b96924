"""Offsets as arrows: how a map holds them, and where a pixel gets that follows them.

The decision owned here: an offset map says the way from a pixel to its nucleus' middle along one axis, 0.5
being "here", 0 and 1 REACH_PX back and forth. Longer ways are shortened to REACH_PX in their own direction:
one gets there in several steps. As uint8 that is a quarter of a pixel's resolution; steps are whole pixels,
so that the last bits of a device's floats can't lead astray, and never lead out of a pixel's own component.

Arrows are followed for the foreground's pixels alone, often a few in a hundred, and all at once: two steps
lead to where one step leads from where one step led.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucbatch.jit import kernel
from nucbatch.runs import Runs

REACH_PX = 32.0
DOUBLINGS = 3
STEPS = 2**DOUBLINGS

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


@dataclass(frozen=True, slots=True)
class Arrows:
    """The foreground's F < 2³² pixels in raster order, and where each arrives.

    ``pixels`` (F,) int64: linear indices. ``place`` (Y, X) uint32: where in ``pixels`` a pixel of the
    foreground is listed; anything elsewhere. ``end`` (F,) uint32: where in ``pixels`` the one is listed at
    which each arrives.
    """

    pixels: NDArray[np.int64]
    place: NDArray[np.uint32]
    end: NDArray[np.uint32]


def followed(components: NDArray[np.uint32], offsets: NDArray[np.uint8], runs: Runs) -> Arrows:
    """Where each pixel of components arrives.

    Args:
        components: (Y, X) uint32, 0 is background.
        offsets: (2, Y, X) uint8, y and x.
        runs: of the components' pixels.
    """
    components = np.ascontiguousarray(components)
    pixels, place = np.empty(runs.pixels, np.int64), np.empty(components.shape, np.uint32)
    _list(runs.begin, runs.end, pixels, place.ravel())
    end = _one_step(components, np.ascontiguousarray(offsets), pixels, place, _STEP_PX)
    for _ in range(DOUBLINGS):
        end = _twice(end)
    return Arrows(pixels, place, end)


@kernel
def _list(
    begin: NDArray[np.int64], end: NDArray[np.int64], pixels: NDArray[np.int64], place: NDArray[np.uint32]
) -> None:  # pragma: no cover (compiled)
    listed = 0
    for run in range(len(begin)):
        for pixel in range(begin[run], end[run]):
            pixels[listed] = pixel
            place[pixel] = listed
            listed += 1


@kernel
def _one_step(
    components: NDArray[np.uint32],
    offsets: NDArray[np.uint8],
    pixels: NDArray[np.int64],
    place: NDArray[np.uint32],
    step_px: NDArray[np.int64],
) -> NDArray[np.uint32]:  # pragma: no cover (compiled)
    height, width = components.shape
    end = np.empty(len(pixels), np.uint32)
    y, row = 0, 0
    for start in range(len(pixels)):
        while pixels[start] >= row + width:
            y, row = y + 1, row + width
        x = pixels[start] - row
        own = components[y, x]
        dy, dx = step_px[offsets[0, y, x]], step_px[offsets[1, y, x]]
        end[start] = start
        # An arrow that points out of the component is shortened until it doesn't.
        while dy != 0 or dx != 0:
            to_y = min(max(y + dy, 0), height - 1)
            to_x = min(max(x + dx, 0), width - 1)
            if components[to_y, to_x] == own:
                end[start] = place[to_y, to_x]
                break
            dy = dy // 2 if dy >= 0 else -(-dy // 2)
            dx = dx // 2 if dx >= 0 else -(-dx // 2)
    return end


@kernel
def _twice(end: NDArray[np.uint32]) -> NDArray[np.uint32]:  # pragma: no cover (compiled)
    """What ``end`` leads to from where it leads."""
    further = np.empty_like(end)
    for start in range(len(end)):
        further[start] = end[end[start]]
    return further
