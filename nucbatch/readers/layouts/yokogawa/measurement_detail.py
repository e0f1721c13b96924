"""Reads ``MeasurementDetail.mrf`` (plate, pixel sizes) and ``*.wpp`` (plate) of Yokogawa's microscopes.

CellVoyager (CV7000, CV8000) and CQ3K write them, in the schema ``BTSSchema/1.0``. What a file does not record
or records as nonsense stays unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from nucbatch.core.pixel_size import not_square
from nucbatch.core.plate_geometry import MOST_COLUMNS, MOST_ROWS
from nucbatch.readers.formats.xml_stream import Element
from nucbatch.readers.listing import Listing


@dataclass(frozen=True, slots=True)
class Detail:
    """Contents of ``MeasurementDetail.mrf``.

    Attributes:
        title: name of the measurement.
        rows: rows of the plate; 0 if unknown.
        columns: columns of the plate; 0 if unknown.
        protocol: name of the .mes file.
        pixel_sizes_um: micrometres per pixel in the sample, binning included, by channel number.
        widths_px: width of the images as taken, by channel number.
        corrections: names of the shading corrections.
        oblong_um: width and height of pixels that are not square.
    """

    title: str = ""
    rows: int = 0
    columns: int = 0
    protocol: str = ""
    pixel_sizes_um: Mapping[int, float] = field(default_factory=dict)
    widths_px: Mapping[int, int] = field(default_factory=dict)
    corrections: frozenset[str] = frozenset()
    oblong_um: tuple[float | None, float | None] | None = None


def read_detail(listing: Listing, path: str) -> Detail:
    """Reads a .mrf file.

    Raises:
        UnreadableImage: it cannot be read, or is damaged.
    """
    return listing.read_elements(
        path,
        {"MeasurementChannel"},
        _detail,
        heads={"MeasurementDetail"},
    )


def read_plate_size(listing: Listing, path: str) -> tuple[int, int]:
    """Reads (rows, columns) of a .wpp file; (0, 0) if it gives none.

    Raises:
        UnreadableImage: it cannot be read, or is damaged.
    """

    def size(elements: Iterator[Element]) -> tuple[int, int]:
        found = [(one.attributes.get("Rows", ""), one.attributes.get("Columns", "")) for one in elements]
        return _plate_size(*found[0]) if found else (0, 0)

    return listing.read_elements(path, {"WellPlateProduct"}, size)


def _detail(elements: Iterator[Element]) -> Detail:
    title = protocol = ""
    rows = columns = 0
    sizes: dict[int, float] = {}
    widths: dict[int, int] = {}
    corrections: set[str] = set()
    oblong: tuple[float | None, float | None] | None = None
    for element in elements:
        values = element.attributes
        if element.tag == "MeasurementDetail":
            title, protocol = values.get("Title", ""), values.get("MeasurementSettingFileName", "")
            rows, columns = _plate_size(values.get("RowCount", ""), values.get("ColumnCount", ""))
            continue
        corrections.add(values.get("ShadingCorrectionSource", ""))
        number = whole(values.get("Ch", ""))
        across, down = (real(values.get(f"{side}PixelDimension", "")) for side in ("Horizontal", "Vertical"))
        if number and not_square(across, down):
            oblong = across, down
        elif number and across and across > 0:
            sizes[number] = across
            widths[number] = whole(values.get("HorizontalPixels", ""))
    return Detail(title, rows, columns, protocol, sizes, widths, frozenset(corrections - {""}), oblong)


def _plate_size(rows: str, columns: str) -> tuple[int, int]:
    size = whole(rows), whole(columns)
    return size if 0 < size[0] <= MOST_ROWS and 0 < size[1] <= MOST_COLUMNS else (0, 0)


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
