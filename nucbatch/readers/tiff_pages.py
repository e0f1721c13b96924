"""What the pages of a TIFF are: planes of one image, resolutions of one picture, or neither.

Decisions owned here: pages are planes only where the file says so (OME-XML, ImageJ's description, tifffile's
axes); they are resolutions where they are marked as reduced, lie in SubIFDs, or shrink by one factor in both
directions; a slide's thumbnail, label and macro are no part of it. Anything else is refused, because which
page is the plane is not for us to guess. Sources: TIFF 6.0 (NewSubfileType, SubIFDs), Aperio's SVS, ImageJ's
description of hyperstacks (order XYCZT).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from nucbatch.errors import UnreadableImage
from nucbatch.readers.ome_xml import ome_stack
from nucbatch.readers.scale import is_aperio, xml_elements
from nucbatch.readers.stack import SINGLE, Stack, stacked

_LEAST_SHRINKING = 1.4  # what is hardly smaller is another picture
_MOST_LEVELS = 64  # halved so often, no picture has a pixel left; thumbnails and labels are few
_LARGEST_SKEW = 0.02  # between both directions, beyond their rounding to whole pixels


def stack_of(tiff: Any) -> Stack:
    """The planes of an open ``tifffile.TiffFile``.

    Raises:
        UnreadableImage: several pages, and nothing that tells what they are.
    """
    first, count = tiff.pages[0], len(tiff.pages)
    description = str(first.description or "")
    if int(first.imagedepth) > 1:
        raise _unknown(int(first.imagedepth))
    if tiff.is_imagej:
        return _imagej(tiff.imagej_metadata or {}, count)
    if count == 1:
        return SINGLE
    stack = None
    if is_aperio(description):
        stack = _slide(tiff)
    elif "<OME" in description:
        stack = ome_stack(xml_elements(description), count)
    elif description.startswith("{"):
        stack = _described_axes(description, count)
    if stack is None:
        stack = _only_levels(tiff)
    for page in set(stack.pages) - {0}:
        _require_equal(first, tiff.pages[page], page)
    return stack


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


def _imagej(described: dict[str, Any], count: int) -> Stack:
    """ImageJ may keep a stack behind one directory; its pages then count as if they had their own."""
    images = int(described.get("images", 1))
    shape = [int(described.get(name, 1)) for name in ("frames", "slices", "channels")]
    if images == 1 and count == 1:
        return SINGLE
    total = shape[0] * shape[1] * shape[2]
    if total != images or (count != images and count != 1):
        raise _unknown(max(images, count))
    return stacked("tzc", shape)


def _slide(tiff: Any) -> Stack:
    """Aperio: one full resolution; several of its size are focal planes."""
    first = tiff.pages[0]
    equal = [
        page
        for page in list(tiff.pages)[1:]
        if _size(page) == _size(first) and page.is_tiled == first.is_tiled
    ]
    if equal:
        raise UnreadableImage(f"a slide of {len(equal) + 1} focal planes: export one of them")
    return SINGLE


def _described_axes(description: str, count: int) -> Stack | None:
    """tifffile's own description: ``{"shape": [3, 64, 48], "axes": "CYX"}``."""
    try:
        described = json.loads(description)
        axes, shape = str(described["axes"]), [int(length) for length in described["shape"]]
    except (ValueError, LookupError, TypeError):
        return None
    if len(axes) != len(shape):
        return None
    leading = [(axis.lower(), length) for axis, length in zip(axes, shape, strict=True) if axis not in "YXS"]
    letters = "".join(axis for axis, _ in leading)
    lengths = [length for _, length in leading]
    total = 1
    for length in lengths:
        total *= length
    known = set(letters) <= set("tcz") and len(set(letters)) == len(letters)
    return stacked(letters, lengths) if known and total == count else None


def _only_levels(tiff: Any) -> Stack:
    """One plane, if every other page is a reduced copy of it or marked as one."""
    first, count = tiff.pages[0], len(tiff.pages)
    if count > _MOST_LEVELS:  # not looked at one by one
        raise _unknown(count)
    others = [page.aspage() for page in list(tiff.pages)[1:]]
    pictures = [page for page in others if not page.is_reduced and not _shrinks(first, page)]
    if pictures:
        raise _unknown(1 + len(pictures))
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


def _require_equal(first: Any, page: Any, number: int) -> None:
    if (_size(page), page.samplesperpixel, page.dtype) != (_size(first), first.samplesperpixel, first.dtype):
        raise UnreadableImage(f"page {number + 1} differs in size or type from the first: split the file")


def _size(page: Any) -> tuple[int, int]:
    return int(page.imagelength), int(page.imagewidth)


def _unknown(count: int) -> UnreadableImage:
    return UnreadableImage(
        f"{count:,} pages where one plane was meant, and the file does not say whether they are channels, z "
        "or time points: split it into single planes, or save it as OME-TIFF"
    )
