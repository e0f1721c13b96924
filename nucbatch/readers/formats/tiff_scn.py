"""Images in a Leica SCN slide, a BigTIFF whose first description says which directory is which plane.

The picture of the whole slide, with its label and all areas, is left out. Each other image is an area that
was scanned: RGB, or a directory for each channel and z-step. Positions are those on the slide, which run as
rows and columns do. Only full resolution is read.

Source: Leica SCN (``http://www.leica-microsystems.com/scn/2010/10/01``), as in OpenSlide.
"""

from __future__ import annotations

from typing import Any

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.pixel_size import not_square, square_um
from nucbatch.core.plate import Channel
from nucbatch.readers.formats.contract import Series
from nucbatch.readers.formats.stack import channel_names
from nucbatch.readers.formats.xml_stream import Element, text_elements

_MARK = "leica-microsystems.com/scn/"
_NM_PER_UM = 1000.0


def is_scn(tiff: Any) -> bool:
    """Returns whether a TIFF is a Leica SCN slide."""
    return _MARK in str(tiff.pages[0].description or "")[:2000]


def scn_series(tiff: Any) -> list[Series]:
    """Lists the scanned areas of a slide.

    Raises:
        UnreadableImage: a directory that an area needs is not there, or none is described.
    """
    xml = str(tiff.pages[0].description)
    whole: tuple[int, int] | None = None
    areas: list[Element] = []
    for one in text_elements(xml, {"image"}, heads={"collection"}):
        if one.tag == "collection":
            whole = _length(one, "sizeX"), _length(one, "sizeY")
            continue
        view = one.child("view")
        if view is None or (_length(view, "sizeX"), _length(view, "sizeY")) != whole:
            areas.append(one)
    if not areas:
        raise UnreadableImage("a Leica SCN slide without a scanned area")
    return [_area(tiff, one) for one in areas]


def _area(tiff: Any, image: Element) -> Series:
    pixels, view = image.child("pixels"), image.child("view")
    full = [] if pixels is None else [one for one in pixels.children if one.attributes.get("r", "0") == "0"]
    planes = {(_length(one, "c"), _length(one, "z")): _length(one, "ifd") for one in full}
    channels = sorted({c for c, _ in planes})
    steps = sorted({z for _, z in planes})
    wanted = [(c, z) for c in channels for z in steps]
    if not planes or any(place not in planes for place in wanted):
        raise UnreadableImage(
            f"incomplete: {len(planes)} of the {len(wanted)} planes of {image.attributes.get('name', '')!r} "
            "are there"
        )
    count = len(tiff.pages)
    if max(planes.values()) >= count:
        raise UnreadableImage(f"truncated: directory {max(planes.values()) + 1} of {count} is not there")
    page = tiff.pages[planes[wanted[0]]].aspage()
    height, width = int(page.imagelength), int(page.imagewidth)
    position: tuple[float, float] | None = None
    sides: tuple[float | None, float | None] = None, None
    if view is not None and min(_length(view, "sizeX"), _length(view, "sizeY")) > 0:
        across, down = _length(view, "sizeX") / _NM_PER_UM, _length(view, "sizeY") / _NM_PER_UM
        sides = across / width, down / height
        position = (
            _length(view, "offsetY") / _NM_PER_UM + down / 2,
            _length(view, "offsetX") / _NM_PER_UM + across / 2,
        )
    names = channel_names(len(channels), [])
    return Series(
        name=image.attributes.get("name", ""),
        first_page=0,
        times=1,
        channels=tuple(Channel(name, index) for index, name in enumerate(names)),
        depth=len(steps),
        height_px=height,
        width_px=width,
        dtype=str(page.dtype),
        pixel_size_um=square_um(*sides),
        oblong_um=sides if not_square(*sides) else None,
        position_um=position,
        pages=tuple(planes[place] for place in wanted),
    )


def _length(element: Element, name: str) -> int:
    """Returns a whole number among an element's attributes; 0 if it is absent."""
    text = element.attributes.get(name, "") or "0"
    try:
        return int(text)
    except ValueError:
        raise UnreadableImage(f"damaged header ({name} of {element.tag} is {text!r})") from None
