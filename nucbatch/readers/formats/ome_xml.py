"""Interprets the OME-XML of a TIFF: which directory is which channel, z-step and time point.

- Micro-Manager lists every position in each position's file. The file's own images are those whose TiffData
  belong to it. One of them is used. Further ones are rejected, except the side pictures of slide scanners
  (label, macro, thumbnail, overview).
- An image may be spread over several files. Files with other z-steps or time points of the same channels must
  be in the same folder. They are looked up by name and never opened.
- A file whose metadata are in another one (``BinaryOnly``) is a plane only if its name tells which.

Source: OME data model 2016-06, ``TiffData``, ``UUID`` and ``DimensionOrder``; RGB counts its samples among
``SizeC``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from pathlib import Path

from nucbatch.core.errors import UnreadableImage
from nucbatch.object_store import as_path
from nucbatch.readers.formats.hardened_xml import Elements, xml_elements
from nucbatch.readers.formats.ome_planes import PlaneKey, described_planes, plane_order
from nucbatch.readers.formats.stack import Stack, channel_names, planes_text, wrong_plane_count
from nucbatch.readers.formats.tiff_samples import Samples

_SIDE_PICTURES = ("label", "macro", "thumbnail", "overview", "barcode")
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class OmeImage:
    """Planes of a file, from its OME-XML.

    Attributes:
        stack: the file's own planes.
        size: (Y, X) as recorded; None if not recorded.
        sample_names: channel names if each page holds several channels.
    """

    stack: Stack
    size: tuple[int, int] | None
    sample_names: tuple[str, ...]


@dataclass(slots=True)
class _Block:
    """``TiffData`` element with its ``UUID``: the file of some planes; an empty name means this file."""

    values: dict[str, str]
    file: str = ""
    uuid: str = ""


@dataclass(slots=True)
class _Image:
    name: str
    pixels: dict[str, str] = field(default_factory=dict)
    channels: list[dict[str, str]] = field(default_factory=list)
    blocks: list[_Block] = field(default_factory=list)


def ome_image(description: str, path: Path, page_count: int, samples: Samples) -> OmeImage | None:
    """Interprets the OME-XML of a file.

    Args:
        description: the OME-XML.
        path: the file.
        page_count: number of its pages.
        samples: samples of its pages.

    Returns:
        The image of this file; None if the text describes none.

    Raises:
        UnreadableImage: planes are neither in the file nor in files that it names, or it holds several
            images.
    """
    elements = xml_elements(description)
    if not elements:
        _require_as_many(description, page_count, samples)
        return None
    companion = next((values for tag, values in elements if tag == "BinaryOnly"), None)
    if companion is not None:
        return _of_companion(companion.get("MetadataFile", ""), path, page_count)
    uuid, images = _parsed(elements)
    if not images:
        return None
    files = {block.file for image in images for block in image.blocks}
    alone = len(files) == 1  # if only one file is named, this file may have been renamed

    def is_own(block: _Block) -> bool:
        return not block.file or alone or block.file == path.name or (bool(uuid) and block.uuid == uuid)

    own = [image for image in images if not image.blocks or any(map(is_own, image.blocks))]
    if not own:
        named = _named(sorted(files))
        raise UnreadableImage(
            f"its OME-XML describes other files ({named}), not this one: restore the file's original name"
        )
    others = [
        image.name for image in own[1:] if not any(side in image.name.lower() for side in _SIDE_PICTURES)
    ]
    if others:
        raise UnreadableImage(
            f"{1 + len(others)} images in one file: split it, one image per file (they are called "
            f"{', '.join([own[0].name, *others][:6])})"
        )
    image = own[0]
    if not all(f"Size{axis}" in image.pixels for axis in "TCZ"):
        return None
    mine = [block for block in image.blocks if is_own(block)]
    theirs = [block for block in image.blocks if not is_own(block)]
    return _described(image, mine, theirs, path, page_count, samples)


def _require_as_many(text: str, page_count: int, samples: Samples) -> None:
    """Compares the sizes in malformed OME-XML with the number of pages."""
    found = {axis: re.search(rf'\bSize{axis}="(\d{{1,9}})"', text) for axis in "TCZ"}
    sizes = {axis: int(match[1]) for axis, match in found.items() if match}
    colours = -(-sizes.get("C", 1) // max(samples.planes, samples.in_picture))
    count = sizes.get("T", 1) * sizes.get("Z", 1) * colours
    if count > page_count:
        raise wrong_plane_count(count, page_count)


def _parsed(elements: Elements) -> tuple[str, list[_Image]]:
    """Returns the file's UUID and its images."""
    uuid = ""
    images: list[_Image] = []
    for tag, values in elements:
        if tag == "OME":
            uuid = uuid or values.get("UUID", "")
        elif tag == "Image":
            images.append(_Image(values.get("Name", "") or f"image {len(images) + 1}"))
        elif not images:
            continue
        elif tag == "Pixels":
            images[-1].pixels = values
        elif tag == "Channel":
            images[-1].channels.append(values)
        elif tag == "TiffData":
            images[-1].blocks.append(_Block(values))
        elif tag == "UUID" and images[-1].blocks:
            images[-1].blocks[-1].file = values.get("FileName", "").removeprefix("./")
            images[-1].blocks[-1].uuid = values.get("", "")
    return uuid, images


