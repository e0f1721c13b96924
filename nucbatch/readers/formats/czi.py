"""ZEISS' CZI files, read with the package ``micro-reader``.

It was chosen by trying several (the reference on formats has the table): it decodes subblocks of zstd, reads
boxes in bounded memory, and is in Python, so that damaged bytes raise an error, where ``pylibCZIrw`` ends the
process. It repairs misplaced subblocks with a warning and fills missing ones with zeros; here a file with
either is refused. So is one with fewer scenes, channels, z-steps or time points than its metadata promise.

Each scene is an image, its tiles joined, at full resolution. Positions are those of its pixels in the frame
that all scenes of a file share, so they run as rows and columns do.

Sources: ZISRAW (header, metadata segment), and the metadata's elements ``Information/Image``.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

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
from nucbatch.readers.formats.well_names import wells_in_names
from nucbatch.readers.formats.xml_stream import Element, text_elements

_START = b"ZISRAWFILE"
_METADATA_POSITION_AT = 92
_MOST_XML_BYTES = 1 << 28
_FULL_RESOLUTION = ("series", "resolution")
"""Numbers of an image that say no more than its scene: of a pyramid the library lists its base alone."""
_SIDE_PICTURES = (" label", " slide preview")
_UNITS = {"meter": 1e6, "millimeter": 1e3, "micrometer": 1.0, "nanometer": 1e-3, "picometer": 1e-6}


class Czi(Container):
    """CZI files of ZEN."""

    name = "czi"
    title = "ZEISS' CZI files"
    suffixes = (".czi",)
    containers = (".czi",)
    module = "micro_reader"
    extra = "czi"

    def recognises(self, start: bytes) -> bool:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        return start.startswith(_START)

    def list_series(self, library: ModuleType, path: Path) -> list[Series]:
        """Returns one image for each scene."""
        with path.open("rb") as file:
            promised = _promised(_xml(file))
        with _opened(library, path) as opened:
            images = _images(opened)
            for image in images:
                _require_planes(image)
            _require_promised(images, promised)
            found = [_series(image, promised) for image in images]
        wells = [one.well for one in found]
        if not all(wells):
            wells = wells_in_names([one.name for one in found]) or [""] * len(found)
        return numbered([replace(one, well=well) for one, well in zip(found, wells, strict=True)])

    def open_planes(self, library: ModuleType, path: Path) -> OpenPlanes:
        """Opens the file for reading scenes."""
        return _Scenes(_opened(library, path))


@dataclass(slots=True)
class _Promised:
    """What the metadata promise.

    Attributes:
        sizes: number of scenes, channels, z-steps and time points by their letters.
        wells: well by the number of a scene.
        names: name by the number of a scene.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    wells: dict[int, str] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)


class _Scenes(OpenPlanes):
    def __init__(self, opened: Any) -> None:
        self._file = opened
        self._images = _images(opened)

    def read(self, series: int, t: int, c: int, z: int, box: Box) -> NDArray[Any]:
        down, across = box.slices
        pixels = np.asarray(self._images[series].read(t=t, c=c, z=z, y=down, x=across))
        return pixels[..., :3] if pixels.ndim == 3 else pixels  # without alpha

    def piece_bytes(self, series: int) -> int:
        image = self._images[series]
        tiles = (tile for planes in _tiles(image).values() for tile in planes.subblocks)
        compressed = (tile.height * tile.width for tile in tiles if tile.compression)
        samples = image.shape[-1] if "s" in image.axes else 1
        return int(max(compressed, default=1)) * int(image.dtype.itemsize) * int(samples)

    def rest(self) -> None:
        self._file.decode_cache.clear()

    def close(self) -> None:
        self._file.close()


def _opened(library: ModuleType, path: Path) -> Any:
    """Opens a file with its scenes joined, and refuses one that the library had to repair.

    Raises:
        UnreadableImage: subblocks are not where the file's directory says.
    """
    library.set_decode_threads(1)  # a worker reads several fields at once
    # A process-wide filter, because threads share the filters: what it would say is said by the error below.
    warnings.filterwarnings("ignore", category=library.DamagedFileWarning)
    opened = library.open(str(path), tiles="mosaic")
    if opened.damage:
        opened.close()
        raise UnreadableImage(
            f"damaged: {opened.damage['misplaced']} of its subblocks are not where its directory says: copy "
            "it again from the microscope"
        )
    return opened


def _images(opened: Any) -> list[Any]:
    """Returns the scenes, without the pictures of the slide and its label."""
    return [image for image in opened.images if not image.name.endswith(_SIDE_PICTURES)]


def _tiles(image: Any) -> dict[tuple[int, ...], Any]:
    """Returns the subblocks of each plane of a scene, in the order of its parts of one pixel type."""
    found: dict[tuple[int, ...], Any] = {}
    for number, part in enumerate(image.parts):
        found |= {(number, *place): tiles for place, tiles in part._planes.items()}
    return found


