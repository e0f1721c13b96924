"""Pages of a TIFF that are resolutions of one picture.

They are where they are marked as reduced, lie in SubIFDs, or shrink by one factor in both directions; a
slide's thumbnail, label and macro are no part of it. Which page of others is the plane is not to be guessed:
they are refused. Sources: TIFF 6.0 (NewSubfileType, SubIFDs), Aperio's SVS.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.formats.stack import SINGLE, Stack
from nucbatch.readers.formats.tiff_description import is_aperio

_LEAST_SHRINKING = 1.4  # what is hardly smaller is another picture
_MOST_LEVELS = 64  # halved so often, no picture has a pixel left; thumbnails and labels are few
_LARGEST_SKEW = 0.02  # between both directions, beyond their rounding to whole pixels


def level_pages(tiff: Any, page: int) -> list[Any]:
    """All resolutions of one page, the full one first: from its SubIFDs, else from the next pages."""
    full = tiff.pages[page]
    below = list(full.pages or ()) if full.subifds else []
    if not below and page == 0:
        below = list(_reductions(tiff))
    levels = [full]
    for one in below:
        if _shrinks(full, one) and one.imagewidth < levels[-1].imagewidth:
            levels.append(one)
    return levels


def slide(tiff: Any) -> Stack:
    """Aperio: one full resolution; several of its size are focal planes."""
    first = tiff.pages[0]
    equal = [
        page
        for page in list(tiff.pages)[1:]
        if size_of(page) == size_of(first) and page.is_tiled == first.is_tiled
    ]
    if equal:
        raise UnreadableImage(f"a slide of {len(equal) + 1} focal planes: export one of them")
    return SINGLE


def only_levels(tiff: Any) -> Stack:
    """One plane, if every other page is a reduced copy of it or marked as one."""
    first, count = tiff.pages[0], len(tiff.pages)
    if count > _MOST_LEVELS:  # not looked at one by one
        raise unknown(count)
    others = [page.aspage() for page in list(tiff.pages)[1:]]
    pictures = [page for page in others if not page.is_reduced and not _shrinks(first, page)]
    if pictures:
        raise unknown(1 + len(pictures))
    return SINGLE


def _reductions(tiff: Any) -> Iterator[Any]:
    tiled = tiff.pages[0].is_tiled
    slide = is_aperio(str(tiff.pages[0].description or ""))
    for page in list(tiff.pages)[1:]:
        one = page.aspage()
        # a slide's thumbnail, label and macro are stripped, its resolutions tiled
        if one.is_tiled == tiled and not (slide and one.is_reduced):
            yield one


def _shrinks(full: Any, page: Any) -> bool:
    """Whether a page can be the same picture, smaller."""
    if (page.samplesperpixel, page.dtype) != (full.samplesperpixel, full.dtype):
        return False
    if min(page.imagelength, page.imagewidth) < 1:
        return False
    factor = max(full.imagelength / page.imagelength, full.imagewidth / page.imagewidth)
    # a side of n pixels at a level may stand for up to one pixel more or less of that level
    skew = abs(full.imagelength / factor - page.imagelength), abs(full.imagewidth / factor - page.imagewidth)
    allowed = (
        1 + _LARGEST_SKEW * page.imagelength,
        1 + _LARGEST_SKEW * page.imagewidth,
    )
    return bool(factor >= _LEAST_SHRINKING and skew[0] <= allowed[0] and skew[1] <= allowed[1])


def require_equal(first: Any, page: Any, number: int) -> None:
    if (size_of(page), page.samplesperpixel, page.dtype) != (
        size_of(first),
        first.samplesperpixel,
        first.dtype,
    ):
        raise UnreadableImage(f"page {number + 1} differs in size or type from the first: split the file")


def size_of(page: Any) -> tuple[int, int]:
    return int(page.imagelength), int(page.imagewidth)


def unknown(count: int) -> UnreadableImage:
    return UnreadableImage(
        f"{count:,} pages where one plane was meant, and the file does not say whether they are channels, z "
        "or time points: split it into single planes, or save it as OME-TIFF"
    )
