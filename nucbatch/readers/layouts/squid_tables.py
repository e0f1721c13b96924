"""Reads the tables beside Squid's images: positions of fields, and the optics that give the pixel size.

- ``coordinates.csv`` in each time point's folder: columns ``region``, ``fov`` (from 0), ``x (mm)`` and
  ``y (mm)`` of the field's centre, y down. A table without ``fov`` lists the fields that were planned and is
  not used.
- ``acquisition parameters.json``: the pixel of the camera, and the focal lengths that give the magnification.
  Whether binning is included is not certain, so a binned pixel size is not read.

The names of the images tell everything else. A damaged table is quarantined, and the names remain.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.plate import FileRecord
from nucbatch.core.plate_geometry import plausible_well
from nucbatch.readers.assemble import FieldFacts, FieldKey
from nucbatch.readers.listing import Listing
from nucbatch.readers.rules import ignored, no_image, quarantined

_COORDINATES, _PARAMETERS = "coordinates.csv", "acquisition parameters.json"
_COLUMNS = ("region", "fov", "x (mm)", "y (mm)")
_MOST_BYTES = 1 << 26
_FARTHEST_MM = 1000.0
_SIZES_UM = (0.01, 100.0)
_TIME_POINT = re.compile(r"(?:.*/)?([0-9]{1,9})/")


@dataclass(slots=True)
class SideTables:
    """Contents of an instrument's side files.

    Attributes:
        places_mm: (y, x) of the centre of each field, y down.
        pixel_size_um: micrometres per pixel of all images; None if unknown.
        listed: file that lists each field.
        records: one record for each listed file that is no image.
        remarks: sentences for the user.
    """

    places_mm: dict[FieldKey, tuple[float, float]] = field(default_factory=dict)
    pixel_size_um: float | None = None
    listed: dict[FieldKey, str] = field(default_factory=dict)
    records: list[FileRecord] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def facts(self, found: Iterable[FieldKey]) -> dict[FieldKey, FieldFacts]:
        """Returns the facts on each listed field and on each field with an image."""
        known: dict[FieldKey, FieldFacts] = {}
        for key in {*found, *self.listed}:
            place = self.places_mm.get(key)
            position = (place[0] * 1000, place[1] * 1000) if place else None
            if position or self.pixel_size_um:
                known[key] = FieldFacts(position, self.pixel_size_um)
        return known

    def gaps(self, found: Iterable[FieldKey]) -> dict[FieldKey, str]:
        """Returns the reason for each listed field without an image."""
        there = set(found)
        return {
            key: f"no image: {path} lists the field, but it has no file"
            for key, path in self.listed.items()
            if key not in there
        }


def squid_tables(listing: Listing) -> SideTables:
    """Reads Squid's tables in a listing; every file that is no image gets a record."""
    tables = SideTables()
    for file in listing.others():
        name = file.path.rpartition("/")[2].casefold()
        if name not in (_COORDINATES, _PARAMETERS):
            tables.records.append(no_image(file.path))
            continue
        try:
            text = _text(listing.read_bytes(file.path, _MOST_BYTES))
            if name == _PARAMETERS:
                tables.pixel_size_um = _pixel_size(text, tables.remarks) or tables.pixel_size_um
            else:
                _add_places(text, file.path, tables)
        except (UnreadableImage, OSError, ValueError, csv.Error) as error:
            tables.records.append(quarantined(file.path, f"it can't be read ({error})"))
            continue
        tables.records.append(ignored(file.path, "vendor-metadata"))
    return tables


def _text(content: bytes) -> str:
    if len(content) > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES:,} bytes")
    return content.decode("utf-8-sig")


def _add_places(text: str, path: str, tables: SideTables) -> None:
    """Adds the fields that a table lists, and their positions.

    Raises:
        ValueError: a number is missing or impossible, or two rows contradict each other.
    """
    reader = csv.DictReader(text.splitlines(), strict=True)
    if not set(_COLUMNS) <= set(reader.fieldnames or ()):
        return
    match = _TIME_POINT.fullmatch(path[: -len(_COORDINATES)])
    t = int(match[1]) if match else 0
    found: dict[FieldKey, tuple[float, float]] = {}
    for row in reader:
        well = plausible_well(row["region"] or "")
        if not well:
            continue
        y, x = (_number(row[column], column) for column in ("y (mm)", "x (mm)"))
        key = well, int(_number(row["fov"], "fov")) + 1, t
        if math.dist(found.setdefault(key, (y, x)), (y, x)) > 0.001:
            raise ValueError(f"two positions for field {row['fov']} of {row['region']}")
    tables.places_mm |= found
    tables.listed |= dict.fromkeys(found, path)


def _number(text: str | None, column: str) -> float:
    number = float(text or "nan")
    if not (math.isfinite(number) and abs(number) < _FARTHEST_MM):
        raise ValueError(f"{column} {text!r}")
    return number


def _pixel_size(text: str, remarks: list[str]) -> float | None:
    """Returns micrometres per pixel in the sample; None if the optics or the binning are not certain.

    Raises:
        ValueError: no JSON object.
    """
    parameters = json.loads(text)
    if not isinstance(parameters, Mapping):
        raise ValueError("no JSON object")
    if parameters.get("pixel_binning", 1) != 1:
        remarks.append("pixel size not read: it is not certain that it includes the camera's binning")
        return None
    objective = parameters.get("objective")
    values = [parameters.get("sensor_pixel_size_um"), parameters.get("tube_lens_mm")]
    if isinstance(objective, Mapping):
        values += [objective.get(key) for key in ("tube_lens_f_mm", "magnification")]
    numbers = [float(value) for value in values if isinstance(value, int | float) and value > 0]
    if len(numbers) != 4:
        return None
    camera_um, tube_mm, nominal_mm, magnification = numbers
    size = camera_um * nominal_mm / (tube_mm * magnification)
    return size if _SIZES_UM[0] <= size <= _SIZES_UM[1] else None
