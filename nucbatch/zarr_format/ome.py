"""Reads OME-Zarr metadata: images, axes, channels, levels, pixel sizes and positions, without pixels.

Versions 0.4 (Zarr 2) and 0.5 (Zarr 3) are supported, and older ones where they are written alike. The axes y
and x come last. Three channels named red, green and blue are one RGB image. Names in metadata may not lead
out of their group, neither by ``..`` nor by a link. Error messages are bare reasons without the path.

The packages that model these metadata (ome-zarr-models, ngff-zarr) accept a valid document or none. Files of
older writers deviate in details that do not matter here, so they are read here; the tests use those packages
to judge what nucbatch writes.

Source: https://ngff.openmicroscopy.org/.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.pixel_size import not_square
from nucbatch.core.plate import Channel
from nucbatch.core.plate_geometry import parse_row, row_letters
from nucbatch.object_store import ObjectPath
from nucbatch.zarr_format import ArrayForm, array_form, damage, read_json_if_there
from nucbatch.zarr_format.placement import datasets

GROUP_MARKERS = frozenset({"zarr.json", ".zgroup", ".zattrs"})

_OLD_AXES = "tczyx"  # versions before 0.3 do not name their axes
_RGB_NAMES = (("red", "green", "blue"), ("r", "g", "b"))
_COLOR = re.compile("[0-9A-F]{6}")


@dataclass(frozen=True, slots=True)
class StoredLevel:
    """Resolution level of an image.

    Attributes:
        path: of its array, below the group.
        height_px: height of the level.
        width_px: width of the level.
        pixel_size_um: None if unknown.
    """

    path: str
    height_px: int
    width_px: int
    pixel_size_um: float | None


@dataclass(frozen=True, slots=True)
class WellImage:
    """Image listed by a well.

    Attributes:
        path: below the well.
        acquisition: number of its acquisition; empty if none.
    """

    path: str
    acquisition: str = ""


@dataclass(frozen=True, slots=True)
class StoredForm:
    """Full resolution of an image group, as its metadata describe it.

    Attributes:
        array: path of the array, below the group.
        axes: single letters in stored order, ending in ``yx``.
        shape: lengths of these axes.
        dtype: NumPy name of the pixel type.
        channels: recorded names; empty if none are recorded.
        is_rgb: the three channels are one RGB picture.
        pixel_size_um: None if unknown.
        center_um: (y, x) of the image's centre, y down; None if its metadata record no translation, or one
            without a unit of length.
        described: channels with the facts that the metadata record beside their names.
        oblong_um: width and height of pixels that are not square.
        stored: metadata of the array.
    """

    array: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    channels: tuple[str, ...]
    is_rgb: bool
    pixel_size_um: float | None
    center_um: tuple[float, float] | None = None
    described: tuple[Channel, ...] = ()
    oblong_um: tuple[float | None, float | None] | None = None
    stored: ArrayForm | None = None

    def length(self, axis: str) -> int:
        """Returns the length of an axis; 1 if the image does not have it."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1


def is_group(path: Path) -> bool:
    """Returns whether a folder is a Zarr group, or a Zarr array (which has no OME-Zarr attributes)."""
    return any((path / name).is_file() for name in GROUP_MARKERS)


def attributes(group: Path) -> dict[str, Any]:
    """Reads the OME-Zarr attributes of a group; {} if it has none.

    Raises:
        UnreadableImage: they cannot be read, or are not a JSON object.
    """
    with damage():
        if (document := read_json_if_there(group / "zarr.json")) is not None:
            found = document.get("attributes", {}).get("ome", {})
        elif (document := read_json_if_there(group / ".zattrs")) is not None:
            found = document
        else:
            found = {}
        if not isinstance(found, dict):
            raise UnreadableImage(f"its OME-Zarr attributes are {type(found).__name__}, no JSON object")
        return found


def below(group: Path, name: str) -> Path:
    """Resolves a path named by metadata inside a group.

    Raises:
        UnreadableImage: the path lies outside the group, or is a link.
    """
    parts = PurePosixPath(name)
    place = group / parts
    if not parts.parts or parts.is_absolute() or ".." in parts.parts or "\0" in name:
        raise UnreadableImage(f"its metadata name {name!r}, which leads out of it")
    if isinstance(group, ObjectPath):
        return place
    root, real = os.path.realpath(group), os.path.realpath(place)
    if os.path.commonpath([real, root]) != root:
        raise UnreadableImage(f"its metadata name {name!r}, a link that leads out of it")
    if Path(real) != Path(root, parts):
        raise UnreadableImage(
            f"its metadata name {name!r}, a link to another part of it, which would count twice: remove it"
        )
    return place


def wells_of(found: dict[str, Any]) -> list[str]:
    """Lists the paths of a plate's wells, each once."""
    with damage():
        return list(dict.fromkeys(str(well["path"]) for well in found["plate"]["wells"]))


def plate_size_of(found: dict[str, Any]) -> tuple[int, int]:
    """Returns (rows, columns) of a plate; 0 for those that its metadata do not list from A or 1 without gaps.

    Source: OME-Zarr 0.5, "plate": every row and column of the physical plate must be listed.
    """
    rows = [parse_row(name) for name in _names(found["plate"], "rows")]
    columns = [name.lstrip("0") for name in _names(found["plate"], "columns")]
    in_order = rows == [row_letters(index) for index in range(len(rows))]
    counted = columns == [str(number) for number in range(1, len(columns) + 1)]
    return len(rows) if in_order else 0, len(columns) if counted else 0


