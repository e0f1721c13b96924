"""Sample of an image for quality figures: band powers and means of small cells, from blocks on a fixed grid.

Blocks of 32 px lie at multiples of a stride that depends on the image's size alone: every block up to 8,192
px, and fewer of a larger image. Each block gives 4 × 4 cells of 8 px, and the power of its structure in four
octave bands. Sums are integers, and a block belongs to the part of an image that holds its first pixel, so
the sample is the same whether an image was read at once or part by part.

A band's power is that of second differences of bins of 1, 2, 4 and 8 px (+1 -1 -1 +1 along rows and along
columns), divided so that white noise has the same power, its variance, in all bands.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.grey_levels import countable
from nucbatch.core.jit import frozen, kernel
from nucbatch.core.tiles import Box

BLOCK_PX = 32
CELL_PX = 8
BANDS = 4
MARGIN_PX = BLOCK_PX
"""Pixels that a window needs around the part of an image whose blocks it samples."""
_ACROSS = BLOCK_PX // CELL_PX
_MOST_BLOCKS = 256  # along a side
_TAPS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Sample of an image or of a part of it.

    Attributes:
        cells: (4 R, 4 C) sums of the pixels of each cell, of R × C blocks; int64, or float64 for floats.
        powers: for each band the sum of squares of its differences.
        first: row and column of the first block in the image's grid of blocks.
    """

    cells: NDArray[Any]
    powers: tuple[float, ...]
    first: tuple[int, int] = (0, 0)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return self.cells.size // _ACROSS**2

    def band_powers(self) -> list[float]:
        """Returns the mean power of each band in squared grey levels, finest first."""
        # In bins of b px, a block has 2 BLOCK_PX² / (4 b²) differences, of variance 4 b² σ² in white noise.
        return [power / (self.blocks * 2 * BLOCK_PX**2) for power in self.powers]

    def to_bytes(self) -> bytes:
        """Packs a sample of integers for :meth:`from_bytes`."""
        head = json.dumps([self.cells.shape, self.powers, self.first]).encode()
        return head + b"\n" + zlib.compress(self.cells.astype("<i4").tobytes(), level=1)

    @classmethod
    def from_bytes(cls, data: bytes) -> Sample:
        """Restores a sample from :meth:`to_bytes`."""
        head, _, cells = data.partition(b"\n")
        shape, powers, first = json.loads(head)
        values = np.frombuffer(zlib.decompress(cells), "<i4").astype(np.int64)
        return cls(values.reshape(shape), tuple(powers), (first[0], first[1]))


