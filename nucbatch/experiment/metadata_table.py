"""Reads the user's own table of wells: one row per well, site or file, or a plate map.

Wells are named in one column (A1, A01, a1), or by row and column (letters or numbers). Rows may also name
their plate and site, or, instead of a well, an image file. A table of any of these forms becomes rows with a
place and values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from nucbatch.core.errors import InputError
from nucbatch.core.plate_geometry import parse_row, plausible_well
from nucbatch.core.text_table import cells_by_separator
from nucbatch.experiment.column_values import Value, column_values
from nucbatch.experiment.description import MEASURED, RUN_COLUMNS, metadata_name
from nucbatch.experiment.plate_map import Cells, read_plate_map

_WELL = ("well", "wellposition", "wellname", "wellid", "welllabel", "wellcoordinate")
_ROW = ("row", "wellrow", "rowname")
_COLUMN = ("column", "col", "wellcolumn", "wellcol", "columnname")
_PLATE = ("plate", "plateid", "platename", "platebarcode", "assayplatebarcode")
_SITE = ("site", "siteid", "fieldid", "fieldofview", "fov")
_FILE = re.compile(
    r"(?:image_)?(?:metadata_)?(?:filename(?:_.+)?|file(?:[ _]?name)?|image(?:[ _]?(?:file|name|filename))?"
    r"|(?:file[ _]?)?path)",
    re.IGNORECASE,
)
_WELL_TEXT = re.compile(r"([A-Za-z]{1,2})\s*[-_:]?\s*([0-9]{1,3})")
_HARMONY = re.compile(r"r([0-9]{1,2})c([0-9]{1,2})", re.IGNORECASE)
_LISTED, _MOST_TITLES = 6, 10


@dataclass(frozen=True, slots=True)
class Place:
    """What a row is about; empty and None where it does not say."""

    well: str = ""
    plate: str = ""
    site: int | None = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MetadataTable:
    """The user's table.

    Attributes:
        name: file name.
        places: place of each row.
        lines: where each row stands in the file, for messages.
        columns: values, row by row, by the name of the column in the run's tables.
        remarks: sentences about texts that belong to no row.
    """

    name: str
    places: tuple[Place, ...]
    lines: tuple[str, ...]
    columns: dict[str, list[Value]]
    remarks: tuple[str, ...] = ()


def read_metadata(content: bytes, name: str) -> MetadataTable:
    """Reads a table of wells or a plate map.

    Args:
        content: bytes of the file.
        name: its file name.

    Raises:
        InputError: it is damaged, or neither a table that names wells or files nor a plate map.
    """
    sheets = [_without_empty(cells) for cells in cells_by_separator(content, name)]
    if not sheets[0][1]:
        raise InputError(f"{name} is empty: give one row per well, below a row of column names.")
    for lines, cells in sheets:
        for top in range(min(_MOST_TITLES, len(cells))):
            keys = {} if _numbers_columns(cells[top]) else _keys(cells[top])
            if keys:
                table = _table(lines[top:], cells[top:], keys, name)
                above = [cell for row in cells[:top] for cell in row if cell]
                return replace(table, remarks=_not_used(above, "above its row of column names", name))
    for _, cells in sheets:
        if (found := read_plate_map(cells, name)) is not None:
            return _of_plate_map(found.variables, found.outside, name)
    header = ", ".join(filter(None, sheets[0][1][0]))
    raise InputError(
        f"{name} does not say which wells its rows are about. It needs a column Well, or Row and Column, or "
        "FileName, or the grid of a plate (rows A.. down, columns 1.. across). Its first row is: "
        f"{header[:200]}."
    )


def _numbers_columns(cells: Sequence[str]) -> bool:
    """Whether the cells number the columns of a plate map."""
    pairs = [one for one in pairwise(cells) if all(cell.isdecimal() for cell in one)]
    return any(int(second) == int(first) + 1 for first, second in pairs)


def _not_used(texts: Sequence[str], where: str, name: str) -> tuple[str, ...]:
    shown = "; ".join(texts[:_LISTED]) + (f" and {len(texts) - _LISTED} more" if len(texts) > _LISTED else "")
    return (f"{name}: texts {where} are not used: {shown}.",) if texts else ()


def well_text(text: str) -> str:
    """Normalises a well as people write it: ``a1``, ``A-01``, ``r01c02``; empty if it is none."""
    if match := _HARMONY.fullmatch(text):
        return plausible_well(f"{parse_row(match[1])}{match[2]}") if int(match[1]) else ""
    match = _WELL_TEXT.fullmatch(text)
    return plausible_well(match[1] + match[2]) if match else ""


def _without_empty(cells: Cells) -> tuple[list[int], list[list[str]]]:
    """Returns line numbers from 1, and the rows that are not empty."""
    kept = [(number, list(row)) for number, row in enumerate(cells, start=1) if any(row)]
    return ([number for number, _ in kept], [row for _, row in kept])


def _key(title: str) -> str:
    """Returns a title without prefix, spaces and signs: ``Metadata_Well_Position`` → ``wellposition``."""
    return re.sub(r"[\s_.-]", "", metadata_name(title).removeprefix("Metadata_")).casefold()


def _keys(header: Sequence[str]) -> dict[str, list[int]]:
    """Returns the positions of the columns that name the place, by what they name; empty without any."""
    titles = [_key(title) for title in header]
    groups = {"well": _WELL, "row": _ROW, "column": _COLUMN, "plate": _PLATE, "site": _SITE}
    keys: dict[str, list[int]] = {}
    for kind, names in groups.items():
        if places := [titles.index(name) for name in names if name in titles]:
            keys[kind] = places[:1]
    keys["file"] = [place for place, title in enumerate(header) if _FILE.fullmatch(title)]
    if "well" in keys or {"row", "column"} <= keys.keys():
        return {kind: places for kind, places in keys.items() if places}
    return {kind: keys[kind] for kind in ("plate", "site", "file") if keys.get(kind)} if keys["file"] else {}


def _table(
    lines: list[int], cells: list[list[str]], keys: Mapping[str, list[int]], name: str
) -> MetadataTable:
    header, rows = cells[0], cells[1:]
    if not rows:
        raise InputError(f"{name} has column names and no rows: give one row per well.")
    for line, row in zip(lines[1:], rows, strict=True):
        if len(row) < len(header) or any(row[len(header) :]):
            raise InputError(
                f"{name}, row {line} has {len(row)} cells, and the row of column names {len(header)}: the "
                "file is damaged, or a text with a separator lacks its quotes."
            )
    unnamed = [place for place, title in enumerate(header) if not title and any(row[place] for row in rows)]
    if unnamed:
        raise InputError(f"{name}: column {unnamed[0] + 1} has values and no name. Name it, or remove it.")
    places = [
        _place(row, header, keys, f"{name}, row {line}") for line, row in zip(lines[1:], rows, strict=True)
    ]
    if "well" in keys or "row" in keys:
        by_file = "file" in keys and len({(one.plate, one.well, one.site) for one in places}) < len(places)
        if not by_file:
            places = [Place(one.well, one.plate, one.site) for one in places]
    else:
        by_file = True
    if any(one.site == 0 for one in places):  # sites are counted from 0; the run's tables count from 1
        places = [replace(one, site=None if one.site is None else one.site + 1) for one in places]
    used = {place for kind, several in keys.items() for place in several if kind != "file" or by_file}
    kept = [place for place, title in enumerate(header) if title and place not in used]
    if not kept:
        raise InputError(
            f"{name} says nothing about its wells: it needs a column beside those that name them."
        )
    named = {place: metadata_name(header[place]) for place in kept}
    _require_names(list(named.values()), name)
    texts = {named[place]: [row[place] for row in rows] for place in kept}
    columns = column_values(texts, name)
    return MetadataTable(name, tuple(places), tuple(f"row {line}" for line in lines[1:]), columns)


def _require_names(names: Sequence[str], table: str) -> None:
    """Raises InputError for columns that appear twice, or that the run's tables fill themselves."""
    seen: set[str] = set()
    own = {name.casefold() for name in RUN_COLUMNS}
    for name in names:
        if name.casefold() in seen:
            raise InputError(f"{table} has two columns named {name.removeprefix('Metadata_')}: rename one.")
        seen.add(name.casefold())
        if name.casefold() in own or name.startswith(MEASURED):
            raise InputError(
                f"{table}: the column {name.removeprefix('Metadata_')} would replace {name} of the run's "
                "tables. Rename it."
            )


