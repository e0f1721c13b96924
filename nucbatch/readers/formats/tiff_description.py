"""Parses a TIFF's description for the pixel size and the stage position, and for MetaSeries' stain.

Trusted sources of the pixel size are OME-XML (``PhysicalSizeX``), ImageJ (``unit`` with XResolution),
MetaXpress' MetaSeries XML (``spatial-calibration-x``) and Aperio's ``MPP``. A bare XResolution is usually a
print resolution. It is used only if it gives pixels finer than 5 µm (more than 5,000 dots per inch), as
written by slide scanners. Harmony (Operetta, Opera Phenix) writes the camera's pixel into it, which is never
used.

XML is parsed by :mod:`nucbatch.readers.formats.hardened_xml` only; tifffile reads pages and tags, for which
it parses no XML.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.pixel_size import square_um
from nucbatch.readers.formats.hardened_xml import xml_elements
from nucbatch.readers.formats.xml_stream import ForbiddenXml, text_elements

_UM_PER = {
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
}

_NO_UNIT = "reference frame"  # of OME

HARMONY_TAG = 65500
"""TIFF tag of the XML that Harmony writes into each image."""
_FINEST_PRINTED_UM = 5.0
_UM_PER_RESOLUTION_UNIT = {2: 25_400.0, 3: 10_000.0}  # TIFF 6.0: inch, centimetre


Ratio = tuple[int, int]
"""TIFF's rational number: numerator, denominator."""


def pixel_size_um(
    description: str, resolutions: Sequence[Ratio | None] = (), resolution_unit: int | None = None
) -> float | None:
    """Returns micrometres per pixel; None if the file does not record them, or pixels are not square."""
    return square_um(*pixel_sides_um(description, resolutions, resolution_unit))


def pixel_sides_um(
    description: str, resolutions: Sequence[Ratio | None] = (), resolution_unit: int | None = None
) -> tuple[float | None, float | None]:
    """Returns width and height of a pixel in micrometres; None where the file does not record them.

    Args:
        description: ImageDescription of the first page.
        resolutions: TIFF's XResolution and YResolution, in pixels per ImageJ's unit or per
            ``resolution_unit``.
        resolution_unit: TIFF's ResolutionUnit: 2 inch, 3 centimetre.
    """
    across, down = (*resolutions, None, None)[:2]
    if description.startswith("ImageJ="):
        return _imagej(description, across), _imagej(description, down)
    if "spatial-calibration-x" in description:
        properties = metaseries(description)
        if properties.get("spatial-calibration-state", "off").lower() not in ("on", "true", "1"):
            return None, None
        unit = properties.get("spatial-calibration-units", "")
        width, height = (in_um(properties.get(f"spatial-calibration-{axis}", ""), unit) for axis in "xy")
        return width, height
    if "PhysicalSizeX" in description:
        for values in _first_pixels(description):
            if "PhysicalSizeX" in values:
                return physical_sides_um(values)
    if is_aperio(description):
        match = re.search(r"\|\s*MPP\s*=\s*([0-9.]+)", description)
        return (in_um(match[1], "um") if match else None), None
    return _printed(across, resolution_unit), _printed(down, resolution_unit)


def physical_sides_um(pixels: Mapping[str, str]) -> tuple[float | None, float | None]:
    """Returns width and height of a pixel in the attributes of OME's ``Pixels``; None where unknown."""
    unit = pixels.get("PhysicalSizeXUnit", "um")
    height = in_um(pixels.get("PhysicalSizeY", ""), pixels.get("PhysicalSizeYUnit", unit))
    return in_um(pixels.get("PhysicalSizeX", ""), unit), height


def resolution_of(page: Any) -> tuple[tuple[Ratio | None, ...], int | None]:
    """Returns the resolutions across and down of a TIFF's page, and their unit.

    Empty and None if they describe the camera's pixel.
    """
    if HARMONY_TAG in page.tags:
        return (), None
    resolutions = tuple(page.tags.valueof(f"{axis}Resolution") for axis in "XY")
    return resolutions, page.tags.valueof("ResolutionUnit", 2)