def grid_of(shape: tuple[int, int]) -> tuple[int, int, int]:
    """Returns the rows and columns of an image's grid of blocks, and its stride in px.

    >>> grid_of((640, 1000)), grid_of((20, 100)), grid_of((20_000, 16_000))
    ((20, 31, 32), (0, 3, 32), (157, 125, 128))
    """
    stride = BLOCK_PX
    while max(shape) > stride * _MOST_BLOCKS:
        stride *= 2
    rows, columns = (max(0, (side - BLOCK_PX) // stride + 1) for side in shape)
    return rows, columns, stride


def sample_of(window: NDArray[Any], at: Box, core: Box, shape: tuple[int, int]) -> Sample:
    """Samples the blocks whose first pixel lies in a part of an image.

    Args:
        window: (Y, X) pixels of ``at``.
        at: box of the window in the image: the core with :data:`MARGIN_PX` around it, clipped to the image.
        core: the part, in the image's coordinates.
        shape: (Y, X) of the image.
    """
    rows, columns, stride = grid_of(shape)
    begin_y, end_y = -(-core.y0 // stride), min(rows, -(-core.y1 // stride))
    begin_x, end_x = -(-core.x0 // stride), min(columns, -(-core.x1 // stride))
    high, wide = max(0, end_y - begin_y), max(0, end_x - begin_x)
    whole = countable(window.dtype)
    cells = np.zeros((high * _ACROSS, wide * _ACROSS), np.int64)
    first = (begin_y, begin_x)
    if not cells.size:
        return Sample(cells, (0,) * BANDS, first)
    top, left = begin_y * stride - at.y0, begin_x * stride - at.x0
    if not whole:
        return Sample(*_sums_of_floats(window, top, left, stride, (high, wide)), first)
    powers = _sums(frozen(window, np.uint16), top, left, stride, cells)
    return Sample(cells, tuple(sum(band) for band in powers.T.tolist()), first)


def joined(samples: Iterable[Sample], shape: tuple[int, int]) -> Sample:
    """Returns the sample of an image from those of its parts."""
    rows, columns, _ = grid_of(shape)
    cells = np.zeros((rows * _ACROSS, columns * _ACROSS), np.int64)
    powers: list[float] = [0] * BANDS  # integers: their sum is exact in any order
    for part in samples:
        y, x = (_ACROSS * index for index in part.first)
        cells[y : y + part.cells.shape[0], x : x + part.cells.shape[1]] = part.cells
        powers = [a + b for a, b in zip(powers, part.powers, strict=True)]
    return Sample(cells, tuple(powers))


def corner_places(shape: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the rows (5 R,) and columns (5 C,) of the corners of all cells, five along each block's side.

    They are in steps of :data:`CELL_PX` pixels; a corner at the image's far edge is moved inside.
    """
    rows, columns, stride = grid_of(shape)
    steps = np.arange(_ACROSS + 1)
    places = [
        np.minimum((np.arange(count)[:, None] * stride // CELL_PX + steps).ravel(), (side - 1) // CELL_PX)
        for count, side in zip((rows, columns), shape, strict=True)
    ]
    return places[0], places[1]


def labels_at_corners(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Returns the labels (5 R, 5 C) at the corners of an image's cells, from its labels (Y, X)."""
    rows, columns = corner_places(labels.shape)
    return np.asarray(labels[::CELL_PX, ::CELL_PX][np.ix_(rows, columns)])


def in_cells(corners: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Returns for each cell (4 R, 4 C) the largest label at its four corners; 0 outside of all nuclei."""
    side = _ACROSS + 1
    rows, columns = corners.shape[0] // side, corners.shape[1] // side
    blocks = corners.reshape(rows, side, columns, side)
    pairs = np.maximum(blocks[:, :-1], blocks[:, 1:])
    cells = np.maximum(pairs[..., :-1], pairs[..., 1:])
    return np.ascontiguousarray(cells.reshape(rows * _ACROSS, columns * _ACROSS))


@kernel
def _sums(
    plane: NDArray[np.uint16], top: int, left: int, stride: int, cells: NDArray[np.int64]
) -> NDArray[np.int64]:  # pragma: no cover (compiled)
    """Fills the cells, and returns for each row of blocks the sums of squares of each band (R, 4)."""
    rows, columns = cells.shape[0] // 4, cells.shape[1] // 4
    powers = np.zeros((rows, 4), np.int64)
    bins = np.empty((32, 32), np.int64)
    for row in range(rows):
        for column in range(columns):
            y0, x0 = top + row * stride, left + column * stride
            for y in range(32):
                for x in range(32):
                    bins[y, x] = plane[y0 + y, x0 + x]
            side = 32
            for band in range(4):
                total = np.int64(0)
                for y in range(side):
                    for x in range(0, side, 4):
                        along = bins[y, x] - bins[y, x + 1] - bins[y, x + 2] + bins[y, x + 3]
                        total += along * along
                for y in range(0, side, 4):
                    for x in range(side):
                        down = bins[y, x] - bins[y + 1, x] - bins[y + 2, x] + bins[y + 3, x]
                        total += down * down
                powers[row, band] += total
                if band < 3:
                    side //= 2
                    for y in range(side):
                        for x in range(side):
                            bins[y, x] = (
                                bins[2 * y, 2 * x]
                                + bins[2 * y, 2 * x + 1]
                                + bins[2 * y + 1, 2 * x]
                                + bins[2 * y + 1, 2 * x + 1]
                            )
            for y in range(4):
                for x in range(4):
                    cells[4 * row + y, 4 * column + x] = bins[y, x]
    return powers


def _sums_of_floats(
    plane: NDArray[Any], top: int, left: int, stride: int, blocks: tuple[int, int]
) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    """The same for an image of other numbers."""
    rows, columns = blocks
    y = (top + np.arange(rows)[:, None] * stride + np.arange(BLOCK_PX)).ravel()
    x = (left + np.arange(columns)[:, None] * stride + np.arange(BLOCK_PX)).ravel()
    bins = plane[np.ix_(y, x)].astype(np.float64)
    powers = []
    for band in range(BANDS):
        along = bins[:, ::4] - bins[:, 1::4] - bins[:, 2::4] + bins[:, 3::4]
        down = bins[::4] - bins[1::4] - bins[2::4] + bins[3::4]
        powers.append(float((along**2).sum() + (down**2).sum()))
        if band < BANDS - 1:
            bins = bins[::2, ::2] + bins[::2, 1::2] + bins[1::2, ::2] + bins[1::2, 1::2]
    return bins, tuple(powers)
