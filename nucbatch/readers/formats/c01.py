"""Cellomics' ``.C01`` files (CellInsight, ArrayScan): a Windows bitmap in a zlib stream.

A file is the bytes ``00 00 00 10`` and a zlib stream. The stream holds a BITMAPINFOHEADER of 40 bytes, 12
bytes of colour masks, and the pixels from byte 52, rows from the top as in Bio-Formats. The checksum at the
end of the stream tells whether all of them are there, so damage is found when the pixels are read.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.pixel_size import not_square, square_um
from nucbatch.readers.formats.picture import PictureSource, require_single, single_headers
from nucbatch.readers.formats.pixel_info import PixelInfo, require_decodable

_START = b"\0\0\0\x10"
_ZLIB = 0x78  # first byte of a zlib stream with the usual window
_HEADER = struct.Struct("<IiiHHIIii")
_PIXELS_AT = 52
_COMPRESSED_START_BYTES = 4096
_DTYPES = {8: "uint8", 16: "uint16"}


class C01:
    """Cellomics' image files, of one plane each."""

    name = "c01"
    suffixes = (".c01",)

    def recognises(self, start: bytes) -> bool:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        return start.startswith(_START) and start[4:5] == bytes([_ZLIB])

    def header(self, file: BinaryIO, path: Path, page: int | None = None) -> PixelInfo:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        require_single(page)
        return _header(zlib.decompressobj().decompress(file.read(_COMPRESSED_START_BYTES)[4:], _PIXELS_AT))

    def page_headers(self, file: BinaryIO, path: Path, pages: Sequence[int]) -> list[PixelInfo | str]:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        return single_headers(self, file, path, pages)

    def open(self, path: Path, shown: str) -> PictureSource:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        return PictureSource(path, shown, _decode)


def _header(start: bytes) -> PixelInfo:
    if len(start) < _PIXELS_AT:
        raise UnreadableImage(f"truncated: {len(start)} bytes of a header of {_PIXELS_AT}")
    size, width, height, planes, bits, compression, _, across, down = _HEADER.unpack_from(start)
    if size != 40 or bits not in _DTYPES or compression:
        raise UnreadableImage(
            f"a bitmap of {bits} bits a pixel (header of {size} bytes, compression {compression}): only "
            "plain ones of 8 and 16 bits can be used"
        )
    if planes != 1:
        raise UnreadableImage(f"{planes} planes in one file: only one can be used")
    require_decodable("its pixels", max(width, 0) * max(height, 0) * bits // 8)
    sides = tuple(1e6 / per_metre if per_metre > 0 else None for per_metre in (across, down))
    return PixelInfo(
        height_px=height,
        width_px=width,
        samples=1,
        dtype=_DTYPES[bits],
        pixel_size_um=square_um(sides[0], sides[1]),
        oblong_um=(sides[0], sides[1]) if not_square(sides[0], sides[1]) else None,
    )


def _decode(data: bytes) -> NDArray[Any]:
    """Returns the pixels (Y, X) of a file's bytes.

    Raises:
        UnreadableImage: the stream is truncated, or longer than its header says.
        zlib.error: its checksum does not fit.
    """
    stream = zlib.decompressobj()
    info = _header(stream.decompress(data[4:], _PIXELS_AT))
    shape = info.height_px, info.width_px
    needed = math.prod(shape) * np.dtype(info.dtype).itemsize
    pixels = stream.decompress(stream.unconsumed_tail, needed + 1)
    if len(pixels) != needed or not stream.eof:
        raise UnreadableImage(f"truncated: {len(pixels):,} bytes of pixels of {needed:,}")
    return np.frombuffer(pixels, np.dtype(info.dtype).newbyteorder("<")).reshape(shape).astype(info.dtype)
