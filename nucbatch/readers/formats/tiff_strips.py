"""Reads boxes of uncompressed TIFF strips directly from the file.

Positioned reads are used instead of a memory map. The bytes read are then known exactly, a truncated file
gives an error instead of a signal, and threads can share one descriptor.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.tiles import Box
from nucbatch.readers.formats.plane_reader import Cost

_MOST_BYTES = 1 << 30  # a system call reads at most 2 GiB


def read_exactly(descriptor: int, offset: int, count: int) -> bytes:
    """Reads ``count`` bytes at ``offset``.

    Raises:
        UnreadableImage: the file is shorter.
    """
    parts: list[bytes] = []
    while count:
        part = os.pread(descriptor, min(count, _MOST_BYTES), offset)
        if not part:
            raise UnreadableImage(f"truncated: {count:,} bytes are missing at {offset:,}")
        parts.append(part)
        offset, count = offset + len(part), count - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class PlainRows:
    """Rows of raw values (X, S) on disk, in strips of equal height at any offsets.

    Args:
        descriptor: of the open file.
        begins: offset of each strip in bytes.
        rows: height of a strip.
        width: pixels of a row.
        samples: values per pixel.
        dtype: with the file's byte order.
    """

    def __init__(
        self,
        descriptor: int,
        begins: NDArray[np.int64],
        rows: int,
        width: int,
        samples: int,
        dtype: np.dtype[Any],
    ) -> None:
        self._descriptor = descriptor
        self._begins = begins
        self._rows = rows
        self._samples = samples
        self._dtype = dtype
        self._row_bytes = width * samples * dtype.itemsize
        self._width = width

    def read(self, box: Box, cost: Cost) -> NDArray[Any]:
        """Reads a box as (Y, X, S), in the file's byte order."""
        height, width = box.shape
        out = np.empty((height, width, self._samples), self._dtype)
        step = self._rows if width == self._width else 1  # rows of full width are contiguous
        row = box.y0
        while row < box.y1:
            strip, inside = divmod(row, self._rows)
            count = min(step, self._rows - inside, box.y1 - row)
            offset = int(self._begins[strip]) + inside * self._row_bytes
            offset += box.x0 * self._samples * self._dtype.itemsize
            length = count * width * self._samples * self._dtype.itemsize
            data = read_exactly(self._descriptor, offset, length)
            values = np.frombuffer(data, self._dtype)
            out[row - box.y0 : row - box.y0 + count] = values.reshape(count, width, self._samples)
            cost.pieces += 1
            cost.stored_bytes += length
            row += count
        return out
