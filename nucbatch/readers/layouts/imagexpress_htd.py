"""Parses MetaXpress' .HTD file: size of the plate, selected wells and sites, and wavelength names.

The file consists of ``"Key", value, ...`` lines. Its encoding varies and is not recorded, so undecodable
bytes are replaced; they only occur in free text. A file of another form gives no wells and no names, never an
error.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field

from nucbatch.core.plate_geometry import MOST_COLUMNS, MOST_ROWS, parse_row, row_index, well_name
from nucbatch.readers.listing import Listing

_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Htd:
    """Contents of an .HTD file.

    Attributes:
        path: relative path of the file.
        wells: selected wells in row-major order.
        wave_names: names by wavelength number, from 1.
        rows: rows of the plate; 0 if unknown.
        columns: columns of the plate; 0 if unknown.
        sites: number of selected sites of each well; 0 if unknown.
    """

    path: str
    wells: tuple[str, ...] = ()
    wave_names: dict[int, str] = field(default_factory=dict)
    rows: int = 0
    columns: int = 0
    sites: int = 0


def read_htd(listing: Listing, path: str) -> Htd:
    """Reads the .HTD file at ``path``.

    Raises:
        OSError: the file cannot be opened or read.
    """
    return parse_htd(path, listing.read_bytes(path, _MOST_BYTES).decode("utf-8", errors="replace"))


def parse_htd(path: str, text: str) -> Htd:
    """Parses the text of an .HTD file."""
    wells: list[str] = []
    waves: dict[int, str] = {}
    sides = {"XWells": 0, "YWells": 0}
    sites, several_sites = 0, True
    for key, values in _entries(text):
        row = key.removeprefix("WellsSelection")
        wave = key.removeprefix("WaveName")
        if row != key and row.isdecimal() and 1 <= int(row) <= MOST_ROWS:
            wells.extend(
                well_name(parse_row(row), column)
                for column, value in enumerate(values[:MOST_COLUMNS], start=1)
                if value.upper() == "TRUE"
            )
        elif wave != key and wave.isdecimal() and values and values[0]:
            waves[int(wave)] = values[0]
        elif key.startswith("SiteSelection"):
            sites += sum(value.upper() == "TRUE" for value in values)
        elif key == "Sites" and values:
            several_sites = values[0].upper() != "FALSE"
        elif key in sides and values and values[0].isdecimal():
            sides[key] = int(values[0][:4])
    wells.sort(key=lambda well: (row_index(well.rstrip("0123456789")), well))
    rows, columns = sides["YWells"], sides["XWells"]
    if not (0 < rows <= MOST_ROWS and 0 < columns <= MOST_COLUMNS):
        rows = columns = 0
    return Htd(path, tuple(wells), waves, rows, columns, sites if several_sites else 0)


def _entries(text: str) -> Iterator[tuple[str, list[str]]]:
    for line in text.replace("\0", "").splitlines():
        try:
            cells = next(csv.reader([line], skipinitialspace=True), [])
        except csv.Error:
            continue  # skip an overlong line
        if cells:
            yield cells[0].strip(), [cell.strip() for cell in cells[1:]]
