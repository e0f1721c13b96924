"""What a file's header promises, and whether the file is long enough to keep it.

A file is told by its first bytes, not by its name. Nothing is decoded here. Refused, with the reason,
are: empty files, web pages saved as images, truncated files (strips, tiles or chunks that reach beyond
the end), pixel types the run can't hold, and files of several pages, because which page is the plane is
not for us to guess. Alpha is not a sample: it is dropped. Formats: TIFF 6.0, BigTIFF; PNG (ISO/IEC
15948); JPEG (ITU-T T.81).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile

from nucbatch.errors import UnreadableImage
from nucbatch.readers.scale import metaseries, pixel_size_um

DTYPES = ("uint8", "uint16", "uint32", "int16", "int32", "float32", "float64")

_GREY_PHOTOMETRICS = frozenset({0, 1, 3})  # white is zero, black is zero, palette
_COLOUR_PHOTOMETRICS = frozenset({2, 6})  # RGB, YCbCr
_PNG_SAMPLES = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}  # by colour type, without alpha; a palette expands to RGB
_TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

# no codec packs denser (zstd's run-length blocks reach 32,768 : 1), so such a header lies
_BOMB_BYTES, _BOMB_RATIO = 1 << 28, 100_000

# what the parsers raise on bytes that are not what they claim to be
DAMAGE = (
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    EOFError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class PixelInfo:
    """What a header promises: an image (Y, X) of ``samples`` values (1 grey, 3 RGB) of NumPy's ``dtype``.

    ``pages`` is 1 for everything that can be used. ``stain`` is MetaXpress' illumination setting, if any.
    """

    height_px: int
    width_px: int
    samples: int
    dtype: str
    pages: int = 1
    pixel_size_um: float | None = None
    stain: str = ""


def kind_of(start: bytes) -> str:
    """``"tiff"``, ``"png"`` or ``"jpeg"`` from a file's first bytes.

    Raises:
        UnreadableImage: something else; the message says what it looks like.
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
        raise UnreadableImage("begins with zeros, as after a copy that broke off")
    raise UnreadableImage(f"neither TIFF, PNG nor JPEG (begins with {start[:8]!r})")


def read_header(path: str | Path) -> PixelInfo:
    """The header of an image file.

    Raises:
        UnreadableImage: it can't be used; the message is the bare reason, without the path.
    """
    try:
        with Path(path).open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            kind = kind_of(file.read(32))
            file.seek(0)
            if kind == "tiff":
                info = _tiff(file, size_bytes)
            else:
                info = _png(file, size_bytes) if kind == "png" else _jpeg(file, size_bytes)
    except UnreadableImage:
        raise
    except OSError as error:
        raise UnreadableImage(f"can't be opened ({error.strerror or error})") from error
    except DAMAGE as error:
        raise UnreadableImage(f"damaged header ({type(error).__name__}: {error})") from error
    if info.dtype not in DTYPES:
        raise UnreadableImage(f"pixel type {info.dtype} can't be used: convert to one of {', '.join(DTYPES)}")
    if info.pages != 1:
        raise UnreadableImage(f"{info.pages} pages where one plane was meant: split it into single planes")
    promised_bytes = info.height_px * info.width_px * info.samples * np.dtype(info.dtype).itemsize
    if promised_bytes > max(_BOMB_BYTES, _BOMB_RATIO * size_bytes):
        raise UnreadableImage(f"damaged header (promises {promised_bytes:,} bytes from {size_bytes:,})")
    if info.height_px < 1 or info.width_px < 1:
        raise UnreadableImage(f"an image of {info.height_px} × {info.width_px} px")
    return info


def stain_name(root: str | Path, path: str) -> str:
    """MetaXpress' name of the illumination of an image; empty where it does not tell or can't be read."""
    try:
        return read_header(Path(root, path)).stain
    except UnreadableImage:
        return ""  # the same file is read again with all others, and quarantined there with its reason


