"""Reads and checks image headers: what they promise, and whether the file is long enough for it.

The format is detected from the first bytes, not from the name. Nothing is decoded here. Rejected, with the
reason, are:

- empty files and web pages saved as images
- truncated files, whose strips, tiles or chunks extend beyond the end
- pixel types that a run does not support
- files of several pages whose roles are not recorded (``tiff_pages.py``)

Alpha is dropped and does not count as a sample.

Sources: TIFF 6.0, BigTIFF, SVS; PNG (ISO/IEC 15948); JPEG (ITU-T T.81). An OME-Zarr image is a folder.
"""

from __future__ import annotations

import lzma
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nucbatch.core.errors import UnreadableImage
from nucbatch.object_store import as_path, file_size
from nucbatch.readers.formats.pixel_info import (
    JPEG_SCAN,
    MOST_PIXELS,
    MOST_PROJECTED,
    PixelInfo,
    require_believable,
    require_few_scans,
)
from nucbatch.readers.formats.stack import stacked
from nucbatch.readers.formats.tiff_header import opened_tiff, page_info, tiff_info
from nucbatch.zarr_format import StoredArray
from nucbatch.zarr_format.ome import StoredForm, below, form_of

DTYPES = ("uint8", "uint16", "uint32", "int16", "int32", "float32", "float64")

_PNG_SAMPLES = {
    0: 1,
    2: 3,
    3: 3,
    4: 1,
    6: 3,
}  # by colour type, without alpha; a palette expands to RGB
_TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_JPEG_SCAN = 0xDA
_SLICE_BYTES = 1 << 20

# Errors that parsers and decoders raise on damaged bytes: Python's own; assertions and struct.error of
# tifffile; RuntimeError and ValueError of imagecodecs; errors of zlib and lzma, which are neither; and those
# of C wrappers on impossible output sizes.
DECODER_ERRORS = (
    AssertionError,
    BufferError,
    SystemError,
    lzma.LZMAError,
    zlib.error,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    EOFError,
    struct.error,
)


def detect_format(start: bytes) -> str:
    """Detects ``"tiff"``, ``"png"`` or ``"jpeg"`` from a file's first bytes.

    Raises:
        UnreadableImage: another format; the message says what it looks like.
    """
    if start[:4] in _TIFF_MAGICS:
        return "tiff"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if start.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if not start:
        raise UnreadableImage("empty file (0 bytes)")
    if start.lstrip()[:1] == b"<":
        raise UnreadableImage("a web page or XML text, no image")
    if not start.strip(b"\0"):
        raise UnreadableImage("begins with zeros, as after an interrupted copy")
    raise UnreadableImage(f"neither TIFF, PNG nor JPEG (begins with {start[:8]!r})")


def read_header(path: str | Path, page: int | None = None) -> PixelInfo:
    """Reads the header of an image file, or of an OME-Zarr image's group.

    Args:
        path: file, or folder of an OME-Zarr image.
        page: number of the only page of a TIFF to use, from 0; None for all planes of the file.

    Raises:
        UnreadableImage: the image cannot be used; the message is the bare reason, without the path.
    """
    path = as_path(path)
    if path.is_dir():
        return _with_chunks(path, form_of(path))
    with damaged_header(), path.open("rb") as file:
        size_bytes = file_size(file)
        kind = detect_format(file.read(32))
        file.seek(0)
        if page and kind != "tiff":
            raise UnreadableImage(f"it has no frame {page}: it is a single picture")
        if kind == "tiff":
            info = tiff_info(file, path, size_bytes, page)
        else:
            info = _png(file, size_bytes) if kind == "png" else _jpeg(file, size_bytes)
    return _checked(info, size_bytes)


def read_pages(path: str | Path, pages: Sequence[int]) -> list[PixelInfo | str]:
    """Reads the headers of single pages of a file, or the reasons why they can't be used.

    The file is opened once.

    Args:
        path: the file.
        pages: their numbers, from 0.
    """
    try:
        with damaged_header(), as_path(path).open("rb") as file:
            if detect_format(file.read(32)) != "tiff":
                return [_or_reason(partial(read_header, path, page)) for page in pages]
            size_bytes = file_size(file)
            file.seek(0)
            with opened_tiff(file, size_bytes) as tiff:
                return [_or_reason(partial(_page, tiff, as_path(path), size_bytes, page)) for page in pages]
    except UnreadableImage as error:
        return [str(error)] * len(pages)


def _page(tiff: Any, path: Path, size_bytes: int, page: int) -> PixelInfo:
    with damaged_header():
        info = page_info(tiff, path, size_bytes, page)
    return _checked(info, size_bytes)


