"""Leica's LIF files, read with the package ``liffile``.

The tiles of a mosaic are images of their own. A truncated file loses its last images without a word, so the
pixels of each image are looked for first, and must lie inside the file. They are memory-mapped, so that a box
is read without the rest.

The tiles of a mosaic lie where the stage was, its axes turned as ``FlipX``, ``FlipY`` and ``SwapXY`` say.
Readers differ in whether the flips come before or after the swap, so that positions are not used where that
matters. Neither are those of single images.

Sources: the package ``liffile`` (blocks, dimensions, order of colours), Bio-Formats (orientation of tiles).
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.pixel_size import not_square, square_um
from nucbatch.core.plate import Channel
from nucbatch.core.plate_geometry import plausible_well
from nucbatch.core.tiles import Box
from nucbatch.readers.formats.container import Container, OpenPlanes, numbered
from nucbatch.readers.formats.container_colour import colour_problem, in_colour
from nucbatch.readers.formats.contract import Series
from nucbatch.readers.formats.stack import channel_names
from nucbatch.readers.formats.tiff_description import in_um
from nucbatch.readers.formats.xml_stream import text_elements

_START = b"\x70\0\0\0"
_HEAD = struct.Struct("<IIBI")
_MARK = 0x2A
_DIMENSIONS = "./Data/Image/ImageDescription/Dimensions/DimensionDescription"
_CHANNELS = "./Data/Image/ImageDescription/Channels/ChannelDescription"
_POSITIONS = './Data/Image/Attachment[@Name="TileScanInfo"]'
_COLORS = {
    "blue": "0000FF",
    "green": "00FF00",
    "red": "FF0000",
    "cyan": "00FFFF",
    "magenta": "FF00FF",
    "yellow": "FFFF00",
}
_ROW = re.compile(r"[A-P]")
_COLUMN = re.compile(r"[0-9]{1,2}")
_RED_GREEN_BLUE = ("1", "2", "3")
"""Values of ``ChannelTag``."""
_UM_PER_M = 1e6
_NEVER_ACQUIRED = "it was never acquired: the file records no pixels of it"


class Lif(Container):
    """LIF files of LAS AF and LAS X."""

    name = "lif"
    title = "Leica's LIF files"
    suffixes = (".lif",)
    containers = (".lif",)
    module = "liffile"
    extra = "lif"

    def recognises(self, start: bytes) -> bool:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        return start.startswith(_START) and len(start) > 8 and start[8] == _MARK

    def list_series(self, library: ModuleType, path: Path) -> list[Series]:
        """Returns one image for each image and tile of a mosaic."""
        _require_plain_header(path)
        size = path.stat().st_size
        found: list[Series] = []
        with library.LifFile(path, squeeze=False) as opened:
            described = len(opened.xml_element.findall(".//Element/Data/Image"))
            if described > len(opened.images):  # the library keeps one image of each path
                raise UnreadableImage(
                    f"{described:,} images, and several of one name in one folder: rename them in LAS X"
                )
            for image in opened.images:
                found += _series(image, size)
        wells = [_well(one.name) for one in found]
        if not all(wells):
            wells = [""] * len(found)
        return numbered([replace(one, well=well) for one, well in zip(found, wells, strict=True)])

    def open_planes(self, library: ModuleType, path: Path) -> OpenPlanes:
        """Opens the file; images are mapped when one of their planes is read."""
        return _Images(library.LifFile(path, squeeze=False))


class _Images(OpenPlanes):
    def __init__(self, opened: Any) -> None:
        self._file = opened
        self._places = [(image, tile) for image in opened.images for tile in range(_tiles(image))]
        self._last: tuple[Any, NDArray[Any]] | None = None

    def read(self, series: int, t: int, c: int, z: int, box: Box) -> NDArray[Any]:
        image, tile = self._places[series]
        if self._last is None or self._last[0] is not image:
            self._last = image, _mapped(image)
        down, across = box.slices
        place = {"T": t, "C": c, "Z": z, "M": tile, "Y": down, "X": across, "S": slice(None)}
        index: tuple[Any, ...] = tuple(place.get(axis, 0) for axis in image.dims)
        pixels = self._last[1][index]
        if colours := _order_of_colours(image):
            pixels = pixels[..., colours]
        elif list(image.dims).index("X") < list(image.dims).index("Y"):
            pixels = pixels.T
        return np.asarray(pixels).astype(pixels.dtype.newbyteorder("="))

    def piece_bytes(self, series: int) -> int:
        image = self._places[series][0]
        return int(image.dtype.itemsize) * int(image.sizes.get("S", 1))

    def rest(self) -> None:
        self._last = None

    def close(self) -> None:
        self._last = None
        self._file.close()


def _require_plain_header(path: Path) -> None:
    """Checks that the file's XML is there and well-formed, without document types and entities."""
    with path.open("rb") as file:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            raise UnreadableImage("truncated: a LIF file without a header")
        length = 2 * _HEAD.unpack(head)[3]
        text = file.read(length)
    if len(text) < length:
        raise UnreadableImage(f"truncated: its header should have {length:,} bytes, and has {len(text):,}")
    for _ in text_elements(text.decode("utf-16-le"), ()):
        continue


