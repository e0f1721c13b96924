"""Flows: offset maps as vectors towards the nucleus' centre, and the endpoint that each pixel reaches along
them.

An offset map holds the distance from a pixel to the centre of its nucleus along one axis: 0.5 is 0 px, 0
and 1 are ``REACH_PX`` backwards and forwards. Longer vectors are shortened to ``REACH_PX``; the centre is
then reached in several steps. uint8 resolves a quarter of a pixel. Steps are whole pixels, so that the last
bits of a device's floats can't change a result, and never leave a pixel's own component.

Flows are followed for foreground pixels alone, and for all of them at once by pointer doubling: the
endpoint after 2n steps is the endpoint after n steps of the endpoint after n steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.jit import kernel
from nucbatch.core.rle import Runs

REACH_PX = 32.0
DOUBLINGS = 3
STEPS = 2**DOUBLINGS

_STEP_PX = np.rint((np.arange(256) / 255 - 0.5) * 2 * REACH_PX).astype(np.int64)


def encoded(offsets_px: NDArray[np.floating]) -> NDArray[np.float32]:
    """Encodes offsets (2, Y, X) in px, y and x, as maps (2, Y, X) float32 in [0, 1]."""
    length = np.sqrt((offsets_px**2).sum(axis=0))
    shorter = np.minimum(1, REACH_PX / np.maximum(length, 1e-6))
    return np.asarray(0.5 + offsets_px * shorter / (2 * REACH_PX), np.float32)


def rescaled(offsets: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Returns offset maps (2, Y, X) uint8 with vectors ``factor`` times as long."""
    offsets_px = (offsets.astype(np.float32) / 255 - 0.5) * np.float32(2 * REACH_PX * factor)
    return np.asarray(np.rint(encoded(offsets_px) * 255), np.uint8)


@dataclass(frozen=True, slots=True)
class Flows:
    """Pixels of the foreground (F < 2³²) in raster order, and the endpoint of each.

    ``pixels`` (F,) int64: linear indices. ``place`` (Y, X) uint32: index of each foreground pixel in
    ``pixels``; undefined in the background. ``end`` (F,) uint32: index in ``pixels`` of each pixel's
    endpoint.
    """

    pixels: NDArray[np.int64]
    place: NDArray[np.uint32]
    end: NDArray[np.uint32]


def follow_flows(components: NDArray[np.uint32], offsets: NDArray[np.uint8], runs: Runs) -> Flows:
    """Follows the flow from each pixel of the components to its endpoint.

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
    return Flows(pixels, place, end)


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
        # A vector that points out of the component is halved until it doesn't.
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
    """Returns the endpoints of the endpoints: twice as many steps."""
    further = np.empty_like(end)
    for start in range(len(end)):
        further[start] = end[end[start]]
    return further
