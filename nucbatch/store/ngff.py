"""OME-Zarr attributes of plates, wells, images and labels, as plain dictionaries. Touches no disk.

Source: https://ngff.openmicroscopy.org/0.5/ and /0.4/. The versions differ in where the attributes stand and
in the version of Zarr. Where the specification leaves a choice:

- A well without images is left out of ``plate.wells``, because a well must list an image and readers open the
  first one. Its row and column stay, and wells.csv lists it.
- A pixel of a lower level represents the pixels it was made from, so each level is translated by the distance
  of the pixel centres.
- Without a known pixel size, scales count pixels and have no unit, and no position is given.
- A field's position is the translation to its upper left corner, in the frame of the stage positions of its
  well, y down.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from nucbatch.core.errors import InputError
from nucbatch.core.plate import Channel, Field
from nucbatch.core.plate_geometry import plate_size, row_index, row_letters
from nucbatch.store.display import colours

Version = Literal["0.5", "0.4"]
VERSIONS: tuple[Version, ...] = get_args(Version)
LABELS_NAME = "nuclei"
LABELS_FOLDER = f"labels/{LABELS_NAME}/"
"""Path of the labels below their image."""

Attributes = dict[str, Any]


def group_files(attributes: Attributes, version: Version) -> dict[str, bytes]:
    """Returns the files (UTF-8) that make a folder a group with these attributes, by name.

    >>> list(group_files({}, "0.5")), list(group_files({}, "0.4"))
    (['zarr.json'], ['.zgroup', '.zattrs'])
    """
    if version == "0.4":
        return {".zgroup": _json({"zarr_format": 2}), ".zattrs": _json(attributes)}
    return {"zarr.json": _json({"attributes": attributes, "zarr_format": 3, "node_type": "group"})}


def zarr_format(version: Version) -> Literal[2, 3]:
    """Returns the version of Zarr that a version of OME-Zarr uses."""
    return 2 if version == "0.4" else 3


def acquisition_ids(names: Iterable[str]) -> dict[str, int]:
    """Numbers acquisitions by name: the names themselves where all are numbers, else from 0 in their order.

    Images without an acquisition have the empty name and no number.

    >>> acquisition_ids(["first", "", "second", "first"]), acquisition_ids(["2", "1"])
    ({'first': 0, 'second': 1}, {'2': 2, '1': 1})
    """
    known = list(dict.fromkeys(filter(None, names)))
    numbers = [int(name) for name in known if name.isdecimal()]
    if len(set(numbers)) == len(known):
        return dict(zip(known, numbers, strict=True))
    return {name: number for number, name in enumerate(known)}


def plate_attributes(
    name: str,
    images: Mapping[tuple[str, int], Mapping[str, int | None]],
    *,
    size: tuple[int, int] = (0, 0),
    acquisitions: Mapping[str, int] | None = None,
    version: Version = "0.5",
) -> Attributes:
    """Builds the attributes of a plate's group.

    Args:
        name: name of the plate.
        images: images of each well (row letters, column), their acquisitions by path; at least one well has
            an image.
        size: (rows, columns) of the plate as the vendor recorded them; 0 if unknown.
        acquisitions: number of each acquisition by name.
        version: of OME-Zarr.
    """
    # NGFF wants the size of the physical plate, whichever wells were used.
    places = [(row_index(row), column) for row, column in images]
    least = max(row for row, _ in places) + 1, max(column for _, column in places)
    recorded = all(side >= used for side, used in zip(size, least, strict=True))
    rows, columns = size if recorded else plate_size(places)
    most = Counter[int]()
    for listed in images.values():
        most |= Counter(number for number in listed.values() if number is not None)
    numbered = [
        {"id": number, "maximumfieldcount": most[number], "name": title}
        for title, number in (acquisitions or {}).items()
        if most[number]
    ]
    return _ome(
        {
            "plate": ({"acquisitions": numbered} if numbered else {})
            | {
                "columns": [{"name": str(column)} for column in range(1, columns + 1)],
                "field_count": max(len(paths) for paths in images.values()),
                "name": name,
                "rows": [{"name": row_letters(index)} for index in range(rows)],
                # The specification wants the version here, its schema in the namespace: both have it.
                "version": version,
                "wells": [
                    {"path": f"{row}/{column}", "rowIndex": row_index(row), "columnIndex": column - 1}
                    for (row, column), paths in images.items()
                    if paths
                ],
            }
        },
        version,
    )


def well_attributes(images: Mapping[str, int | None], version: Version = "0.5") -> Attributes:
    """Builds the attributes of a well's group from its images, at least one: their acquisitions by path."""
    listed = [
        {"path": path} if number is None else {"acquisition": number, "path": path}
        for path, number in images.items()
    ]
    return _ome({"well": {"images": listed, "version": version}}, version)


def collection_attributes(version: Version = "0.5") -> Attributes:
    """Builds the attributes of a collection's root, whose images are listed in ``OME/``."""
    return _ome({"bioformats2raw.layout": 3}, version)


def series_attributes(images: Sequence[str], version: Version = "0.5") -> Attributes:
    """Builds the attributes of a collection's ``OME`` group from the paths of its images."""
    return _ome({"series": list(images)}, version)


