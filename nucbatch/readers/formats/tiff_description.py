"""Parses a TIFF's description for the pixel size, and for MetaSeries' stain and stage position.

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
from collections.abc import Iterator, Mapping
from typing import Any

from nucbatch.core.errors import UnreadableImage
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

HARMONY_TAG = 65500
"""TIFF tag of the XML that Harmony writes into each image."""
_FINEST_PRINTED_UM = 5.0
_UM_PER_RESOLUTION_UNIT = {2: 25_400.0, 3: 10_000.0}  # TIFF 6.0: inch, centimetre


def pixel_size_um(
    description: str, x_resolution: tuple[int, int] | None = None, resolution_unit: int | None = None
) -> float | None:
    """Returns micrometres per pixel, or None if the file does not record them.

    Args:
        description: ImageDescription of the first page.
        x_resolution: TIFF's XResolution as (numerator, denominator), in pixels per ImageJ's unit or per
            ``resolution_unit``.
        resolution_unit: TIFF's ResolutionUnit: 2 inch, 3 centimetre.
    """
    if description.startswith("ImageJ="):
        return _imagej(description, x_resolution)
    if "spatial-calibration-x" in description:
        properties = metaseries(description)
        if properties.get("spatial-calibration-state", "off").lower() not in ("on", "true", "1"):
            return None
        unit = properties.get("spatial-calibration-units", "")
        size = in_um(properties.get("spatial-calibration-x", ""), unit)
        return _square(size, in_um(properties.get("spatial-calibration-y", ""), unit))
    if "PhysicalSizeX" in description:
        for values in _first_pixels(description):
            if "PhysicalSizeX" in values:
                return physical_size_um(values)
    if is_aperio(description):
        match = re.search(r"\|\s*MPP\s*=\s*([0-9.]+)", description)
        return in_um(match[1], "um") if match else None
    return _printed(x_resolution, resolution_unit)


def physical_size_um(pixels: Mapping[str, str]) -> float | None:
    """Returns the pixel size in the attributes of OME's ``Pixels``; None if unknown or not square."""
    unit = pixels.get("PhysicalSizeXUnit", "um")
    height = in_um(pixels.get("PhysicalSizeY", ""), pixels.get("PhysicalSizeYUnit", unit))
    return _square(in_um(pixels.get("PhysicalSizeX", ""), unit), height)


def _square(width_um: float | None, height_um: float | None) -> float | None:
    """Returns the width of a pixel; None if its height is recorded and differs by 1% or more."""
    if width_um and height_um and not 0.99 < height_um / width_um < 1.01:
        return None
    return width_um


def resolution_of(page: Any) -> tuple[tuple[int, int] | None, int | None]:
    """Returns XResolution and ResolutionUnit of a TIFF's page; None if they describe the camera's pixel."""
    if HARMONY_TAG in page.tags:
        return None, None
    return page.tags.valueof("XResolution"), page.tags.valueof("ResolutionUnit", 2)


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


def _printed(x_resolution: tuple[int, int] | None, resolution_unit: int | None) -> float | None:
    per_unit = _UM_PER_RESOLUTION_UNIT.get(resolution_unit or 0)
    if per_unit is None or x_resolution is None or x_resolution[0] <= 0 or x_resolution[1] <= 0:
        return None
    size = per_unit * x_resolution[1] / x_resolution[0]
    return size if size < _FINEST_PRINTED_UM else None


def _imagej(description: str, x_resolution: tuple[int, int] | None) -> float | None:
    match = re.search(r"^unit=(.*)$", description, re.MULTILINE)
    if match is None or x_resolution is None or x_resolution[0] <= 0:
        return None
    unit = match[1].strip().replace("\\u00B5", "µ")
    return in_um(str(x_resolution[1] / x_resolution[0]), unit)


def in_um(size: str, unit: str) -> float | None:
    """Returns a length above 0 in micrometres; None for other numbers and unknown units."""
    try:
        value = float(size) * _UM_PER[unit.strip().lower()]
    except (ValueError, KeyError):
        return None  # an unknown unit means an unknown size
    return value if math.isfinite(value) and value > 0 else None
