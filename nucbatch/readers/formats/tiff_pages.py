"""Recognises TIFF pages that are resolution levels of one picture.

A page is a level if it is marked as reduced, lies in a SubIFD, or is smaller by the same factor in both
directions. A slide's thumbnail, label and macro are not levels. If several pages could be the plane, the file
is rejected, because guessing could select the wrong one.

Sources: TIFF 6.0 (NewSubfileType, SubIFDs), Aperio's SVS.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.formats.stack import SINGLE, Stack
from nucbatch.readers.formats.tiff_description import is_aperio

_LEAST_SHRINKING = 1.4  # smallest factor; a page that is hardly smaller is another picture
_MOST_LEVELS = 64  # more than any image can be halved; thumbnails and labels are few
_LARGEST_SKEW = 0.02  # difference between both directions, beyond rounding to whole pixels


def level_pages(tiff: Any, page: int) -> list[Any]:
    """Lists all resolution levels of one page, the full one first: its SubIFDs, else the next pages."""
    full = tiff.pages[page]
    subifds = len(full.subifds or ())
    if subifds > _MOST_LEVELS:
        raise UnreadableImage(
            f"damaged header (page {page + 1:,} lists {subifds:,} smaller copies of itself; the limit is "
            f"{_MOST_LEVELS}): save it again from its source"
        )
    below = list(full.pages or ()) if subifds else []
    if not below and page == 0:
        below = list(_reductions(tiff))
    if tiff.is_lsm:
        return [full]
    levels = [full]
    for one in below:
        if _shrinks(full, one) and one.imagewidth < levels[-1].imagewidth:
            levels.append(one)
    return levels


def slide(tiff: Any) -> Stack:
    """Returns the plane of an Aperio slide; rejects several pages of full size, which are focal planes."""
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
    """Returns a single plane if every other page is a reduced copy of it or marked as one."""
    first, count = tiff.pages[0], len(tiff.pages)
    if count > _MOST_LEVELS:  # too many to examine one by one
        raise undescribed_pages(count)
    others = [page.aspage() for page in list(tiff.pages)[1:]]
    pictures = [page for page in others if not page.is_reduced and not _shrinks(first, page)]
    if pictures:
        raise undescribed_pages(1 + len(pictures))
    return SINGLE


def _reductions(tiff: Any) -> Iterator[Any]:
    tiled = tiff.pages[0].is_tiled
    description = str(tiff.pages[0].description or "")
    slide, ome = is_aperio(description), "<OME" in description
    for page in list(tiff.pages)[1:]:
        one = page.aspage()
        # A slide's thumbnail, label and macro have strips, its levels have tiles. In OME-TIFF a smaller page
        # may be another image, so only pages marked as reduced are levels.
        if one.is_tiled == tiled and not (slide and one.is_reduced) and (one.is_reduced or not ome):
            yield one


def _shrinks(full: Any, page: Any) -> bool:
    """Returns whether a page can be a smaller copy of the same picture."""
    if (page.samplesperpixel, page.dtype) != (full.samplesperpixel, full.dtype):
        return False
    if min(page.imagelength, page.imagewidth) < 1:
        return False
    factor = max(full.imagelength / page.imagelength, full.imagewidth / page.imagewidth)
    # A level's side may be rounded by up to one of its own pixels.
    skew = abs(full.imagelength / factor - page.imagelength), abs(full.imagewidth / factor - page.imagewidth)
    allowed = (
        1 + _LARGEST_SKEW * page.imagelength,
        1 + _LARGEST_SKEW * page.imagewidth,
    )
    return bool(factor >= _LEAST_SHRINKING and skew[0] <= allowed[0] and skew[1] <= allowed[1])


def require_equal(first: Any, page: Any, number: int) -> None:
    """Checks that a page has the size and type of the first.

    Raises:
        UnreadableImage: it differs.
    """
    if (size_of(page), page.samplesperpixel, page.dtype) != (
        size_of(first),
        first.samplesperpixel,
        first.dtype,
    ):
        raise UnreadableImage(f"page {number + 1} differs in size or type from the first: split the file")


def size_of(page: Any) -> tuple[int, int]:
    """Returns (height, width) of a page in pixels."""
    return int(page.imagelength), int(page.imagewidth)


def undescribed_pages(count: int) -> UnreadableImage:
    """Builds the error for several pages whose roles are not recorded."""
    return UnreadableImage(
        f"{count:,} pages instead of one plane, and the file does not say whether they are channels, z "
        "or time points: split it into single planes, or save it as OME-TIFF"
    )