def _of_companion(name: str, path: Path, page_count: int) -> OmeImage:
    """Returns the single page of a file whose metadata are in another one, which is not opened."""
    if name.removeprefix("./") not in _folder(path):
        raise UnreadableImage(f"its metadata are in {name!r}, which is not beside it: copy the whole set")
    if page_count > 1:
        raise UnreadableImage(
            f"{page_count:,} pages that are described only in {name}, which is not read: export it as one "
            "file"
        )
    part = f"its metadata are in {name}, which is not read: give a --pattern, or export it as one file"
    return OmeImage(Stack(1, ("",), 1, (0,), part), None, ())


def _folder(path: Path) -> frozenset[str]:
    return _listed(str(path.parent), path.parent.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _listed(folder: str, mtime_ns: int) -> frozenset[str]:
    """Returns the names in a folder; cached, because each file of a set checks all others."""
    return frozenset(entry.name for entry in as_path(folder).iterdir())


def _described(
    image: _Image, mine: list[_Block], theirs: list[_Block], path: Path, page_count: int, samples: Samples
) -> OmeImage:
    pixels, channels = image.pixels, image.channels
    sizes = {axis: int(pixels[f"Size{axis}"]) for axis in "TCZ"}
    merged = int(channels[0].get("SamplesPerPixel", "1")) if channels else 1
    names = [channel.get("Name", "") for channel in channels]
    in_page = max(merged, samples.planes)
    if in_page == 1 and sizes["T"] * sizes["C"] * sizes["Z"] > page_count:
        in_page = samples.in_picture  # some writers do not record that their only channel is RGB
    if sizes["C"] % in_page == 0:
        sizes["C"] //= in_page
    if min(sizes.values()) < 1:
        raise UnreadableImage(
            f"damaged header (its OME-XML describes {sizes['T'] * sizes['C'] * sizes['Z']:,} planes)"
        )
    count = sizes["T"] * sizes["C"] * sizes["Z"]
    if not theirs and count > page_count:
        raise wrong_plane_count(count, page_count)
    places = plane_order(pixels.get("DimensionOrder", "XYCZT"), sizes, path.stat().st_size)
    ranks = {place: rank for rank, place in enumerate(places)}
    own = mine or ([] if theirs else [_Block({})])  # without TiffData the planes are consecutive
    directories = {
        place: page for block in own for place, page in described_planes(block.values, places, ranks)
    }
    here = {place: page for place, page in directories.items() if page < page_count}
    elsewhere: dict[PlaneKey, str] = {}
    for block in theirs:
        elsewhere |= {place: block.file for place, _ in described_planes(block.values, places, ranks)}
    if len(here) < len(directories):
        raise wrong_plane_count(len(directories), len(here))
    part = _part(here, elsewhere, places, path) if theirs else ""
    if not theirs and (len(here) < count or len(set(here.values())) < count):
        raise UnreadableImage(
            f"damaged header (its OME-XML gives pages to {len(set(here.values()))} of {count} planes)"
        )
    times, colours, steps = (sorted({place[axis] for place in here}) for axis in range(3))
    wanted = list(product(times, colours, steps))
    if len(wanted) != len(here) or len(set(here.values())) != len(here):
        raise UnreadableImage(
            f"a part of a set of files ({len(here)} of {planes_text(count)}), and not the same z-steps of "
            "each channel: export it as one file"
        )
    several = len(colours) > 1
    shown_names = [names[colour] for colour in colours] if several and len(names) == sizes["C"] else []
    size = (int(pixels["SizeY"]), int(pixels["SizeX"])) if {"SizeX", "SizeY"} <= pixels.keys() else None
    return OmeImage(
        Stack(
            len(times),
            channel_names(len(colours), shown_names),
            len(steps),
            tuple(here[place] for place in wanted),
            part,
        ),
        size,
        channel_names(samples.planes, names) if len(names) == samples.planes > 1 else (),
    )


def _part(
    here: dict[PlaneKey, int], elsewhere: dict[PlaneKey, str], places: list[PlaneKey], path: Path
) -> str:
    """Returns the problem of a file that holds a part of an image and whose name does not tell which part.

    Raises:
        UnreadableImage: some z-steps or time points of its channels are missing.
    """
    folder = _folder(path)
    lost = [place for place in places if place not in here and elsewhere.get(place, "") not in folder]
    there = len(places) - len(lost)
    names = sorted({elsewhere[place] for place in lost if place in elsewhere})
    sentence = f": {_named(names)} not beside it" if names else ""
    colours = {place[1] for place in here}
    if any(place[1] in colours for place in lost):
        raise wrong_plane_count(len(places), there, sentence)
    if lost:
        return str(wrong_plane_count(len(places), there, sentence))
    spread = [place for place in places if place not in here and place[0] in {one[0] for one in here}]
    if not spread:
        return ""
    return (
        f"{len(here)} of the {planes_text(len(places))} of one image, the others are in "
        f"{_named(sorted({elsewhere[place] for place in spread}))}, and names do not tell which is which: "
        "give a --pattern, or export it as one file"
    )


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return shown + (f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else "")