def _first_pixels(description: str) -> Iterator[dict[str, str]]:
    """Yields the attributes of each ``Pixels`` of OME-XML; what follows the last one used is not parsed.

    The metadata of a set may describe thousands of images, and stand in each of its files.
    """
    try:
        for element in text_elements(description, (), heads={"Pixels"}):
            yield element.attributes
    except ForbiddenXml:
        raise
    except UnreadableImage:
        return  # malformed metadata are treated as absent: no pixel depends on them


def is_aperio(description: str) -> bool:
    """Returns whether a TIFF's first description is that of an Aperio slide (SVS)."""
    return description.startswith("Aperio ")


def metaseries(description: str) -> dict[str, str]:
    """Returns the properties of MetaXpress' ``<MetaData><PlaneInfo>``; empty for other texts."""
    if not description.lstrip().startswith("<MetaData"):
        return {}
    return {
        values["id"]: values.get("value", "") for _, values in xml_elements(description) if "id" in values
    }


def stage_position_um(properties: Mapping[str, str]) -> tuple[float, float] | None:
    """Returns MetaXpress' stage position (y, x) of the image's centre; None if it is not recorded.

    Both run as rows and columns of the image do: sites further down the plate have a larger y.

    Args:
        properties: those of :func:`metaseries`.
    """
    try:
        y, x = (float(properties[f"stage-position-{axis}"]) for axis in "yx")
    except (KeyError, ValueError):
        return None
    return (y, x) if math.isfinite(y) and math.isfinite(x) else None


def _printed(resolution: Ratio | None, resolution_unit: int | None) -> float | None:
    per_unit = _UM_PER_RESOLUTION_UNIT.get(resolution_unit or 0)
    if per_unit is None or resolution is None or resolution[0] <= 0 or resolution[1] <= 0:
        return None
    size = per_unit * resolution[1] / resolution[0]
    return size if size < _FINEST_PRINTED_UM else None


def _imagej(description: str, resolution: Ratio | None) -> float | None:
    match = re.search(r"^unit=(.*)$", description, re.MULTILINE)
    if match is None or resolution is None or resolution[0] <= 0:
        return None
    unit = match[1].strip().replace("\\u00B5", "µ")
    return in_um(str(resolution[1] / resolution[0]), unit)


def in_um(size: str, unit: str) -> float | None:
    """Returns a length above 0 in micrometres; None for other numbers and unknown units."""
    value = position_in_um(size, unit)
    return value if value is not None and value > 0 else None


def position_in_um(place: str, unit: str) -> float | None:
    """Returns a place along an axis in micrometres, of either sign; None for other texts and units."""
    try:
        value = float(place) * _UM_PER[unit.strip().lower()]
    except (ValueError, KeyError):
        return None  # an unknown unit means an unknown place
    return value if math.isfinite(value) else None


def plane_on_stage(plane: Mapping[str, str]) -> tuple[float, float] | None:
    """Returns (y, x) in the attributes of OME's ``Plane``, in micrometres as the stage counts.

    Positions without a unit are taken for micrometres, which most programs mean. None if they are not
    recorded, or in a unit that is none of length.
    """
    unit = plane.get("PositionXUnit", _NO_UNIT)
    units = {"X": unit, "Y": plane.get("PositionYUnit", unit)}
    y, x = (
        position_in_um(plane.get(f"Position{axis}", ""), "um" if units[axis] == _NO_UNIT else units[axis])
        for axis in "YX"
    )
    return None if y is None or x is None else (y, x)


def ome_on_stage(description: str) -> tuple[float, float] | None:
    """Returns where the first plane lies, as :func:`plane_on_stage`; None if OME-XML has several images."""
    if "PositionX" not in description:
        return None
    images, found = 0, None
    try:
        for element in text_elements(description, (), heads={"Image", "Plane"}):
            images += element.tag == "Image"
            if images > 1:
                return None
            found = found or plane_on_stage(element.attributes)
    except ForbiddenXml:
        raise
    except UnreadableImage:
        return None  # as in _first_pixels
    return found