def _names(plate: dict[str, Any], of: str) -> list[str]:
    listed = plate.get(of)
    entries = listed if isinstance(listed, list) else []
    return [str(one.get("name", "")) if isinstance(one, dict) else "" for one in entries]


def acquisitions_of(found: dict[str, Any]) -> dict[str, str]:
    """Lists a plate's acquisitions: name by number; unnamed ones have an empty name."""
    with damage():
        listed = found.get("plate", {}).get("acquisitions") or ()
        return {str(one["id"]): str(one.get("name") or "") for one in listed}


def images_of_well(found: dict[str, Any]) -> list[WellImage]:
    """Lists the images of a well, each once.

    Raises:
        UnreadableImage: the well has no list of images.
    """
    if "well" not in found:
        raise UnreadableImage("the plate lists it as a well, but it does not list its images")
    with damage():
        listed = [
            WellImage(
                str(image["path"]), "" if image.get("acquisition") is None else str(image["acquisition"])
            )
            for image in found["well"]["images"]
        ]
        return list({image.path: image for image in listed}.values())


def series_of(store: Path) -> list[str]:
    """Lists the image paths of a collection (bioformats2raw layout), each once; [] if it has no list."""
    if not is_group(store / "OME"):
        return []
    with damage():
        return list(dict.fromkeys(str(name) for name in attributes(store / "OME").get("series", ())))


def form_of(group: Path) -> StoredForm:
    """Reads the full resolution of an image group, its first dataset.

    Raises:
        UnreadableImage: the group is not an image, is a label image, or its metadata are damaged.
    """
    found = attributes(group)
    with damage():
        described = _multiscales(group, found)
        name, placement = next(datasets(described))
        array = array_form(below(group, name))
        shape, dtype = array.shape, array.dtype.name
        axes = _axes(described, len(shape))
        channels = _channels(found)
        length = shape[axes.index("c")] if "c" in axes else 1
        if channels and len(channels) != length:
            channels = ()
        lowered = tuple(channel.lower() for channel in channels)
        is_rgb = lowered in _RGB_NAMES and dtype in ("uint8", "uint16")
        return StoredForm(
            name,
            axes,
            shape,
            dtype,
            channels,
            is_rgb,
            placement.pixel_size_um,
            placement.center_um(shape[-2], shape[-1]),
            () if is_rgb else _described(found, channels),
            placement.sides_um if not_square(*placement.sides_um) else None,
            array,
        )


def levels_of(group: Path) -> tuple[StoredLevel, ...]:
    """Lists all resolution levels of an image group, the largest first.

    Raises:
        UnreadableImage: as :func:`form_of`.
    """
    found = attributes(group)
    with damage():
        levels = []
        for name, placement in datasets(_multiscales(group, found)):
            shape = array_form(below(group, name)).shape
            levels.append(StoredLevel(name, shape[-2], shape[-1], placement.sides_um[0]))
        return tuple(levels)


def _multiscales(group: Path, found: dict[str, Any]) -> dict[str, Any]:
    if "image-label" in found:
        raise UnreadableImage("a label image: name the image that it belongs to")
    if not found.get("multiscales"):
        raise UnreadableImage("no image: its metadata have no multiscales of OME-Zarr")
    described: dict[str, Any] = dict(found["multiscales"][0])
    require_picture(described)
    return described


def require_picture(described: dict[str, Any]) -> None:
    """Checks that an image's levels are not those of its labels, as where a run kept no copy of the images.

    Raises:
        UnreadableImage: they are.
    """
    paths = [str(dataset.get("path", "")) for dataset in described.get("datasets") or ()]
    if any(PurePosixPath(path).parts[:1] == ("labels",) for path in paths):
        raise UnreadableImage(
            "it holds labels alone, of a run with --images none: name the images that were segmented"
        )


def _axes(described: dict[str, Any], dimensions: int) -> str:
    written = described.get("axes") or _OLD_AXES[-dimensions:]
    names = [str(axis["name"]) if isinstance(axis, dict) else str(axis) for axis in written]
    known = len(set(names)) == len(names) == dimensions and set(names) <= set(_OLD_AXES)
    if not known or names[-2:] != ["y", "x"]:
        raise UnreadableImage(
            f"the axes {', '.join(names)} for {dimensions} dimensions: allowed are some of t, c, z, then y, x"
        )
    return "".join(names)


def _channels(found: dict[str, Any]) -> tuple[str, ...]:
    listed = (found.get("omero") or {}).get("channels") or ()
    names = tuple(str(channel.get("label") or "").strip() for channel in listed)
    return names if all(names) and len(set(names)) == len(names) else ()


def _described(found: dict[str, Any], names: tuple[str, ...]) -> tuple[Channel, ...]:
    """Returns the named channels with their colours, and Fractal's ``wavelength_id`` as an alias."""
    listed = (found.get("omero") or {}).get("channels") or ()
    channels = []
    for index, (name, values) in enumerate(zip(names, listed, strict=False)):
        color = str(values.get("color") or "").strip().lstrip("#").upper()
        alias = str(values.get("wavelength_id") or "").strip()
        channels.append(
            Channel(
                name,
                index,
                aliases=(alias,) if alias and alias != name else (),
                color=color if _COLOR.fullmatch(color) else "",
            )
        )
    return tuple(channels)
