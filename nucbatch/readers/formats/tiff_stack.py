"""Determines the planes of a TIFF from its metadata, and checks that all of them exist.

Pages are planes only if the file says so: by OME-XML, ImageJ's description, or tifffile's shape. All planes
promised by these, or by the tags of MetaMorph, Zeiss and Micro-Manager, must be in the file or in files that
it names. Otherwise the file is rejected with both numbers, because a truncated file looks like a smaller one.
Pages without such metadata must be resolution levels of one picture
(:mod:`nucbatch.readers.formats.tiff_pages`).

Sources: ImageJ hyperstack description (order XYCZT), MetaMorph Stack (STK), Zeiss LSM 5, Micro-Manager's
image stack file format.
"""

from __future__ import annotations

import json
import struct
from math import prod
from pathlib import Path
from typing import Any

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.formats.ome_xml import OmeImage, ome_image
from nucbatch.readers.formats.stack import SINGLE, Stack, by_samples, stacked, wrong_plane_count
from nucbatch.readers.formats.tiff_description import is_aperio
from nucbatch.readers.formats.tiff_pages import only_levels, require_equal, size_of, slide, undescribed_pages
from nucbatch.readers.formats.tiff_samples import Samples
from nucbatch.readers.formats.tiff_scn import is_scn
from nucbatch.readers.formats.tiff_vendors import (
    FLEX,
    flex_stack,
    is_stk,
    lsm_channels,
    lsm_stack,
    stk_planes,
    stk_stack,
)

_MOST_FURTHER_PAGES = 64
_INDEX_OFFSET, _INDEX = 54_773_648, 3_453_623  # magic numbers of Micro-Manager


def stack_of(tiff: Any, path: Path, samples: Samples) -> Stack:
    """Determines the planes of an open ``tifffile.TiffFile``.

    Args:
        tiff: the open file.
        path: where it lies; files named by its metadata are looked for beside it.
        samples: samples of its first page.

    Raises:
        UnreadableImage: planes promised by the metadata are missing, or the file has several pages without a
            description.
    """
    first, count = tiff.pages[0], len(tiff.pages)
    if is_scn(tiff):
        raise UnreadableImage("a Leica SCN slide: give it alone, or a folder of slides")
    if int(first.imagedepth) > 1:
        raise undescribed_pages(int(first.imagedepth))
    _require_side_promises(tiff, count)
    description = str(first.description or "")
    image = ome_image(description, path, count, samples) if "<OME" in description else None
    names = samples.names
    if image is not None:
        stack = image.stack
        names = image.sample_names or names
        _require_size(image, tiff.pages[stack.pages[0]])
    elif first.is_lsm:
        stack = lsm_stack(tiff, names)
        names = tuple(lsm_channels(tiff, len(names))) or names
    elif is_stk(tiff):
        stack = stk_stack(tiff) or _undescribed(tiff)
    elif first.is_imagej:
        stack = _imagej(tiff.imagej_metadata or {}, count)
    elif FLEX in first.tags and count > 1:
        stack = flex_stack(tiff)
    elif first.shaped_description is not None:
        stack = _shaped(first, count) or _undescribed(tiff)
    else:
        stack = _undescribed(tiff)
    if max(stack.pages) < count:
        for page in set(stack.pages) - {0}:
            require_equal(first, tiff.pages[page], page)
        _require_no_more(tiff, stack)
    return by_samples(stack, names) if samples.names else stack


def page_alone(tiff: Any, number: int, samples: Samples) -> Stack:
    """Returns one page, from 0, as the only plane, whatever the metadata say about its role.

    Raises:
        UnreadableImage: no such page, or the page holds several channels.
    """
    count = len(tiff.pages)
    if number >= count and tiff.pages[0].is_imagej:  # ImageJ may store all pages behind one directory
        count = len(_imagej(tiff.imagej_metadata or {}, count).pages)
    if count == 1 and is_stk(tiff):
        count = stk_planes(tiff)
    if number >= count:
        raise UnreadableImage(f"it has no frame {number}: its {count} are counted from 0")
    if samples.planes > 1:
        raise UnreadableImage(f"its frame {number} holds {samples.planes} channels: save it with one a page")
    return Stack(1, ("",), 1, (number,))


def _undescribed(tiff: Any) -> Stack:
    if len(tiff.pages) == 1:
        return SINGLE
    return slide(tiff) if is_aperio(str(tiff.pages[0].description or "")) else only_levels(tiff)


