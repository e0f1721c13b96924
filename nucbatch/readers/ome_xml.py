"""What OME-XML says about a TIFF's pages: which directory is which channel, z and time point.

Decisions owned here: the first Image is the image, and further ones are refused, unless they are what slide
scanners add (label, macro, thumbnail, overview). A file that holds a part of a set of files is refused,
because what its pages are stands in another file. Source: the OME data model 2016-06, ``TiffData`` and
``DimensionOrder``; RGB counts its samples among ``SizeC``.
"""

from __future__ import annotations

from itertools import product

from nucbatch.errors import UnreadableImage
from nucbatch.readers.scale import Elements
from nucbatch.readers.stack import Stack, channel_names

_SIDE_PICTURES = ("label", "macro", "thumbnail", "overview", "barcode")


def ome_stack(elements: Elements, page_count: int) -> Stack | None:
    """The stack that an OME-XML describes; None where the text describes none.

    Raises:
        UnreadableImage: pages that are not in the file, or several images.
    """
    images = _images(elements)
    if not images:
        return None
    others = [name for name, _ in images[1:] if not any(side in name.lower() for side in _SIDE_PICTURES)]
    if others:
        raise UnreadableImage(
            f"{1 + len(others)} images in one file: split it, one image per file (they are called "
            f"{', '.join([images[0][0], *others][:6])})"
        )
    return _stack(images[0][1], page_count)


def _images(elements: Elements) -> list[tuple[str, Elements]]:
    images: list[tuple[str, Elements]] = []
    for tag, values in elements:
        if tag == "Image":
            images.append((values.get("Name", "") or f"image {len(images) + 1}", []))
        elif images:
            images[-1][1].append((tag, values))
    return images


def _stack(elements: Elements, page_count: int) -> Stack | None:
    pixels = next((values for tag, values in elements if tag == "Pixels"), None)
    if pixels is None or not all(f"Size{axis}" in pixels for axis in "TCZ"):
        return None
    channels = [values for tag, values in elements if tag == "Channel"]
    samples = int(channels[0].get("SamplesPerPixel", "1")) if channels else 1
    sizes = {axis: int(pixels[f"Size{axis}"]) for axis in "TCZ"}
    sizes["C"] //= max(samples, 1)
    count = sizes["T"] * sizes["C"] * sizes["Z"]
    if min(sizes.values()) < 1:
        raise UnreadableImage(f"damaged header (its OME-XML tells {count:,} planes)")
    if count > page_count:
        raise UnreadableImage(
            f"its OME-XML tells {count:,} planes, but the file has {page_count:,}: a part of a set of files. "
            "Export it as one file, or as files of one plane each"
        )
    order = pixels.get("DimensionOrder", "XYCZT")[2:][::-1]  # as in an array: slowest first
    if sorted(order) != ["C", "T", "Z"]:
        raise UnreadableImage(f"damaged header (DimensionOrder {pixels['DimensionOrder']!r})")
    places = list(product(*(range(sizes[axis]) for axis in order)))
    pages = _directories([values for tag, values in elements if tag == "TiffData"], places, order)
    wanted = product(range(sizes["T"]), range(sizes["C"]), range(sizes["Z"]))
    numbered = [
        pages.get(tuple(dict(zip("TCZ", place, strict=True))[axis] for axis in order)) for place in wanted
    ]
    found = tuple(page for page in numbered if page is not None and page < page_count)
    if len(found) < count or len(set(found)) < count:
        raise UnreadableImage(
            f"damaged header (its OME-XML gives pages to {len(set(found))} of {count} planes)"
        )
    names = [channel.get("Name", "") for channel in channels] if sizes["C"] > 1 else []
    return Stack(sizes["T"], channel_names(sizes["C"], names), sizes["Z"], found)


def _directories(
    blocks: list[dict[str, str]], places: list[tuple[int, ...]], order: str
) -> dict[tuple[int, ...], int]:
    """The directory of each place in the order of dimensions. Without TiffData they follow one another."""
    ranks = {place: rank for rank, place in enumerate(places)}
    pages: dict[tuple[int, ...], int] = {}
    for block in blocks or [{}]:
        first = tuple(int(block.get(f"First{axis}", "0")) for axis in order)
        begin = ranks.get(first)
        if begin is None:
            raise UnreadableImage(f"damaged header (TiffData for {dict(zip(order, first, strict=True))})")
        directory = int(block.get("IFD", "0"))
        # the data model: with a directory but no count, one plane; with neither, all that follow
        count = int(block.get("PlaneCount", "1" if "IFD" in block else str(len(places) - begin)))
        for step, place in enumerate(places[begin : begin + max(count, 0)]):
            pages[place] = directory + step
    return pages
