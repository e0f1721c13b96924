"""Reads a TIFF's header and checks that the file is long enough for it. Decodes nothing.

tifffile parses the header, but does not look at the file's size, and skips tags whose values lie beyond its
end: a truncated file looks like a smaller one. The checks here bring the time for a header from 0.12 to 0.16
ms (``python -m benchmarks.bench_formats``).

Sources: TIFF 6.0, BigTIFF.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.pixel_size import not_square, square_um
from nucbatch.readers.formats.pixel_info import PixelInfo, require_decodable
from nucbatch.readers.formats.stack import wrong_plane_count
from nucbatch.readers.formats.tiff_description import (
    metaseries,
    pixel_sides_um,
    resolution_of,
    stage_position_um,
)
from nucbatch.readers.formats.tiff_samples import samples_of
from nucbatch.readers.formats.tiff_sparse import count_never_written
from nucbatch.readers.formats.tiff_stack import page_alone, stack_of
from nucbatch.readers.formats.tiff_vendors import is_stk, lsm_sides_um, stk_sides_um

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TYPE_BYTES |= dict.fromkeys((16, 17, 18), 8)
_PRIVATE = 32768
_TELLING = frozenset({33628, 33629, 34412, 50838, 50839, 51123})
"""Private tags that describe planes: those of MetaMorph, Zeiss, ImageJ and Micro-Manager."""


def tiff_info(file: BinaryIO, path: Path, size_bytes: int, alone: int | None = None) -> PixelInfo:
    """Reads the header of an open TIFF.

    Args:
        file: the open file.
        path: where it lies; files named by its metadata are looked for beside it.
        size_bytes: size of the file.
        alone: number of the only page to use, from 0; None for all planes of the file.

    Raises:
        UnreadableImage: the file cannot be used.
    """
    with opened_tiff(file, size_bytes) as tiff:
        return page_info(tiff, path, size_bytes, alone)


@contextmanager
def opened_tiff(file: BinaryIO, size_bytes: int) -> Iterator[Any]:
    """Opens a TIFF inside the context, after checking that the values of its first directory are there.

    Raises:
        UnreadableImage: it is truncated.
    """
    with tifffile.TiffFile(file) as tiff:
        if not len(tiff.pages):
            raise UnreadableImage("truncated: a TIFF without a directory")
        _require_tags(tiff, size_bytes)
        yield tiff


def page_info(tiff: Any, path: Path, size_bytes: int, alone: int | None = None) -> PixelInfo:
    """Reads the header of a page of an open TIFF, as :func:`tiff_info`."""
    page = tiff.pages[alone if alone is not None and alone < len(tiff.pages) else 0]
    samples = samples_of(page)
    stack = stack_of(tiff, path, samples) if alone is None else page_alone(tiff, alone, samples)
    numbers = {number // samples.planes for number in stack.pages}
    absent, segments = _check_pages(tiff, page, numbers, size_bytes)
    _require_whole_chain(tiff, size_bytes)
    description = str(page.description or "")
    properties = metaseries(description)
    if tiff.is_lsm:
        sides = lsm_sides_um(tiff)
    elif is_stk(tiff):
        sides = stk_sides_um(tiff)
    else:
        sides = pixel_sides_um(description, *resolution_of(page))
    return PixelInfo(
        height_px=int(page.imagelength),
        width_px=int(page.imagewidth),
        samples=samples.in_picture,
        dtype="unknown" if page.dtype is None else str(page.dtype),
        stack=stack,
        pixel_size_um=square_um(*sides),
        oblong_um=sides if not_square(*sides) else None,
        stain=properties.get("_IllumSetting_", ""),
        absent_chunks=absent,
        chunks=segments if absent else 0,
        position_um=stage_position_um(properties),
    )


def _check_pages(tiff: Any, page: Any, numbers: set[int], size_bytes: int) -> tuple[int, int]:
    """Checks a page and all others in ``numbers``; returns (tiles or strips never written, all of them).

    Pages that ImageJ stores behind one directory are contiguous.
    """
    absent, segments = _check_segments(page, size_bytes)
    if int(page.index) not in numbers:
        absent = segments = 0
    count = max(numbers) + 1
    if count > len(tiff.pages):
        page = tiff.pages[0]
        if not page.is_final:
            raise UnreadableImage(f"{count} compressed pages behind one directory: save it as OME-TIFF")
        begin, each = page.dataoffsets[0], page.nbytes
        if begin + each * count > size_bytes:
            raise wrong_plane_count(
                count,
                max(size_bytes - begin, 0) // max(each, 1),
                f" (truncated: {size_bytes:,} bytes of at least {begin + each * count:,})",
            )
        return absent, segments
    for number in sorted(numbers - {int(page.index)}):
        try:
            found = _check_segments(tiff.pages[number], size_bytes)
        except UnreadableImage as error:
            raise UnreadableImage(f"page {number + 1}: {error}") from error
        absent, segments = absent + found[0], segments + found[1]
    return absent, segments


def _require_tags(tiff: Any, size_bytes: int) -> None:
    """Rejects a file whose first directory has values beyond the end; tifffile would skip such tags."""
    form, file = tiff.tiff, tiff.filehandle
    file.seek(tiff.pages[0].offset)
    count = struct.unpack(form.tagnoformat, file.read(form.tagnosize))[0]
    entries = file.read(count * form.tagsize)
    counted = form.tagformat2[:-2]  # format of the value count, and of the offset, which has the same size
    for begin in range(0, len(entries) - form.tagsize + 1, form.tagsize):
        code, kind = struct.unpack_from(form.tagformat1, entries, begin)
        values = struct.unpack_from(counted, entries, begin + 4)[0]
        length = values * _TYPE_BYTES.get(kind, 0)
        if (code >= _PRIVATE and code not in _TELLING) or length <= form.tagoffsetthreshold:
            continue
        at = struct.unpack_from(counted, entries, begin + 4 + struct.calcsize(counted))[0]
        if at + length > size_bytes:
            raise UnreadableImage(
                f"truncated: the value of its tag {code} should lie at bytes {at:,} to {at + length:,} of "
                f"{size_bytes:,}"
            )


def _require_whole_chain(tiff: Any, size_bytes: int) -> None:
    """Rejects a truncated file, whose last directory points to a missing one."""
    form, file = tiff.tiff, tiff.filehandle
    last = tiff.pages[-1].offset
    file.seek(last)
    count = struct.unpack(form.tagnoformat, file.read(form.tagnosize))[0]
    file.seek(last + form.tagnosize + count * form.tagsize)
    further = struct.unpack(form.offsetformat, file.read(form.offsetsize))[0]
    # Some writers end the chain with a link back to an earlier directory; the pages before it are complete.
    if further and further not in {page.offset for page in tiff.pages}:
        raise UnreadableImage(
            f"truncated: directory {len(tiff.pages) + 1:,} should lie at byte {further:,} of {size_bytes:,}, "
            "and is not there"
        )


def _check_segments(page: Any, size_bytes: int) -> tuple[int, int]:
    """Checks a page's tiles or strips; returns (number never written, number)."""
    offsets, counts = page.dataoffsets, page.databytecounts
    tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    if page.is_tiled:
        # Integers of Python, because those of NumPy overflow where a size is damaged.
        bits = int(tall) * int(wide) * max(page.imagedepth, 1) * page.samplesperpixel
        bits *= max(int(np.max(page.bitspersample)), 8)
        require_decodable(f"tiles of {tall:,} × {wide:,} px", bits // 8)
    across = -(-page.imagewidth // max(wide, 1))
    down = -(-page.imagelength // max(min(tall, page.imagelength), 1))
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    expected = across * down * planes * max(page.imagedepth, 1)
    joined = len(offsets) == len(counts) == 1  # contiguous strips are read as one
    if min(len(offsets), len(counts)) < expected and not joined:
        raise UnreadableImage(f"truncated: {len(offsets)} of {expected} strips or tiles are listed")
    # Vectorised, because a slide has millions of tiles.
    begins, sizes = (
        np.asarray(values[: len(counts)], np.uint64) for values in (offsets, counts[: len(offsets)])
    )
    absent = count_never_written(begins, sizes)
    end = max(int(ends.max(initial=0)) for ends in (begins + sizes, begins, sizes))  # a sum may overflow
    if end > size_bytes:
        raise UnreadableImage(f"truncated: {size_bytes:,} bytes of at least {end:,}")
    if page.compression == 1 and isinstance(page.bitspersample, int) and page.bitspersample % 8 == 0:
        needed = page.imagelength * page.imagewidth * page.samplesperpixel * page.bitspersample // 8
        if absent:
            needed = max(
                0, needed - absent * int(tall) * int(wide) * page.samplesperpixel * page.bitspersample // 8
            )
        if sum(counts) < needed:
            raise UnreadableImage(f"truncated: {sum(counts):,} bytes of pixels of {needed:,}")
    return absent, len(sizes)
