"""Run-length encoding of a mask, so that later passes skip background.

Most pixels of an image of nuclei are background. The mask is read once, eight pixels at a time. All later
passes follow the runs. Runs are in raster order, and a run ends at the end of its row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.jit import kernel

# Words of eight pixels that are all background, and all foreground.
_NONE, _ALL = np.uint64(0), np.uint64(0x0101010101010101)


@dataclass(frozen=True, slots=True)
class Runs:
    """Run-length encoded mask: runs of foreground pixels in raster order.

    Attributes:
        begin: (R,) int64, linear index of the first pixel of each run.
        end: (R,) int64, linear index after the last pixel of each run.
    """

    begin: NDArray[np.int64]
    end: NDArray[np.int64]

    @property
    def pixels(self) -> int:
        """Total number of foreground pixels."""
        return int((self.end - self.begin).sum())

    def highest(self, labels: NDArray[np.uint32]) -> int:
        """Returns the largest label of the runs' pixels in a contiguous image (Y, X); 0 without pixels."""
        return int(_highest(self.begin, self.end, labels.ravel()))


def runs_of(inside: NDArray[np.bool_]) -> Runs:
    """Encodes a mask (Y, X), bool.

    >>> runs = runs_of(np.array([[0, 1, 1], [1, 0, 1]], bool))
    >>> runs.begin.tolist(), runs.end.tolist()
    ([1, 3, 5], [3, 4, 6])
    """
    height, width = inside.shape
    pixels = np.ascontiguousarray(inside).view(np.uint8).ravel()
    if len(pixels) % 8:
        pixels = np.concatenate([pixels, np.zeros(-len(pixels) % 8, np.uint8)])
    return Runs(*_along_rows(_edges(pixels, _with_edges(pixels.view(np.uint64))), height, width))


@kernel
def _with_edges(eights: NDArray[np.uint64]) -> NDArray[np.int64]:  # pragma: no cover (compiled)
    """Returns the words in which the mask may change: all except uniform words after an equal one."""
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
    """Returns the positions where the mask changes: alternately begin and end of a run."""
    edges = np.empty(8 * len(eights) + 1, np.int64)
    count, last = 0, np.uint8(0)
    for eight in eights:
        for at in range(8 * eight, 8 * eight + 8):
            edges[count] = at
            count += pixels[at] != last
            last = pixels[at]
    edges[count] = len(pixels)  # closes a run that reaches the end of the mask
    return edges[: count + last]


@kernel
def _along_rows(
    edges: NDArray[np.int64], height: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # pragma: no cover (compiled)
    """Builds runs from edges and splits them at row ends."""
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


@kernel
def _highest(
    begin: NDArray[np.int64], end: NDArray[np.int64], labels: NDArray[np.uint32]
) -> np.uint32:  # pragma: no cover (compiled)
    found = np.uint32(0)
    for run in range(len(begin)):
        for pixel in range(np.uint64(begin[run]), np.uint64(end[run])):
            found = max(found, labels[pixel])
    return found