@dataclass(frozen=True, slots=True)
class Space:
    """Coordinates of an image.

    Attributes:
        levels: number of pyramid levels.
        pixel_size_um: size of a pixel; None if unknown.
        corner_um: (y, x) of the image's upper left corner; None if unknown.
    """

    levels: int
    pixel_size_um: float | None = None
    corner_um: tuple[float, float] | None = None

    @classmethod
    def of(cls, field: Field, levels: int) -> Space:
        """Returns the coordinates of a field's image."""
        size, centre = field.pixel_size_um, field.position_um
        if size is None or centre is None:
            return cls(levels, size)
        corner = centre[0] - field.height_px * size / 2, centre[1] - field.width_px * size / 2
        return cls(levels, size, corner)


def image_attributes(
    name: str,
    channels: Sequence[Channel],
    space: Space,
    *,
    windows: Sequence[tuple[float, float]],
    limits: Sequence[tuple[float, float]],
    axes: str = "cyx",
    version: Version = "0.5",
) -> Attributes:
    """Builds the attributes of an image's group.

    Args:
        name: name of the image.
        channels: its channels.
        space: its coordinates.
        windows: (start, end) grey levels to display per channel, from :mod:`nucbatch.store.display`.
        limits: (min, max) range of these windows per channel, from there too.
        axes: names of the axes, single letters.
        version: of OME-Zarr.
    """
    guessed = colours([channel.name for channel in channels])
    omero = {
        "channels": [
            {
                "active": True,
                "coefficient": 1.0,
                "color": channel.color.upper() or colour,
                "family": "linear",
                "inverted": False,
                "label": channel.name,
                "window": dict(zip(("min", "max", "start", "end"), (*reach, *shown), strict=True)),
            }
            for channel, colour, shown, reach in zip(channels, guessed, windows, limits, strict=True)
        ],
        "name": name,
        "rdefs": {"model": "greyscale" if len(channels) == 1 else "color"},
    }
    described = _multiscales(name, axes, space, "mean", "mean of 2 x 2 pixels, halves rounded up", version)
    return _ome({"multiscales": described, "omero": omero}, version)


def labels_attributes(version: Version = "0.5") -> Attributes:
    """Builds the attributes of an image's ``labels`` group."""
    return _ome({"labels": [LABELS_NAME]}, version)


def nuclei_attributes(space: Space, version: Version = "0.5") -> Attributes:
    """Builds the attributes of the label image ``labels/nuclei``; it has as many levels as its image."""
    described = _multiscales(LABELS_NAME, "yx", space, "nearest", "first of 2 x 2 pixels", version)
    label = {"source": {"image": "../../"}, "version": version}
    return _ome({"image-label": label, "multiscales": described}, version)


def image_of_labels_attributes(name: str, space: Space, version: Version = "0.5") -> Attributes:
    """Builds the attributes of an image that is its labels alone: both have the same arrays."""
    described = _multiscales(name, "yx", space, "nearest", "first of 2 x 2 pixels", version, LABELS_FOLDER)
    return _ome({"multiscales": described}, version)


def image_place(group: str) -> tuple[str, int, str]:
    """Splits the path of an image inside a plate: ``"B/3/1"`` → ``("B", 3, "1")``.

    Raises:
        InputError: the path is not row/column/image of letters and digits.
    """
    parts = group.split("/")
    if (
        len(parts) != 3
        or not all(part.isascii() and part.isalnum() for part in parts)
        or not parts[1].isdigit()
    ):
        raise InputError(
            f"{group!r} can't be an image in a plate: it must be row/column/image of letters and digits, "
            "as in B/3/1."
        )
    return parts[0], int(parts[1]), parts[2]


_AXIS_TYPES = {"t": "time", "c": "channel"}


def _multiscales(
    name: str, axes: str, space: Space, method: str, description: str, version: Version, below: str = ""
) -> list[Attributes]:
    """Builds the list of levels; ``below``: folder of their arrays below the group, ending in ``/``."""
    unit = {} if space.pixel_size_um is None else {"unit": "micrometer"}
    size = 1.0 if space.pixel_size_um is None else space.pixel_size_um
    corner = dict(zip("yx", space.corner_um or (0.0, 0.0), strict=True))
    datasets = []
    for level in range(space.levels):
        step = 2**level
        scale = [size * step if axis in "yx" else 1.0 for axis in axes]
        shift = [corner[axis] + size * (step - 1) / 2 if axis in "yx" else 0.0 for axis in axes]
        transforms = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}]
        datasets.append({"path": f"{below}{level}", "coordinateTransformations": transforms})
    described = {
        "axes": [
            {"name": axis, "type": _AXIS_TYPES.get(axis, "space")} | (unit if axis in "yx" else {})
            for axis in axes
        ],
        "datasets": datasets,
        "metadata": {"description": description, "method": "nucbatch.store.pyramid"},
        "name": name,
        "type": method,
    }
    return [described | ({"version": version} if version == "0.4" else {})]


def _ome(attributes: Attributes, version: Version) -> Attributes:
    return attributes if version == "0.4" else {"ome": {"version": version} | attributes}


def _json(document: Attributes) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode("utf-8")
