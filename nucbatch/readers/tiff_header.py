"""What a TIFF's directories promise, and whether the file is long enough to keep it. Nothing is decoded.

Decision owned here: which of TIFF's many pixels are grey or RGB to nucbatch, and what counts as truncated.
Sources: TIFF 6.0, BigTIFF.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
import tifffile

from nucbatch.errors import UnreadableImage
from nucbatch.readers.pixel_info import PixelInfo, require_decodable
from nucbatch.readers.scale import metaseries, pixel_size_um
from nucbatch.readers.stack import Stack
from nucbatch.readers.tiff_pages import stack_of

_GREY_PHOTOMETRICS = frozenset({0, 1, 3})  # white is zero, black is zero, palette
_COLOUR_PHOTOMETRICS = frozenset({2, 6})  # RGB, YCbCr


def tiff_info(file: BinaryIO, size_bytes: int) -> PixelInfo:
    """The header of an open TIFF of that many bytes.

    Raises:
        UnreadableImage: it can't be used.
    """
    with tifffile.TiffFile(file) as tiff:
        if not len(tiff.pages):
            raise UnreadableImage("truncated: a TIFF without a directory")
        page = tiff.pages[0]
        _check_segments(page, size_bytes)
        stack = stack_of(tiff)
        _check_pages(tiff, stack, size_bytes)
        description = str(page.description or "")
        resolution = page.tags.valueof("XResolution"), page.tags.valueof("ResolutionUnit", 2)
        return PixelInfo(
            height_px=int(page.imagelength),
            width_px=int(page.imagewidth),
            samples=tiff_samples(page),
            dtype="unknown" if page.dtype is None else str(page.dtype),
            stack=stack,
            pixel_size_um=pixel_size_um(description, *resolution),
            stain=metaseries(description).get("_IllumSetting_", ""),
        )


def _check_pages(tiff: Any, stack: Stack, size_bytes: int) -> None:
    """The pages after the first; those that ImageJ keeps behind one directory lie one behind the other."""
    behind = max(stack.pages) + 1 - len(tiff.pages)
    if behind > 0:
        page = tiff.pages[0]
        end = page.dataoffsets[0] + page.nbytes * (max(stack.pages) + 1) if page.is_final else 0
        if not end:
            raise UnreadableImage(f"{behind + 1} compressed pages behind one directory: save it as OME-TIFF")
        if end > size_bytes:
            raise UnreadableImage(f"truncated: {size_bytes:,} bytes of at least {end:,}")
        return
    for number in set(stack.pages) - {0}:
        try:
            _check_segments(tiff.pages[number], size_bytes)
        except UnreadableImage as error:
            raise UnreadableImage(f"page {number + 1}: {error}") from error


def tiff_samples(page: Any) -> int:
    """Values per pixel that are used of a ``tifffile.TiffPage``: 1 for grey, 3 for RGB.

    Raises:
        UnreadableImage: neither.
    """
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
    if page.is_tiled:
        bits = int(tall) * int(wide) * max(page.imagedepth, 1) * page.samplesperpixel
        bits *= max(max(np.atleast_1d(page.bitspersample)), 8)
        require_decodable(f"tiles of {tall:,} × {wide:,} px", int(bits) // 8)
    across = -(-page.imagewidth // max(wide, 1))
    down = -(-page.imagelength // max(min(tall, page.imagelength), 1))
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    expected = across * down * planes * max(page.imagedepth, 1)
    joined = len(offsets) == len(counts) == 1  # contiguous strips are read as one
    if min(len(offsets), len(counts)) < expected and not joined:
        raise UnreadableImage(f"truncated: {len(offsets)} of {expected} strips or tiles are listed")
    # a slide has millions of tiles
    begins, sizes = (
        np.asarray(values[: len(counts)], np.uint64) for values in (offsets, counts[: len(offsets)])
    )
    if not sizes.all():
        number = int(np.argmin(sizes != 0)) + 1
        raise UnreadableImage(f"incomplete: strip or tile {number} of {expected} was never written")
    end = int((begins + sizes).max(initial=0))
    if end > size_bytes:
        raise UnreadableImage(f"truncated: {size_bytes:,} bytes of at least {end:,}")
    if page.compression == 1 and page.bitspersample % 8 == 0:
        needed = page.imagelength * page.imagewidth * page.samplesperpixel * page.bitspersample // 8
        if sum(counts) < needed:
            raise UnreadableImage(f"truncated: {sum(counts):,} bytes of pixels of {needed:,}")
