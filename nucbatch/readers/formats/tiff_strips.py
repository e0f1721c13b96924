"""Uncompressed strips: any box is read byte by byte where it lies, without a decoder between.

Decision owned here: positioned reads instead of a memory map, so that what is read is what is counted, a file
cut short is an error instead of a signal, and threads share one descriptor.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.tiles import Box
from nucbatch.readers.formats.contract import Cost

_MOST_BYTES = 1 << 30  # one call of the system reads at most 2 GiB


def read_exactly(descriptor: int, offset: int, count: int) -> bytes:
    """So many bytes from there.

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
    """Rows of raw values (X, S) on disk, in strips of equal height that may lie anywhere.

    ``begins`` are the strips' offsets in bytes, ``rows`` their height, ``width`` and ``samples`` a row's, and
    ``dtype`` is with the file's byte order.
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
        """(Y, X, S) with the file's byte order."""
        height, width = box.shape
        out = np.empty((height, width, self._samples), self._dtype)
        step = self._rows if width == self._width else 1  # rows of full width lie behind one another
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