def _imagej(described: dict[str, Any], count: int) -> Stack:
    """Parses ImageJ's description. Pages of a stack behind one directory count as separate pages."""
    shape = [int(described.get(name, 1)) for name in ("frames", "slices", "channels")]
    if count > 1 and prod(shape) == 1 and "images" not in described:
        raise undescribed_pages(count)
    images = int(described.get("images", prod(shape)))
    if count not in (1, images):
        raise wrong_plane_count(images, count)
    if prod(shape) != images:
        lengths = " × ".join(map(str, shape))
        raise wrong_plane_count(images, prod(shape), f" by its frames × slices × channels ({lengths})")
    return stacked("tzc", shape)


def _shaped(page: Any, count: int) -> Stack | None:
    """Parses tifffile's ``{"shape": [3, 64, 48], "axes": "CYX"}``; None if it has no axes."""
    text = page.shaped_description
    try:
        described = json.loads(text) if text.startswith("{") else {"shape": json.loads(f"[{text[7:-1]}]")}
        shape = [int(length) for length in described["shape"]]
        axes = str(described.get("axes", ""))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    leading = _leading(shape, page)
    if leading is None:
        return None
    planes = prod(leading)
    if planes > count:
        truncated = (
            ": it was written with truncate=True, save it as OME-TIFF" if described.get("truncated") else ""
        )
        raise wrong_plane_count(planes, count, truncated)
    letters = axes[: len(leading)].lower()
    used = [(letter, length) for letter, length in zip(letters, leading, strict=False) if length > 1]
    letters = "".join(letter for letter, _ in used)
    known = set(letters) <= set("tcz") and len(set(letters)) == len(letters)
    if planes != count or not known or prod(length for _, length in used) != planes:
        return None
    return stacked(letters, [length for _, length in used])


def _leading(shape: list[int], page: Any) -> list[int] | None:
    """Returns the lengths before a page's own; None if the shape does not end with a page's."""
    height, width, samples = int(page.imagelength), int(page.imagewidth), int(page.samplesperpixel)
    for ending in ([height, width, samples], [samples, height, width], [height, width]):
        if shape[-len(ending) :] == ending and (samples == 1 or len(ending) == 3):
            return shape[: -len(ending)]
    return None


def _require_size(image: OmeImage, page: Any) -> None:
    if image.size is not None and image.size != size_of(page):
        height, width = size_of(page)
        raise UnreadableImage(
            f"its OME-XML promises {image.size[0]:,} × {image.size[1]:,} px, its pages have {height:,} × "
            f"{width:,}: save it again from its source"
        )


def _require_no_more(tiff: Any, stack: Stack) -> None:
    """Rejects further pages of the same size, since the metadata then describe only part of the planes."""
    first, count, used = tiff.pages[0], len(tiff.pages), set(stack.pages)
    further = [number for number in range(count) if number not in used]
    equal = 0
    for number in further[:_MOST_FURTHER_PAGES]:
        page = tiff.pages[number].aspage()
        equal += size_of(page) == size_of(first) and page.dtype == first.dtype and not page.is_reduced
    if equal and not is_aperio(str(first.description or "")):
        raise wrong_plane_count(len(used), len(used) + equal)


def _require_side_promises(tiff: Any, count: int) -> None:
    """Rejects files whose list of images, by Micro-Manager, names more than there are."""
    images = _indexed_images(tiff)
    if images > count:
        raise wrong_plane_count(images, count)


def _indexed_images(tiff: Any) -> int:
    """Returns the number of images in Micro-Manager's index map; 0 if the file has none.

    Raises:
        UnreadableImage: the header points to a map that is missing.
    """
    file, order = tiff.filehandle, tiff.byteorder
    file.seek(0)
    start = file.read(16)
    if len(start) < 16 or struct.unpack_from(f"{order}I", start, 8)[0] != _INDEX_OFFSET:
        return 0
    offset = struct.unpack_from(f"{order}I", start, 12)[0]
    file.seek(offset)
    found = file.read(8)
    if not offset:
        return 0
    if len(found) < 8 or struct.unpack_from(f"{order}I", found)[0] != _INDEX:
        raise UnreadableImage(
            f"truncated: Micro-Manager's list of its images, at byte {offset:,}, is not there"
        )
    return int(struct.unpack_from(f"{order}I", found, 4)[0])