def _series(image: Any, size_bytes: int) -> Iterator[Series]:
    """Yields an image, or each tile of a mosaic."""
    problem = "fluorescence lifetimes are not read" if image.is_flim else ""
    sizes = {} if problem else dict(image.sizes)
    coloured = not problem and bool(_order_of_colours(image))
    known = "XYSTZCM" if coloured and list(sizes)[-3:] == ["Y", "X", "S"] else "XYTZCM"
    further = [axis for axis, length in sizes.items() if axis not in known and length > 1]
    if not problem and (further or not {"X", "Y"} <= set(sizes)):
        axes = ", ".join(f"{axis} {length}" for axis, length in sizes.items())
        problem = f"scans with the axes {axes} are not read: export it as TIFF"
    times, depth, channels = (max(1, sizes.get(axis, 1)) for axis in "TZC")
    tiles = _tiles(image)
    dtype = ""
    if not problem:
        dtype = np.dtype(image.dtype).name
        problem = _missing(image, math.prod([*sizes.values(), np.dtype(image.dtype).itemsize]), size_bytes)
    if coloured:
        problem = problem or colour_problem(channels, depth)
    described = in_colour() if coloured else _channels(image, channels)
    sides = _side_um(image, "1"), _side_um(image, "2")
    centers = _tile_centers_um(image, tiles)
    for tile in range(tiles):
        yield Series(
            name=image.path + (f" tile {tile + 1}" if tiles > 1 else ""),
            first_page=0,
            times=times,
            channels=described,
            depth=depth,
            height_px=sizes.get("Y", 0),
            width_px=sizes.get("X", 0),
            dtype=dtype,
            samples=3 if coloured else 1,
            pixel_size_um=square_um(*sides),
            oblong_um=sides if not_square(*sides) else None,
            position_um=centers[tile] if centers else None,
            unused_position=not centers and image.xml_element.find(_POSITIONS) is not None,
            problem=problem,
        )


def _tiles(image: Any) -> int:
    """Returns the number of tiles of a mosaic; 1 for other images."""
    return 1 if image.is_flim else max(1, int(image.sizes.get("M", 1)))


def _order_of_colours(image: Any) -> list[int]:
    """Returns the places of Red, Green and Blue among the values of a pixel; empty if it has no colours."""
    if image.is_flim or image.sizes.get("S", 1) != 3:
        return []
    described = sorted(image.xml_element.findall(_CHANNELS), key=lambda one: int(one.get("BytesInc", "0")))
    tags = [one.get("ChannelTag", "") for one in described[:3]]
    return [tags.index(tag) for tag in _RED_GREEN_BLUE] if sorted(tags) == list(_RED_GREEN_BLUE) else []


