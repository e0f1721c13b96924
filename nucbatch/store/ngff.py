"""OME-Zarr 0.5 attributes of plates, wells, images and labels, as plain dictionaries. Touches no disk.

Source: https://ngff.openmicroscopy.org/0.5/. Where the specification leaves a choice:

- A well without images is left out of ``plate.wells``, because a well must list an image and readers open the
  first one. Its row and column stay, and wells.csv lists it.
- A pixel of a lower level represents the pixels it was made from, so each level is translated by the distance
  of the pixel centres.
- Without a known pixel size, scales count pixels and have no unit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from nucbatch.core.errors import InputError
from nucbatch.core.plate_geometry import plate_size, row_index, row_letters
from nucbatch.store.display import colours

VERSION = "0.5"
LABELS_NAME = "nuclei"

Attributes = dict[str, Any]


def group_document(attributes: Attributes) -> bytes:
    """Returns the ``zarr.json`` of a Zarr 3 group with these attributes, UTF-8."""
    document = {"attributes": attributes, "zarr_format": 3, "node_type": "group"}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode("utf-8")


def plate_attributes(name: str, images: dict[tuple[str, int], list[str]]) -> Attributes:
    """Builds the attributes of a plate's group.

    Args:
        name: name of the plate.
        images: paths of the images of each well (row letters, column); at least one well has an image.
    """
    # NGFF wants the size of the physical plate, whichever wells were used.
    rows, columns = plate_size((row_index(row), column) for row, column in images)
    return _ome(
        {
            "plate": {
                "columns": [{"name": str(column)} for column in range(1, columns + 1)],
                "field_count": max(len(paths) for paths in images.values()),
                "name": name,
                "rows": [{"name": row_letters(index)} for index in range(rows)],
                # The specification wants the version here, its schema in the namespace: both have it.
                "version": VERSION,
                "wells": [
                    {"path": f"{row}/{column}", "rowIndex": row_index(row), "columnIndex": column - 1}
                    for (row, column), paths in images.items()
                    if paths
                ],
            }
        }
    )


def well_attributes(images: Sequence[str]) -> Attributes:
    """Builds the attributes of a well's group from the paths of its images, at least one."""
    return _ome({"well": {"images": [{"path": path} for path in images], "version": VERSION}})


def collection_attributes() -> Attributes:
    """Builds the attributes of a collection's root, whose images are listed in ``OME/``."""
    return _ome({"bioformats2raw.layout": 3})


def series_attributes(images: Sequence[str]) -> Attributes:
    """Builds the attributes of a collection's ``OME`` group from the paths of its images."""
    return _ome({"series": list(images)})


def image_attributes(
    name: str,
    channels: Sequence[str],
    levels: int,
    pixel_size_um: float | None,
    *,
    windows: Sequence[tuple[float, float]],
    limits: Sequence[tuple[float, float]],
) -> Attributes:
    """Builds the attributes of an image's group.

    Args:
        name: name of the image.
        channels: names of the channels.
        levels: number of pyramid levels.
        pixel_size_um: size of a pixel; None if unknown.
        windows: (start, end) grey levels to display per channel, from :mod:`nucbatch.store.display`.
        limits: (min, max) range of these windows per channel, from there too.
    """
    omero = {
        "channels": [
            {
                "active": True,
                "coefficient": 1.0,
                "color": colour,
                "family": "linear",
                "inverted": False,
                "label": label,
                "window": dict(zip(("min", "max", "start", "end"), (*reach, *shown), strict=True)),
            }
            for label, colour, shown, reach in zip(channels, colours(channels), windows, limits, strict=True)
        ],
        "name": name,
        "rdefs": {"model": "greyscale" if len(channels) == 1 else "color"},
    }
    described = _multiscales(
        name, "cyx", levels, pixel_size_um, "mean", "mean of 2 x 2 pixels, halves rounded up"
    )
    return _ome({"multiscales": described, "omero": omero})


def labels_attributes() -> Attributes:
    """Builds the attributes of an image's ``labels`` group."""
    return _ome({"labels": [LABELS_NAME]})


def nuclei_attributes(levels: int, pixel_size_um: float | None) -> Attributes:
    """Builds the attributes of the label image ``labels/nuclei``; it has as many levels as its image."""
    described = _multiscales(LABELS_NAME, "yx", levels, pixel_size_um, "nearest", "first of 2 x 2 pixels")
    return _ome(
        {"image-label": {"source": {"image": "../../"}, "version": VERSION}, "multiscales": described}
    )


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


def _multiscales(
    name: str, axes: str, levels: int, pixel_size_um: float | None, method: str, description: str
) -> list[Attributes]:
    space: Attributes = (
        {"type": "space"} if pixel_size_um is None else {"type": "space", "unit": "micrometer"}
    )
    size = 1.0 if pixel_size_um is None else pixel_size_um
    datasets = []
    for level in range(levels):
        step = 2**level
        scale = [size * step if axis in "yx" else 1.0 for axis in axes]
        shift = [size * (step - 1) / 2 if axis in "yx" else 0.0 for axis in axes]
        transforms = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}]
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    described = {
        "axes": [{"name": axis} | (space if axis in "yx" else {"type": "channel"}) for axis in axes],
        "datasets": datasets,
        "metadata": {"description": description, "method": "nucbatch.store.pyramid"},
        "name": name,
        "type": method,
    }
    return [described]


def _ome(attributes: Attributes) -> Attributes:
    return {"ome": {"version": VERSION} | attributes}