def _or_reason(read: Callable[[], PixelInfo]) -> PixelInfo | str:
    try:
        return read()
    except UnreadableImage as error:
        return str(error)


def _checked(info: PixelInfo, size_bytes: int) -> PixelInfo:
    values = info.height_px * info.width_px * info.samples
    require_believable(values * np.dtype(_believable(info).dtype).itemsize, size_bytes)
    return _of_bounded_size(info)


@contextmanager
def damaged_header() -> Iterator[None]:
    """Converts errors on reading a header into an UnreadableImage whose message is the bare reason."""
    try:
        yield
    except UnreadableImage:
        raise
    except OSError as error:
        raise UnreadableImage(f"can't be opened ({error.strerror or error})") from error
    except DECODER_ERRORS as error:
        raise UnreadableImage(f"damaged header ({type(error).__name__}: {error})") from error
    except MemoryError as error:  # a damaged header may promise terabytes
        raise UnreadableImage("damaged header (promises more than memory holds)") from error


def _believable(info: PixelInfo) -> PixelInfo:
    if info.dtype not in DTYPES:
        raise UnreadableImage(f"pixel type {info.dtype} can't be used: convert to one of {', '.join(DTYPES)}")
    if info.height_px < 1 or info.width_px < 1:
        raise UnreadableImage(f"an image of {info.height_px} × {info.width_px} px")
    if info.samples == 3 and info.stack.depth * len(info.stack.channels) > 1:
        raise UnreadableImage(
            f"{info.stack.depth * len(info.stack.channels)} RGB pages of one time point: colours are not "
            "projected, and RGB has no further channels. Export one of them"
        )
    return info


def _of_bounded_size(info: PixelInfo) -> PixelInfo:
    if info.height_px * info.width_px > MOST_PIXELS:
        raise UnreadableImage(
            f"damaged header (an image of {info.height_px:,} × {info.width_px:,} px; the limit is "
            f"{MOST_PIXELS:,} px in all): save it again from its source"
        )
    if info.stack.depth > MOST_PROJECTED:
        raise UnreadableImage(
            f"{info.stack.depth:,} z-steps of one field; the limit is {MOST_PROJECTED:,}, because they are "
            "projected to one plane: if they are time points, save them as such, else project them before"
        )
    return info


def _with_chunks(group: Path, form: StoredForm) -> PixelInfo:
    info = _of_bounded_size(_believable(_stored(form)))
    absent, chunks = StoredArray(below(group, form.array)).count_absent()
    # As for files: the stored size must be in proportion to the promised size.
    promised_bytes = math.prod(form.shape) * np.dtype(form.dtype).itemsize
    require_believable(promised_bytes, promised_bytes * (chunks - absent) // max(chunks, 1))
    return replace(info, absent_chunks=absent, chunks=chunks)


def _stored(form: StoredForm) -> PixelInfo:
    leading = {axis: length for axis, length in zip(form.axes, form.shape, strict=True) if axis not in "yx"}
    if form.is_rgb:
        del leading["c"]
    return PixelInfo(
        height_px=form.shape[-2],
        width_px=form.shape[-1],
        samples=3 if form.is_rgb else 1,
        dtype=form.dtype,
        stack=stacked("".join(leading), list(leading.values()), () if form.is_rgb else form.channels),
        pixel_size_um=form.pixel_size_um,
        oblong_um=form.oblong_um,
        channels=form.described,
    )


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
    raise UnreadableImage(f"truncated: the PNG ends after {size_bytes:,} bytes")


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
                    f"a JPEG of {components} components{colours} of {bits} bits: only 8-bit grey and RGB can "
                    "be used"
                )
            info = PixelInfo(height, width, components, "uint8")
            several = marker in _JPEG_PROGRESSIVE
        if marker == _JPEG_SCAN and info is not None:
            if end < 0 or tail + end < position:  # the end mark of an embedded preview does not count
                raise UnreadableImage("truncated: the JPEG has no end")
            file.seek(position + 4)
            if several or file.read(1)[0] < info.samples:
                _require_few_scans(file)
            return info
        position += 2 + length
    if end < 0:
        raise UnreadableImage("truncated: the JPEG has no end")
    raise UnreadableImage("damaged header (a JPEG without a frame)")


def _require_few_scans(file: BinaryIO) -> None:
    """Counts the further scans of an open JPEG; few files have several, so few are read as a whole."""
    scans, before = 1, b""
    while part := file.read(_SLICE_BYTES):
        scans += (before + part).count(JPEG_SCAN)
        before = part[-1:]
        require_few_scans(scans)