def _mapped(image: Any) -> NDArray[Any]:
    """Maps the pixels of an image, in the order of ``image.dims`` and as they are stored.

    The library would sort colours in a copy of the whole image.
    """
    if not _order_of_colours(image):
        return np.asarray(image.asarray(out="memmap"))
    shape = list(image.shape)
    for one in image.xml_element.findall(_DIMENSIONS):
        if one.get("DimID") == "2":  # a row may be longer than its pixels
            shape[-2] = max(shape[-2], int(one.get("BytesInc", "0")) // (3 * image.dtype.itemsize))
    return np.asarray(image.memory_block.read_array(tuple(shape), image.dtype, out="memmap"))


def _tile_centers_um(image: Any, tiles: int) -> list[tuple[float, float]]:
    """Returns (y, x) of each tile's centre along the image's axes; empty if they are not certain."""
    found = image.xml_element.find(_POSITIONS)
    if found is None:
        return []
    places = [(one.get("PosX"), one.get("PosY")) for one in found.findall("./Tile")]
    flip_x, flip_y, swap = (found.get(name, "0") not in ("", "0") for name in ("FlipX", "FlipY", "SwapXY"))
    if len(places) != tiles or (swap and flip_x != flip_y):
        return []
    try:
        centers = [(float(x or "") * _UM_PER_M, float(y or "") * _UM_PER_M) for x, y in places]
    except ValueError:
        return []
    if swap:
        centers = [(y, x) for x, y in centers]
    return [(-y if flip_y else y, -x if flip_x else x) for x, y in centers]


def _missing(image: Any, needed_bytes: int, size_bytes: int) -> str:
    """Returns why an image has no pixels; empty if all are there.

    Raises:
        UnreadableImage: the file is truncated.
    """
    memory = image.xml_element.find("./Memory")
    promised = int(memory.get("Size", "0")) if memory is not None else 0
    name = None if memory is None else memory.get("MemoryBlockID")
    block = image.parent.memory_blocks.get(name)
    if block is None:
        if not promised:
            return _NEVER_ACQUIRED
        raise UnreadableImage(f"truncated: the pixels of {image.path!r} are not there")
    end = block.offset + block.size
    if end > size_bytes:
        raise UnreadableImage(f"truncated: {size_bytes:,} bytes of at least {end:,}")
    if not block.size:
        return _NEVER_ACQUIRED
    if block.size < needed_bytes:
        return f"its metadata promise {needed_bytes:,} bytes of pixels, {block.size:,} are there"
    return ""


def _channels(image: Any, count: int) -> tuple[Channel, ...]:
    """Returns the channels, named by their colours if these differ."""
    found = sorted(image.xml_element.findall(_CHANNELS), key=lambda one: int(one.get("BytesInc", "0")))
    colors = [str(one.get("LUTName", "")) for one in found][:count]
    names = channel_names(count, colors) if count > 1 else ("",)
    listed = [_COLORS.get(color.lower(), "") for color in colors] + [""] * (count - len(colors))
    return tuple(Channel(name, index, color=listed[index]) for index, name in enumerate(names))


def _side_um(image: Any, dimension: str) -> float | None:
    """Returns the distance of two pixels: the length runs from the first one's centre to the last one's."""
    for one in image.xml_element.findall(_DIMENSIONS):
        steps = int(one.get("NumberOfElements", "0")) - 1
        if one.get("DimID") == dimension and steps > 0:
            return in_um(str(abs(float(one.get("Length", "0"))) / steps), str(one.get("Unit", "")))
    return None


def _well(path: str) -> str:
    """Returns the well in the path of an image: its row and column, or both in one name; empty if none.

    >>> _well("TileScan 1/B/3/R1"), _well("Plate/B03/Field 1"), _well("Series001")
    ('B03', 'B03', '')
    """
    parts = path.split("/")
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        if _ROW.fullmatch(part) and _COLUMN.fullmatch(following):
            return plausible_well(part + following)
        if re.fullmatch(r"[A-P][0-9]{1,2}", part) and plausible_well(part):
            return plausible_well(part)
    return ""
