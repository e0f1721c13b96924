"""What a TIFF's description says besides pixels: micrometres per pixel, and MetaSeries' stain.

Trusted are OME-XML (``PhysicalSizeX``), ImageJ (``unit`` with XResolution) and MetaXpress' MetaSeries XML
(``spatial-calibration-x``). A bare XResolution in dots per inch is a printer's number and ignored. XML comes
from strangers, so it is parsed with defusedxml: no entities, no external references.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

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
}


def pixel_size_um(description: str, x_resolution: tuple[int, int] | None = None) -> float | None:
    """Micrometres per pixel, or None where the description does not tell.

    ``x_resolution``: TIFF's XResolution as (numerator, denominator), in pixels per ImageJ's unit.
    """
    if description.startswith("ImageJ="):
        return _imagej(description, x_resolution)
    if "spatial-calibration-x" in description:
        properties = metaseries(description)
        if properties.get("spatial-calibration-state", "off").lower() not in ("on", "true", "1"):
            return None
        size = properties.get("spatial-calibration-x", "")
        return _in_um(size, properties.get("spatial-calibration-units", ""))
    if "PhysicalSizeX" in description:
        for tag, values in _elements(description):
            if tag == "Pixels" and "PhysicalSizeX" in values:
                return _in_um(values["PhysicalSizeX"], values.get("PhysicalSizeXUnit", "um"))
    return None


def metaseries(description: str) -> dict[str, str]:
    """The properties of MetaXpress' ``<MetaData><PlaneInfo>``; empty where the text is something else."""
    if not description.lstrip().startswith("<MetaData"):
        return {}
    return {values["id"]: values.get("value", "") for _, values in _elements(description) if "id" in values}


def _elements(xml: str) -> Iterator[tuple[str, dict[str, str]]]:
    """(local tag, attributes) of each element; none at all where the XML is broken or unsafe."""
    try:
        root = fromstring(xml.strip("\0\r\n\t "))
    except (ParseError, DefusedXmlException, ValueError):
        return  # a missing pixel size is an ordinary answer; the pixels do not depend on this text
    for element in root.iter():
        yield str(element.tag).rpartition("}")[2], dict(element.attrib)


def _imagej(description: str, x_resolution: tuple[int, int] | None) -> float | None:
    match = re.search(r"^unit=(.*)$", description, re.MULTILINE)
    if match is None or x_resolution is None or x_resolution[0] <= 0:
        return None
    unit = match[1].strip().replace("\\u00B5", "µ")
    return _in_um(str(x_resolution[1] / x_resolution[0]), unit)


def _in_um(size: str, unit: str) -> float | None:
    try:
        value = float(size) * _UM_PER[unit.strip().lower()]
    except (ValueError, KeyError):
        return None  # pixels of unknown unit are pixels of unknown size
    return value if math.isfinite(value) and value > 0 else None