def _place(row: Sequence[str], header: Sequence[str], keys: Mapping[str, list[int]], where: str) -> Place:
    """Reads the place of a row.

    Raises:
        InputError: the text is no well or site, or Well differs from Row and Column.
    """
    text = {kind: row[places[0]] for kind, places in keys.items() if kind != "file"}
    files = tuple(row[place] for place in keys.get("file", ()) if row[place])
    named = {}
    if "well" in keys:
        named[text["well"]] = well_text(text["well"])
    if {"row", "column"} <= keys.keys():
        down, across = (re.sub(r"\.0+$", "", text[kind]) for kind in ("row", "column"))
        letters = parse_row(down) if not down.isdecimal() or int(down) else ""
        named[f"row {down}, column {across}"] = plausible_well(f"{letters}{across}")
    for shown, well in named.items():
        if not well:
            raise InputError(f"{where}: {shown!r} is no well. Wells are A01 to AF48.")
    if len(set(named.values())) > 1:
        raise InputError(f"{where}: the well {text['well']} differs from row {down} and column {across}.")
    if not named and not files:
        raise InputError(f"{where} names no file, in {', '.join(header[place] for place in keys['file'])}.")
    site = text.get("site", "")
    if site and not re.fullmatch(r"[0-9]{1,6}(?:\.0+)?", site):
        raise InputError(f"{where}: the site {site!r} must be a whole number.")
    well = next(iter(named.values()), "")
    return Place(well, text.get("plate", ""), int(float(site)) if site else None, files)


def _of_plate_map(
    variables: Mapping[str, Mapping[str, str]], outside: Sequence[str], name: str
) -> MetadataTable:
    wells = list(dict.fromkeys(well for values in variables.values() for well in values))
    wells = [well for well in wells if any(values.get(well) for values in variables.values())]
    texts = {
        metadata_name(title): [values.get(well, "") for well in wells] for title, values in variables.items()
    }
    _require_names(list(texts), name)
    remarks = _not_used(outside, "outside its plate maps", name)
    places = tuple(Place(well) for well in wells)
    if not wells:
        raise InputError(f"{name}: its plate map has no values.")
    return MetadataTable(
        name, places, tuple(f"well {well}" for well in wells), column_values(texts, name), remarks
    )
