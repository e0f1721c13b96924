"""Nikon's ND2 files, read with the package ``nd2``.

That package gives a picture of zeros for a frame that is not there, so the file's map of chunks is checked
first: each frame that the metadata promise must be in the map, begin with its own name, and lie inside the
file. Frames are memory-mapped, so that a box of an uncompressed one is read without the rest of it.

A position on the stage is turned into the image's axes by the matrix that the file records: it maps the
camera's axes, x right and y down from the centre, to those of the stage. Positions in files without a matrix
are not used.

Sources: the package ``nd2`` (structure of chunks and of their map; order of colours), Nikon's Nd2ReadSdk.h
(matrices).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.pixel_size import not_square, square_um
from nucbatch.core.plate import Channel
from nucbatch.core.tiles import Box
from nucbatch.readers.formats.container import Container, OpenPlanes, numbered
from nucbatch.readers.formats.container_colour import colour_problem, in_colour
from nucbatch.readers.formats.contract import Series
from nucbatch.readers.formats.hardened_xml import MOST_XML
from nucbatch.readers.formats.stack import channel_names, wrong_plane_count
from nucbatch.readers.formats.well_names import wells_in_names

_START = b"\xda\xce\xbe\x0a"
_MAP_END = b"ND2 CHUNK MAP SIGNATURE 0000001!"
_MAP_NAME = b"ND2 FILEMAP SIGNATURE NAME 0001!"
_CHUNK = struct.Struct("<IIQ")  # magic, length of the name, length of the data
_MAGIC = 0x0ABECEDA
_FRAME = b"ImageDataSeq|%d!"
_LOOPS = {"TimeLoop": "t", "NETimeLoop": "t", "XYPosLoop": "p", "ZStackLoop": "z"}
_LARGEST_MAP_BYTES = 1 << 30
_METADATA = (b"ImageAttributes", b"ImageMetadata", b"ImageTextInfo")
_MATRIX = "dStgLgCT11"
_LEAST_DETERMINANT = 0.5
"""Of a matrix that turns and mirrors, whose determinant is 1 or -1."""


class Nd2(Container):
    """ND2 files of NIS-Elements 3 and later."""

    name = "nd2"
    title = "Nikon's ND2 files"
    suffixes = (".nd2",)
    containers = (".nd2",)
    module = "nd2"
    extra = "nd2"

    def recognises(self, start: bytes) -> bool:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        return start.startswith(_START)

    def list_series(self, library: ModuleType, path: Path) -> list[Series]:
        """Returns one image for each position of the stage."""
        with path.open("rb") as file:
            chunks = _chunks(file)
            frames = _frames(chunks)
            _require_plain_xml(file, chunks)
        with library.ND2File(path) as opened:
            attributes = opened.attributes
            loops = _loops(opened)
            promised, listed = math.prod(count for _, count in loops), int(attributes.sequenceCount)
            if not promised == listed == len(frames):
                wrong = listed if promised == listed else promised
                raise wrong_plane_count(wrong, len(frames) if len(frames) != wrong else listed)
            _require_whole(path, frames, _frame_bytes(attributes))
            counts = dict(loops)
            points = _points(opened, counts.get("p", 1))
            sides, coloured = _sides_um(opened), bool(opened.is_rgb)
            base = Series(
                name="",
                first_page=0,
                times=counts.get("t", 1),
                channels=in_colour() if coloured else _channels(opened),
                depth=counts.get("z", 1),
                height_px=int(attributes.heightPx),
                width_px=int(attributes.widthPx or 0),
                dtype=np.dtype(opened.dtype).name,
                samples=3 if coloured else 1,
                pixel_size_um=square_um(*sides),
                oblong_um=sides if not_square(*sides) else None,
                problem=_problem(opened, counts.get("z", 1)),
            )
        wells = wells_in_names([point.name for point in points]) or [""] * len(points)
        return numbered(
            [
                replace(
                    base,
                    name=point.name,
                    well=well,
                    position_um=point.center_um,
                    stage_um=point.stage_um,
                )
                for point, well in zip(points, wells, strict=True)
            ]
        )

    def open_planes(self, library: ModuleType, path: Path) -> OpenPlanes:
        """Opens the file for reading frames."""
        return _Frames(library.ND2File(path))


class _Frames(OpenPlanes):
    def __init__(self, opened: Any) -> None:
        self._file = opened
        self._loops = _loops(opened)
        attributes = opened.attributes
        self._components = int(attributes.componentCount)
        self._bytes = _frame_bytes(attributes) if attributes.compressionType == "lossless" else 0
        size = int(attributes.heightPx), int(attributes.widthPx or 0)
        self._coloured = bool(opened.is_rgb)
        self._shape = (*size, self._components) if self._coloured else (self._components, *size)
        self._last: tuple[int, NDArray[Any]] | None = None

    def read(self, series: int, t: int, c: int, z: int, box: Box) -> NDArray[Any]:
        place = {"p": series, "t": t, "z": z}
        frame = 0
        for letter, count in self._loops:
            frame = frame * count + place[letter]
        if self._last is None or self._last[0] != frame:
            self._last = frame, self._file.read_frame(frame).reshape(self._shape)
        pixels = self._last[1] if self._coloured else self._last[1][c]
        return np.array(pixels[box.slices])

    def piece_bytes(self, series: int) -> int:
        return self._bytes or int(self._file.dtype.itemsize) * self._components

    def rest(self) -> None:
        self._last = None

    def close(self) -> None:
        self._last = None
        self._file.close()


def _chunks(file: BinaryIO) -> dict[bytes, int]:
    """Returns the offset of each chunk in the map at the end of the file.

    Raises:
        UnreadableImage: there is no such map, as in a truncated file.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - 40))
    end = file.read(40)
    if len(end) < 40 or not end.startswith(_MAP_END):
        raise UnreadableImage(f"truncated: its map of frames should end at byte {size:,}, and is not there")
    at = struct.unpack_from("<Q", end, 32)[0]
    length = _data_bytes(file, at, _MAP_NAME, size)
    if length > _LARGEST_MAP_BYTES:
        raise UnreadableImage(f"damaged: a map of {length:,} bytes")
    content = file.read(length)
    chunks: dict[bytes, int] = {}
    position = 0
    while (stop := content.find(b"!", position)) >= 0:
        name = content[position : stop + 1]
        if name == _MAP_END or len(content) < stop + 17:
            break
        chunks[name] = struct.unpack_from("<Q", content, stop + 1)[0]
        position = stop + 17
    return chunks