def _require_planes(image: Any) -> None:
    """Checks that each plane has a subblock.

    Raises:
        UnreadableImage: one has none; the library would give zeros.
    """
    found = set(_tiles(image))
    promised = {
        (number, *place)
        for number, part in enumerate(image.parts)
        for place in product(*(range(length) for length in part.shape[: len(part.axes.rstrip("yxs"))]))
    }
    if found != promised:
        raise UnreadableImage(
            f"incomplete: {len(found & promised):,} of the {len(promised):,} planes of {image.name!r} are "
            "there"
        )


def _require_promised(images: Sequence[Any], promised: _Promised) -> None:
    """Checks the numbers of scenes, channels, z-steps and time points against the metadata."""
    there = {"S": len(images)}
    for letter in "TCZ":
        axis = letter.lower()
        there[letter] = max(image.shape[image.axes.index(axis)] for image in images)
    for letter, what in (("S", "scenes"), ("T", "time points"), ("C", "channels"), ("Z", "z-steps")):
        if promised.sizes.get(letter, 0) > there[letter]:
            raise UnreadableImage(
                f"incomplete: its metadata promise {promised.sizes[letter]:,} {what}, {there[letter]:,} are "
                "there"
            )


def _series(image: Any, promised: _Promised) -> Series:
    sizes = dict(zip(image.axes, image.shape, strict=True))
    number = int(image.index.get("series", 0))
    further = {key: value for key, value in image.index.items() if key not in _FULL_RESOLUTION}
    metadata = image.metadata
    sides = tuple(_um(metadata.pixel_sizes.get(axis)) for axis in "xy")
    size_um = square_um(sides[0], sides[1])
    position = None
    if size_um:
        left, top = image.parts[0].origin
        position = (top + sizes["y"] / 2) * size_um, (left + sizes["x"] / 2) * size_um
    name = promised.names.get(number, "")
    coloured = "s" in sizes
    return Series(
        name=" ".join([name, *(f"{key} {value}" for key, value in further.items())]).strip(),
        first_page=0,
        times=sizes["t"],
        channels=in_colour() if coloured else _channels(metadata.channels, sizes["c"]),
        depth=sizes["z"],
        height_px=sizes["y"],
        width_px=sizes["x"],
        dtype=np.dtype(image.dtype).name,
        samples=3 if coloured else 1,
        well=promised.wells.get(number, ""),
        pixel_size_um=size_um,
        oblong_um=(sides[0], sides[1]) if not_square(sides[0], sides[1]) else None,
        position_um=position,
        problem=colour_problem(sizes["c"], sizes["z"]) if coloured else "",
    )


def _um(size: Any) -> float | None:
    return size.value * _UNITS[size.unit] if size is not None and size.unit in _UNITS else None


def _channels(described: Sequence[Any], count: int) -> tuple[Channel, ...]:
    names = channel_names(count, [one.name or "" for one in described])
    if len(described) != count:
        return tuple(Channel(name, index) for index, name in enumerate(names))
    return tuple(
        Channel(
            name,
            index,
            excitation_nm=None if one.excitation_wavelength is None else one.excitation_wavelength.value,
            emission_nm=None if one.emission_wavelength is None else one.emission_wavelength.value,
            color=(one.color or "").lstrip("#")[:6].upper(),
        )
        for index, (name, one) in enumerate(zip(names, described, strict=True))
    )


def _xml(file: BinaryIO) -> str:
    """Returns the text of the metadata segment; empty if there is none.

    Raises:
        UnreadableImage: the segment is not where the header says.
    """
    file.seek(_METADATA_POSITION_AT)
    found = file.read(8)
    position = struct.unpack("<q", found)[0] if len(found) == 8 else -1
    if not position:
        return ""
    size = file.seek(0, 2)
    if not 0 < position < size:
        raise UnreadableImage(f"truncated: its metadata should lie at byte {position:,} of {size:,}")
    file.seek(position)
    head = file.read(32 + 256)
    length = struct.unpack_from("<i", head, 32)[0] if len(head) == 32 + 256 else -1
    if not head.startswith(b"ZISRAWMETADATA") or not 0 <= length <= _MOST_XML_BYTES:
        raise UnreadableImage(f"damaged: no metadata at byte {position:,}")
    content = file.read(length)
    if len(content) < length:
        raise UnreadableImage(f"truncated: its metadata should have {length:,} bytes, not {len(content):,}")
    return content.decode(errors="replace")


def _promised(xml: str) -> _Promised:
    """Returns what the metadata promise; XML that declares document types or entities is refused."""
    found = _Promised()
    if not xml:
        return found
    for one in text_elements(xml, {"Scene", "SizeS", "SizeT", "SizeC", "SizeZ"}):
        if one.tag != "Scene":
            if one.parent == "Image" and one.text.isdigit():
                found.sizes[one.tag[-1]] = int(one.text)
        elif one.parent == "Scenes" and one.attributes.get("Index", "").isdigit():
            number = int(one.attributes["Index"])
            found.names[number] = one.attributes.get("Name", "")
            found.wells[number] = _well(one)
    return found


def _well(scene: Element) -> str:
    """Returns the well of a scene on a plate, by the name of its shape; empty if there is none."""
    shape = scene.child("Shape")
    return plausible_well(shape.attributes.get("Name", "")) if shape and shape.child("RowIndex") else ""
