"""Run-length encoding of a mask, so that later passes skip background.

Most pixels of an image of nuclei are background. The mask is read once, eight pixels at a time; all later
passes follow the runs. A run never continues into the next row, and runs are in raster order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.jit import kernel

# Eight pixels, none or all of them inside.
_NONE, _ALL = np.uint64(0), np.uint64(0x0101010101010101)


@dataclass(frozen=True, slots=True)
class Runs:
    """``begin`` and ``end`` (R,) int64, half open: linear indices of runs of pixels in an image."""

    begin: NDArray[np.int64]
    end: NDArray[np.int64]

    @property
    def pixels(self) -> int:
        """Total number of pixels."""
        return int((self.end - self.begin).sum())


def runs_of(inside: NDArray[np.bool_]) -> Runs:
    """Runs of a mask (Y, X)."""
    height, width = inside.shape
    pixels = np.ascontiguousarray(inside).view(np.uint8).ravel()
    if len(pixels) % 8:
        pixels = np.concatenate([pixels, np.zeros(-len(pixels) % 8, np.uint8)])
    return Runs(*_along_rows(_edges(pixels, _with_edges(pixels.view(np.uint64))), height, width))


@kernel
def _with_edges(eights: NDArray[np.uint64]) -> NDArray[np.int64]:  # pragma: no cover (compiled)
    """Words of eight pixels in which the mask may change: all but uniform words after an equal one."""
    found = np.empty(len(eights), np.int64)
    count, before = 0, _NONE
    for at in range(len(eights)):
        eight = eights[at]
        found[count] = at
        count += (eight != before) | ((eight != _NONE) & (eight != _ALL))
        before = eight
    return found[:count]


@kernel
def _edges(
    pixels: NDArray[np.uint8], eights: NDArray[np.int64]
) -> NDArray[np.int64]:  # pragma: no cover (compiled)
    """Positions at which the mask changes: begin of a run, its end, begin of the next one, and so on."""
    edges = np.empty(8 * len(eights) + 1, np.int64)
    count, last = 0, np.uint8(0)
    for eight in eights:
        for at in range(8 * eight, 8 * eight + 8):
            edges[count] = at
            count += pixels[at] != last
            last = pixels[at]
    edges[count] = len(pixels)  # the end of the last run, where nothing follows
    return edges[: count + last]


@kernel
def _along_rows(
    edges: NDArray[np.int64], height: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # pragma: no cover (compiled)
    """Runs from edges, split at the ends of rows."""
    begin, end = np.empty(len(edges) // 2 + height, np.int64), np.empty(len(edges) // 2 + height, np.int64)
    count, row_end = 0, 0
    for edge in range(0, len(edges), 2):
        at = edges[edge]
        while at < edges[edge + 1]:
            if at >= row_end:
                row_end = (at // width + 1) * width
            begin[count] = at
            at = min(row_end, edges[edge + 1])
            end[count] = at
            count += 1
    return begin[:count], end[:count]
