"""Reads boxes of uncompressed TIFF strips directly from the file.

Positioned reads are used instead of tifffile's memory map. A truncated file then gives an error instead of a
signal that ends the process, a share that does not answer can be timed out, and threads can share one
descriptor. A box of 512 px takes 1.4 ms (a whole image of 2,160 px by tifffile: 0.8 ms, from the page cache;
``python -m benchmarks.bench_formats``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.tiles import Box
from nucbatch.object_store import StoredBytes, read_at
from nucbatch.object_store import read_into as read_part
from nucbatch.readers.formats.plane_reader import Cost

_MOST_BYTES = 1 << 30  # a system call reads at most 2 GiB


def read_into(file: int | StoredBytes, offset: int, target: memoryview) -> None:
    """Fills ``target``, a view of bytes, with those at ``offset``.

    Raises:
        UnreadableImage: the file is shorter.
    """
    done = 0
    while done < len(target):
        read = read_part(file, target[done : done + _MOST_BYTES], offset + done)
        if not read:
            raise UnreadableImage(f"truncated: {len(target) - done:,} bytes are missing at {offset + done:,}")
        done += read


def read_exactly(file: int | StoredBytes, offset: int, count: int) -> bytes:
    """Reads ``count`` bytes at ``offset``.

    Raises:
        UnreadableImage: the file is shorter.
    """
    parts: list[bytes] = []
    while count:
        part = read_at(file, min(count, _MOST_BYTES), offset)
        if not part:
            raise UnreadableImage(f"truncated: {count:,} bytes are missing at {offset:,}")
        parts.append(part)
        offset, count = offset + len(part), count - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class PlainRows:
    """Rows of raw values (X, S) on disk, in strips of equal height at any offsets.

    Args:
        file: descriptor of the open file, or the object.
        begins: offset of each strip in bytes.
        rows: height of a strip.
        width: pixels of a row.
        samples: values per pixel.
        dtype: with the file's byte order.
    """

    def __init__(
        self,
        file: int | StoredBytes,
        begins: NDArray[np.int64],
        rows: int,
        width: int,
        samples: int,
        dtype: np.dtype[Any],
    ) -> None:
        self._file = file
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
        row, at, filled = box.y0, 0, out.reshape(-1).view(np.uint8).data
        while row < box.y1:
            strip, inside = divmod(row, self._rows)
            count = min(step, self._rows - inside, box.y1 - row)
            offset = int(self._begins[strip]) + inside * self._row_bytes
            offset += box.x0 * self._samples * self._dtype.itemsize
            length = count * width * self._samples * self._dtype.itemsize
            read_into(self._file, offset, filled[at : at + length])
            cost.pieces += 1
            cost.stored_bytes += length
            row, at = row + count, at + length
        return out
