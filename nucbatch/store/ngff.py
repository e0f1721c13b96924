"""The words of OME-Zarr 0.5: attributes of plates, wells, images and labels, as plain dictionaries.

Source: https://ngff.openmicroscopy.org/0.5/. Nothing here touches a disk.

Three readings of the text are decided here. A well without any image is left out of ``plate.wells``: a well
must list an image, and readers open the first of every listed well; its row and column stay, and wells.csv
has it. A pixel of a lower level stands for the pixels it was made of, so levels are shifted by the distance
of the centres. Scales without a known pixel size count pixels and carry no unit.
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
    """The ``zarr.json`` of a Zarr 3 group with these attributes, UTF-8."""
    document = {"attributes": attributes, "zarr_format": 3, "node_type": "group"}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode("utf-8")


def plate_attributes(name: str, images: dict[tuple[str, int], list[str]]) -> Attributes:
    """Attributes of a plate's group, by the images' paths of each well; at least one well has an image."""
    # NGFF wants the size of the physical plate, whichever wells were used.
    rows, columns = plate_size((row_index(row), column) for row, column in images)
    return _ome(
        {
            "plate": {
                "columns": [{"name": str(column)} for column in range(1, columns + 1)],
                "field_count": max(len(paths) for paths in images.values()),
                "name": name,
                "rows": [{"name": row_letters(index)} for index in range(rows)],
                # The text asks for the version here, the schema in the namespace; both are satisfied.
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
    """Attributes of a well's group: its images' paths, at least one."""
    return _ome({"well": {"images": [{"path": path} for path in images], "version": VERSION}})


def collection_attributes() -> Attributes:
    """Attributes of the root of a collection of images: the layout that lists its series in ``OME/``."""
    return _ome({"bioformats2raw.layout": 3})


def series_attributes(images: Sequence[str]) -> Attributes:
    """Attributes of a collection's ``OME`` group: the paths of its images, in order."""
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
    """Attributes of an image's group, without its pixels: what is said of them is given per channel.

    Args:
        levels: of the image's pyramid.
        windows: (start, end) grey levels to show, as :mod:`nucbatch.store.display` finds them.
        limits: (min, max) grey levels that a window may reach, from there too.
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
    """Attributes of an image's ``labels`` group."""
    return _ome({"labels": [LABELS_NAME]})


def nuclei_attributes(levels: int, pixel_size_um: float | None) -> Attributes:
    """Attributes of the label image ``labels/nuclei``; its levels are those of its image."""
    described = _multiscales(LABELS_NAME, "yx", levels, pixel_size_um, "nearest", "first of 2 x 2 pixels")
    return _ome(
        {"image-label": {"source": {"image": "../../"}, "version": VERSION}, "multiscales": described}
    )


def image_place(group: str) -> tuple[str, int, str]:
    """Row, column and image of a group inside a plate: ``"B/3/1"`` → ``("B", 3, "1")``.

    Raises:
        InputError: the group has other than these three parts, or other characters than letters and digits.
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
