"""Reads Yokogawa's settings: ``*.mrf`` (plate, pixel sizes), ``*.mes`` (channels), ``*.wpp`` (plate).

CellVoyager (CV7000, CV8000) and CQ3K write them, in the schema ``BTSSchema/1.0``. What a file does not record
or records as nonsense stays unknown.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from nucbatch.core.plate import Channel
from nucbatch.core.plate_geometry import MOST_COLUMNS, MOST_ROWS
from nucbatch.readers.formats.xml_stream import Element, read_elements

_BAND = re.compile(r"BP\s*([0-9]{3,4})\s*/", re.IGNORECASE)
_ARGB = re.compile(r"#(?:[0-9A-F]{2})?([0-9A-F]{6})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Detail:
    """Contents of ``MeasurementDetail.mrf``.

    Attributes:
        title: name of the measurement.
        rows: rows of the plate; 0 if unknown.
        columns: columns of the plate; 0 if unknown.
        settings: name of the .mes file.
        pixel_sizes_um: micrometres per pixel in the sample, binning included, by channel number.
        corrections: names of the shading corrections.
    """

    title: str = ""
    rows: int = 0
    columns: int = 0
    settings: str = ""
    pixel_sizes_um: Mapping[int, float] = field(default_factory=dict)
    corrections: frozenset[str] = frozenset()


def read_detail(root: str, path: str, read_timeout_s: float) -> Detail:
    """Reads a .mrf file.

    Raises:
        UnreadableImage: it cannot be read, or is damaged.
    """
    return read_elements(
        root, path, {"MeasurementChannel"}, _detail, read_timeout_s, heads={"MeasurementDetail"}
    )


def read_channels(root: str, path: str, read_timeout_s: float) -> dict[int, Channel]:
    """Reads the channels of a .mes file by their numbers; names may repeat.

    Raises:
        UnreadableImage: it cannot be read, or is damaged.
    """
    return read_elements(root, path, {"Channel", "LightSource"}, _channels, read_timeout_s)


def read_plate_size(root: str, path: str, read_timeout_s: float) -> tuple[int, int]:
    """Reads (rows, columns) of a .wpp file; (0, 0) if it gives none.

    Raises:
        UnreadableImage: it cannot be read, or is damaged.
    """

    def size(elements: Iterator[Element]) -> tuple[int, int]:
        found = [(one.attributes.get("Rows", ""), one.attributes.get("Columns", "")) for one in elements]
        return _plate_size(*found[0]) if found else (0, 0)

    return read_elements(root, path, {"WellPlateProduct"}, size, read_timeout_s)


def distinct_channels(
    known: Mapping[int, Channel], numbers: Iterable[int], default: str
) -> dict[int, Channel]:
    """Returns a channel with a name of its own for each number.

    Args:
        known: channels of the .mes file.
        numbers: numbers of the channels that occur.
        default: name of channels that are not in ``known``, with a place for the number.
    """
    found = {number: known.get(number) or Channel("", 0) for number in numbers}
    counts = Counter(channel.name.casefold() for channel in found.values())
    return {number: _named(channel, number, counts, default) for number, channel in found.items()}


def _named(channel: Channel, number: int, counts: Mapping[str, int], default: str) -> Channel:
    plain = default.format(number)
    name = channel.name or plain
    if channel.name and counts[channel.name.casefold()] > 1:
        name = f"{channel.name} ({plain})"
    aliases = tuple(dict.fromkeys(alias for alias in (plain, *channel.aliases) if alias and alias != name))
    return Channel(name, 0, aliases, channel.excitation_nm, channel.emission_nm, channel.color)


def _detail(elements: Iterator[Element]) -> Detail:
    title = settings = ""
    rows = columns = 0
    sizes: dict[int, float] = {}
    corrections: set[str] = set()
    for element in elements:
        values = element.attributes
        if element.tag == "MeasurementDetail":
            title, settings = values.get("Title", ""), values.get("MeasurementSettingFileName", "")
            rows, columns = _plate_size(values.get("RowCount", ""), values.get("ColumnCount", ""))
            continue
        corrections.add(values.get("ShadingCorrectionSource", ""))
        number = whole(values.get("Ch", ""))
        across, down = (real(values.get(f"{side}PixelDimension", "")) for side in ("Horizontal", "Vertical"))
        if number and across and across > 0 and (down is None or math.isclose(across, down, rel_tol=0.01)):
            sizes[number] = across
    return Detail(title, rows, columns, settings, sizes, frozenset(corrections - {""}))


def _plate_size(rows: str, columns: str) -> tuple[int, int]:
    size = whole(rows), whole(columns)
    return size if 0 < size[0] <= MOST_ROWS and 0 < size[1] <= MOST_COLUMNS else (0, 0)


def _channels(elements: Iterator[Element]) -> dict[int, Channel]:
    lights: dict[str, float] = {}
    listed: list[Element] = []
    for element in elements:
        if element.tag == "LightSource":
            wavelength = real(element.attributes.get("WaveLength", ""))
            if wavelength:
                lights[element.attributes.get("Name", "")] = wavelength
        else:
            listed.append(element)
    return {
        number: _channel(element, lights)
        for element in listed
        if (number := whole(element.attributes.get("Ch", "")))
    }


def _channel(element: Element, lights: Mapping[str, float]) -> Channel:
    """Describes a channel: its stain, or its target, or light and filter as in ``405 BP445/45``."""
    stain, target, band = (
        element.attributes.get(key, "").strip() for key in ("Fluorophore", "Target", "Acquisition")
    )
    lit = f"{target} {band}".strip() if target.isdecimal() else target
    name = stain or lit or band
    sources = [child.text for child in element.children if child.tag == "LightSourceName"]
    excitation = lights.get(sources[0]) if len(sources) == 1 else None
    emission = _BAND.search(band)
    color = _ARGB.fullmatch(element.attributes.get("Color", "").strip())
    return Channel(
        name,
        0,
        tuple(dict.fromkeys(text for text in (stain, target, band) if text)),
        excitation,
        float(emission[1]) if emission else None,
        color[1].upper() if color else "",
    )


def whole(text: str) -> int:
    """Parses a whole number from 0 to 999,999,999; 0 for other texts."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else 0


def real(text: str) -> float | None:
    """Parses a finite number; None for other texts."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
