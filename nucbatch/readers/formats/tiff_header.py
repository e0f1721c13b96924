"""Reads a TIFF's header and checks that the file is long enough for it. Decodes nothing.

tifffile parses the header, but does not look at the file's size. ``tiff_directories.py`` checks the
directories before, and ``tiff_segments.py`` the tiles and strips of each page.

Sources: TIFF 6.0, BigTIFF.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.pixel_size import not_square, square_um
from nucbatch.readers.formats.pixel_info import PixelInfo
from nucbatch.readers.formats.stack import wrong_plane_count
from nucbatch.readers.formats.tiff_description import (
    metaseries,
    ome_on_stage,
    pixel_sides_um,
    resolution_of,
    stage_position_um,
)
from nucbatch.readers.formats.tiff_directories import Chain, directories_of, tiff_file
from nucbatch.readers.formats.tiff_samples import samples_of
from nucbatch.readers.formats.tiff_segments import check_segments
from nucbatch.readers.formats.tiff_stack import page_alone, stack_of
from nucbatch.readers.formats.tiff_vendors import is_stk, lsm_sides_um, stk_sides_um


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
    chain = directories_of(file, size_bytes)
    with tiff_file(file, chain) as tiff:
        return page_info(tiff, chain, path, size_bytes, alone)


def page_info(tiff: Any, chain: Chain, path: Path, size_bytes: int, alone: int | None = None) -> PixelInfo:
    """Reads the header of a page of an open TIFF, as :func:`tiff_info`."""
    page = tiff.pages[alone if alone is not None and alone < len(tiff.pages) else 0]
    samples = samples_of(page)
    stack = stack_of(tiff, path, samples) if alone is None else page_alone(tiff, alone, samples)
    numbers = {number // samples.planes for number in stack.pages}
    absent, segments = _check_pages(tiff, page, numbers, size_bytes)
    if chain.lost:
        raise UnreadableImage(chain.lost)
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
        stage_um=ome_on_stage(description) if alone is None else None,
    )


def _check_pages(tiff: Any, page: Any, numbers: set[int], size_bytes: int) -> tuple[int, int]:
    """Checks a page and all others in ``numbers``; returns (tiles or strips never written, all of them).

    Pages that ImageJ stores behind one directory are contiguous.
    """
    absent, segments = check_segments(page, size_bytes)
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
            found = check_segments(tiff.pages[number], size_bytes)
        except UnreadableImage as error:
            raise UnreadableImage(f"page {number + 1}: {error}") from error
        absent, segments = absent + found[0], segments + found[1]
    return absent, segments