def _frames(chunks: Mapping[bytes, int]) -> dict[int, int]:
    """Returns the offset of each frame."""
    return {
        int(name[13:-1]): at
        for name, at in chunks.items()
        if name.startswith(b"ImageDataSeq|") and name[13:-1].isdigit()
    }


def _require_plain_xml(file: BinaryIO, chunks: Mapping[bytes, int]) -> None:
    """Checks that metadata in XML, which the library parses, declare neither document types nor entities."""
    size = file.seek(0, 2)
    for name, at in chunks.items():
        if not name.startswith(_METADATA):
            continue
        length = _data_bytes(file, at, name, size)
        content = file.read(min(length, MOST_XML)).replace(b"\0", b"")
        if content.lstrip()[:1] == b"<" and (b"<!DOCTYPE" in content or b"<!ENTITY" in content):
            raise UnreadableImage(
                "its XML declares a document type or entities, and no microscope writes any: save it again "
                "without"
            )


def _data_bytes(file: BinaryIO, at: int, name: bytes, size: int) -> int:
    """Returns the length of a chunk's data and goes to them; the chunk must have the name and lie inside."""
    file.seek(min(at, size))
    head = file.read(_CHUNK.size)
    if len(head) == _CHUNK.size:
        magic, name_length, length = _CHUNK.unpack(head)
        found = file.read(min(name_length, 1 << 16))
        if magic == _MAGIC and found.startswith(name):
            end = at + _CHUNK.size + name_length + length
            if end > size:
                raise UnreadableImage(f"truncated: {size:,} bytes of at least {end:,}")
            return int(length)
    shown = name.decode("ascii").rstrip("!")
    raise UnreadableImage(f"damaged: {shown} should lie at byte {at:,} of {size:,}, and is not there")


def _require_whole(path: Path, frames: dict[int, int], raw_bytes: int) -> None:
    """Checks that each frame is there, from its name to its last byte."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        for number in range(len(frames)):
            if number not in frames:
                raise UnreadableImage(f"damaged: frame {number} of {len(frames)} is not listed")
            length = _data_bytes(file, frames[number], _FRAME % number, size)
            if raw_bytes and length < 8 + raw_bytes:
                raise UnreadableImage(f"truncated: frame {number} has {length:,} bytes of {8 + raw_bytes:,}")


def _frame_bytes(attributes: Any) -> int:
    """Returns the size of a frame's pixels as stored; 0 if they are compressed."""
    if attributes.compressionType in ("lossless", "lossy"):
        return 0
    row = attributes.widthBytes or (
        (attributes.widthPx or 0) * attributes.componentCount * attributes.bitsPerComponentInMemory // 8
    )
    return int(row * attributes.heightPx)