def _tiff(file: BinaryIO, size_bytes: int) -> PixelInfo:
    with tifffile.TiffFile(file) as tiff:
        if not len(tiff.pages):
            raise UnreadableImage("truncated: a TIFF without a directory")
        page = tiff.pages[0]
        _check_segments(page, size_bytes)
        description = str(page.description or "")
        resolution = page.tags.valueof("XResolution")
        return PixelInfo(
            height_px=int(page.imagelength),
            width_px=int(page.imagewidth),
            samples=_tiff_samples(page),
            dtype="unknown" if page.dtype is None else str(page.dtype),
            pages=_tiff_pages(tiff),
            pixel_size_um=pixel_size_um(description, resolution),
            stain=metaseries(description).get("_IllumSetting_", ""),
        )


def _tiff_pages(tiff: Any) -> int:
    """Pages that are pictures of their own, without reduced copies; ImageJ keeps stacks behind one page."""
    images = (tiff.imagej_metadata or {}).get("images", 1) if tiff.is_imagej else 1
    full = sum(1 for page in tiff.pages if not page.aspage().is_reduced) if len(tiff.pages) > 1 else 1
    return max(int(images), full, int(tiff.pages[0].imagedepth))


def _tiff_samples(page: Any) -> int:
    photometric, samples = int(page.photometric), int(page.samplesperpixel)
    colours = samples - len(page.extrasamples)
    if photometric in _GREY_PHOTOMETRICS and colours == 1:
        if photometric == 3 and not _is_grey_ramp(page.colormap):
            raise UnreadableImage("false colours from a palette: convert it to grey or RGB")
        return 1
    if photometric in _COLOUR_PHOTOMETRICS and colours == 3:
        return 3
    raise UnreadableImage(
        f"{samples} samples per pixel of photometric {photometric}: only grey and RGB can be used"
    )


def _is_grey_ramp(colormap: Any) -> bool:
    """Whether a palette (3, N) only makes higher values brighter, so that they still are intensities."""
    if colormap is None:
        return False
    brightness = np.asarray(colormap, dtype=np.int64).sum(axis=0)
    return bool((np.diff(brightness) >= 0).all())


def _check_segments(page: Any, size_bytes: int) -> None:
    offsets, counts = page.dataoffsets, page.databytecounts
    tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    if page.is_tiled and tall * wide > max(_BOMB_BYTES, _BOMB_RATIO * size_bytes):
        raise UnreadableImage(f"damaged header (tiles of {tall:,} × {wide:,} px)")
    across = -(-page.imagewidth // max(wide, 1))
    down = -(-page.imagelength // max(min(tall, page.imagelength), 1))
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    expected = across * down * planes * max(page.imagedepth, 1)
    joined = len(offsets) == len(counts) == 1  # contiguous strips are read as one
    if min(len(offsets), len(counts)) < expected and not joined:
        raise UnreadableImage(f"truncated: {len(offsets)} of {expected} strips or tiles are listed")
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=False), start=1):
        if not count:
            raise UnreadableImage(f"incomplete: strip or tile {number} of {expected} was never written")
        if offset + count > size_bytes:
            raise UnreadableImage(f"truncated: {size_bytes:,} bytes of at least {offset + count:,}")
    if page.compression == 1 and page.bitspersample % 8 == 0:
        needed = page.imagelength * page.imagewidth * page.samplesperpixel * page.bitspersample // 8
        if sum(counts) < needed:
            raise UnreadableImage(f"truncated: {sum(counts):,} bytes of pixels of {needed:,}")


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
        if chunk == b"IEND" and position <= size_bytes:
            return PixelInfo(height, width, samples, "uint16" if bits == 16 else "uint8")
    raise UnreadableImage(f"truncated: the PNG breaks off after {size_bytes:,} bytes")


def _jpeg(file: BinaryIO, size_bytes: int) -> PixelInfo:
    file.seek(max(0, size_bytes - 4096))
    if b"\xff\xd9" not in file.read():
        raise UnreadableImage("truncated: the JPEG has no end")
    position = 2
    while position + 9 < size_bytes:
        file.seek(position)
        mark, marker, length = struct.unpack(">BBH", file.read(4))
        if mark != 0xFF:
            break
        if marker in _JPEG_FRAMES:
            bits, height, width, components = struct.unpack(">BHHB", file.read(6))
            if components not in (1, 3) or bits != 8:
                raise UnreadableImage(
                    f"a JPEG of {components} components of {bits} bits: only 8-bit grey and RGB"
                )
            return PixelInfo(height, width, components, "uint8")
        position += 2 + length
    raise UnreadableImage("damaged header (a JPEG without a frame)")
