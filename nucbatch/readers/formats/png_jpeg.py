"""PNG and JPEG files: their headers, and what decodes them.

Sources: PNG (ISO/IEC 15948); JPEG (ITU-T T.81).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage
from nucbatch.object_store import file_size
from nucbatch.readers.formats.embedded_jpeg import require_no_hole
from nucbatch.readers.formats.picture import PictureSource, require_single, single_headers
from nucbatch.readers.formats.pixel_info import JPEG_SCAN, PixelInfo, require_few_scans

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_SAMPLES = {
    0: 1,
    2: 3,
    3: 3,
    4: 1,
    6: 3,
}  # by colour type, without alpha; a palette expands to RGB
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_JPEG_SCAN = 0xDA
_SLICE_BYTES = 1 << 20


class Png:
    """PNG files."""

    name = "png"
    suffixes = (".png",)

    def recognises(self, start: bytes) -> bool:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        return start.startswith(_PNG_START)

    def header(self, file: BinaryIO, path: Path, page: int | None = None) -> PixelInfo:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        require_single(page)
        return _png(file, file_size(file))

    def page_headers(self, file: BinaryIO, path: Path, pages: Sequence[int]) -> list[PixelInfo | str]:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        return single_headers(self, file, path, pages)

    def open(self, path: Path, shown: str) -> PictureSource:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        return PictureSource(path, shown, imagecodecs.png_decode)


class Jpeg:
    """JPEG files."""

    name = "jpeg"
    suffixes = (".jpg", ".jpeg")

    def recognises(self, start: bytes) -> bool:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        return start.startswith(b"\xff\xd8\xff")

    def header(self, file: BinaryIO, path: Path, page: int | None = None) -> PixelInfo:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        require_single(page)
        return _jpeg(file, file_size(file))

    def page_headers(self, file: BinaryIO, path: Path, pages: Sequence[int]) -> list[PixelInfo | str]:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        return single_headers(self, file, path, pages)

    def open(self, path: Path, shown: str) -> PictureSource:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        return PictureSource(path, shown, _decode_jpeg)


def _decode_jpeg(data: bytes) -> NDArray[Any]:
    """Decodes a JPEG after checking that no disk blocks of it were lost.

    Raises:
        UnreadableImage: some were.
    """
    require_no_hole(data)
    pixels: NDArray[Any] = imagecodecs.jpeg8_decode(data)
    return pixels


def _png(file: BinaryIO, size_bytes: int) -> PixelInfo:
    start = file.read(33)
    if len(start) < 33 or start[12:16] != b"IHDR":
        raise UnreadableImage("truncated: a PNG without a header")
    width, height, bits, colour = struct.unpack(">IIBB", start[16:26])
    samples = _PNG_SAMPLES.get(colour)
    if samples is None:
        raise UnreadableImage(f"damaged header (PNG colour type {colour})")
    position = 33
    while position + 12 <= size_bytes:
        file.seek(position)
        length, chunk = struct.unpack(">I4s", file.read(8))
        position += 12 + length
        if chunk == b"acTL":
            frames = struct.unpack(">I", file.read(4))[0]
            if frames > 1:
                raise UnreadableImage(f"an animated PNG of {frames:,} frames: save each as a file of its own")
        if chunk == b"IEND" and position <= size_bytes:
            return PixelInfo(height, width, samples, "uint16" if bits == 16 else "uint8")
    raise UnreadableImage(
        f"truncated: the PNG ends after {size_bytes:,} bytes, without its end: copy it again from its source"
    )


def _jpeg(file: BinaryIO, size_bytes: int) -> PixelInfo:
    tail = max(0, size_bytes - 4096)
    file.seek(tail)
    end = file.read().rfind(b"\xff\xd9")
    info: PixelInfo | None = None
    several = False
    position = 2
    while position + 9 < size_bytes:
        file.seek(position)
        mark, marker, length = struct.unpack(">BBH", file.read(4))
        if mark != 0xFF:
            break
        if marker in _JPEG_FRAMES:
            bits, height, width, components = struct.unpack(">BHHB", file.read(6))
            if components not in (1, 3) or bits != 8:
                colours = " (CMYK or YCCK)" if components == 4 else ""
                raise UnreadableImage(
                    f"a JPEG of {components} components{colours} of {bits} bits: convert it to 8-bit grey or "
                    "RGB"
                )
            info = PixelInfo(height, width, components, "uint8")
            several = marker in _JPEG_PROGRESSIVE
        if marker == _JPEG_SCAN and info is not None:
            if end < 0 or tail + end < position:  # the end mark of an embedded preview does not count
                raise UnreadableImage("truncated: the JPEG has no end: copy it again from its source")
            file.seek(position + 4)
            if several or file.read(1)[0] < info.samples:
                _require_few_scans(file)
            return info
        position += 2 + length
    if end < 0:
        raise UnreadableImage("truncated: the JPEG has no end: copy it again from its source")
    raise UnreadableImage("damaged header (a JPEG without a frame)")


def _require_few_scans(file: BinaryIO) -> None:
    """Counts the further scans of an open JPEG; few files have several, so few are read as a whole."""
    scans, before = 1, b""
    while part := file.read(_SLICE_BYTES):
        scans += (before + part).count(JPEG_SCAN)
        before = part[-1:]
        require_few_scans(scans)