def _loops(opened: Any) -> list[tuple[str, int]]:
    """Returns (t, p or z, number of steps) of each loop, the slowest first."""
    found = [(_LOOPS.get(loop.type, ""), int(loop.count)) for loop in opened.experiment]
    letters = [letter for letter, _ in found]
    if "" in letters or len(set(letters)) < len(letters):
        kinds = ", ".join(loop.type for loop in opened.experiment)
        raise UnreadableImage(
            f"its loops ({kinds}) are not time, position and z alone: export it as OME-TIFF"
        )
    return found


@dataclass(frozen=True, slots=True)
class _Point:
    """Position of the stage.

    Attributes:
        name: empty if it has none.
        center_um: (y, x) of the field's centre along the image's axes; None if unknown.
        stage_um: (y, x) along the stage's axes, if it is not known how they lie in the image.
    """

    name: str = ""
    center_um: tuple[float, float] | None = None
    stage_um: tuple[float, float] | None = None


def _points(opened: Any, count: int) -> list[_Point]:
    """Returns the positions in the order of the file."""
    for loop in opened.experiment:
        if loop.type == "XYPosLoop" and len(loop.parameters.points) == count:
            to_image = _stage_to_image(opened)
            return [_point(one, to_image) for one in loop.parameters.points]
    return [_Point()] * count


def _point(one: Any, to_image: NDArray[np.float64] | None) -> _Point:
    on_stage = np.array(one.stagePositionUm[:2], np.float64)
    x, y = (on_stage if to_image is None else to_image @ on_stage).tolist()
    return _Point(one.name or "", **{"stage_um" if to_image is None else "center_um": (y, x)})


def _stage_to_image(opened: Any) -> NDArray[np.float64] | None:
    """Returns the matrix (2, 2) from the stage's axes (x, y) to the image's; None if the file records none.

    The device's matrix is taken if there is one: it includes the directions in which the stage counts.
    """
    for one in getattr(opened.metadata, "channels", None) or ():
        volume = one.volume
        recorded = _records_matrix(opened)
        device = volume.pixelToStageTransformationMatrix
        if device is not None and recorded:
            across, down = volume.axesCalibration[:2]
            found = np.array([device[0:2], device[3:5]], np.float64) / (across, down)
            if abs(np.linalg.det(found)) > _LEAST_DETERMINANT:
                return np.asarray(np.linalg.inv(found))
        found = np.array(volume.cameraTransformationMatrix, np.float64).reshape(2, 2)
        # The library gives the unit matrix where the file has none; a turned camera, the usual one, has -1.
        if (found == np.eye(2)).all() and not recorded:
            return None
        return np.asarray(np.linalg.inv(found)) if abs(np.linalg.det(found)) > _LEAST_DETERMINANT else None
    return None


def _records_matrix(opened: Any) -> bool:
    """Returns whether the file itself holds the matrix of its camera."""
    recorded = opened.unstructured_metadata(include={"ImageMetadataSeqLV|0"}, strip_prefix=False)
    return any(_MATRIX in str(one) for one in recorded.values())


def _channels(opened: Any) -> tuple[Channel, ...]:
    described = list(getattr(opened.metadata, "channels", None) or ())
    count = int(opened.attributes.componentCount)
    names = channel_names(count, [one.channel.name or "" for one in described])
    if len(described) != count:
        return tuple(Channel(name, index) for index, name in enumerate(names))
    return tuple(
        Channel(
            name,
            index,
            excitation_nm=one.channel.excitationLambdaNm or None,
            emission_nm=one.channel.emissionLambdaNm or None,
            color=_hex(one.channel.color),
        )
        for index, (name, one) in enumerate(zip(names, described, strict=True))
    )


def _hex(color: Sequence[float] | None) -> str:
    return "".join(f"{int(part):02X}" for part in color[:3]) if color else ""


def _sides_um(opened: Any) -> tuple[float | None, float | None]:
    for one in getattr(opened.metadata, "channels", None) or ():
        volume = one.volume
        sides = [
            float(size) if known and size > 0 else None
            for size, known in zip(volume.axesCalibration, volume.axesCalibrated, strict=False)
        ]
        return sides[0], sides[1]
    return None, None


def _problem(opened: Any, depth: int) -> str:
    attributes = opened.attributes
    if attributes.compressionType == "lossy":
        return "ND2 files with lossy compression are not read: export it as TIFF"
    if not opened.is_rgb:
        return ""
    if opened.components_per_channel != 3:
        return f"{opened.components_per_channel} values a pixel, where colours have 3: export it as TIFF"
    return colour_problem(int(attributes.channelCount or 1), depth)
