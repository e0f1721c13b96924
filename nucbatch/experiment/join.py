"""Joins the user's table to the fields of a run, so that nothing is lost unseen.

Each field gets the values of the row about its file, its site or its well. Rows about a place that the run
does not have, and wells without a row, are named in remarks. Rows about one place with different values are
refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from nucbatch.core.errors import InputError
from nucbatch.core.plate import Field, Plate
from nucbatch.experiment.column_values import Value
from nucbatch.experiment.description import (
    CONTROL,
    NEGATIVE,
    POSITIVE,
    SERIES,
    Experiment,
    control_wells,
    dose_axis,
    find_column,
    series_of,
)
from nucbatch.experiment.metadata_table import MetadataTable, Place, read_metadata

Metadata = tuple[tuple[str, Value], ...]
"""(column, value) of a field."""

_LISTED = 8


@dataclass(frozen=True, slots=True)
class Address:
    """A field of a run, as rows of a table may name it. ``key``: the field's group inside the OME-Zarr."""

    key: str
    plate: str
    well: str
    site: int
    files: tuple[str, ...]
    metadata: Metadata = ()


@dataclass(frozen=True, slots=True)
class Described:
    """The columns that an experiment adds to the fields.

    Attributes:
        fields: (column, value) by the field's key; the same columns for all.
        columns: their names.
        dose: the column with the dose, as the run's tables name it; empty for none.
        axis: ``step`` or ``concentration``; empty without doses.
        unit: of the concentrations.
        remarks: sentences about rows and wells that do not match.
    """

    fields: Mapping[str, Metadata]
    columns: tuple[str, ...] = ()
    dose: str = ""
    axis: str = ""
    unit: str = ""
    remarks: tuple[str, ...] = ()


def addresses_of(plate: Plate) -> list[Address]:
    """Returns the addresses of a plate's fields."""
    return [
        Address(field.key, plate.name, field.well, field.site, _paths(field), field.metadata)
        for field in plate.fields
    ]


def describe(experiment: Experiment, fields: Sequence[Address]) -> Described:
    """Returns the columns that an experiment adds to the fields of a run.

    Raises:
        InputError: the table is damaged or does not fit the run, or an option names no column or value.
    """
    remarks: tuple[str, ...] = ()
    added: dict[str, dict[str, Value]] = {field.key: {} for field in fields}
    names: tuple[str, ...] = ()
    if experiment.table:
        table = read_metadata(experiment.table, experiment.table_name)
        added, found = _matched(table, fields)
        names, remarks = tuple(table.columns), (*table.remarks, *found)
    own = dict.fromkeys(name for field in fields for name, _ in field.metadata)
    twice = [name for name in names if name.casefold() in {one.casefold() for one in own}]
    if twice:
        raise InputError(
            f"{experiment.table_name}: the manifest has the column {twice[0]} too. Leave one of them out."
        )
    columns = {name: [added[field.key].get(name) for field in fields] for name in names}
    columns |= {name: [dict(field.metadata).get(name) for field in fields] for name in own}
    wells = [field.well for field in fields]
    needs_wells = experiment.positive or experiment.negative or experiment.series or experiment.dose
    if needs_wells and not any(wells):
        raise InputError(
            "controls, doses and series need a plate: the input is read as images without wells."
        )
    positive = control_wells("--positive", experiment.positive, columns, wells)
    negative = control_wells("--negative", experiment.negative, columns, wells)
    for field, is_positive, is_negative in zip(fields, positive, negative, strict=True):
        if is_positive and is_negative:
            raise InputError(
                f"well {field.well} is both a positive and a negative control: name other values."
            )
    series = series_of(experiment.series, columns, wells)
    dose, axis, unit = "", "", ""
    if experiment.dose:
        dose = find_column("--dose", experiment.dose, columns)
        axis, unit = dose_axis(dose, experiment.dose_unit, _doses(dose, columns[dose], positive))
    elif experiment.dose_unit:
        raise InputError(f"--dose-unit {experiment.dose_unit} needs --dose, the column with the doses.")
    if experiment.positive or experiment.negative:
        names = (*names, CONTROL)
        for field, is_positive, is_negative in zip(fields, positive, negative, strict=True):
            added[field.key][CONTROL] = POSITIVE if is_positive else NEGATIVE if is_negative else ""
    if experiment.series:
        names = (*names, SERIES)
        for field, one in zip(fields, series, strict=True):
            added[field.key][SERIES] = one
        if without := [field.well for field, one in zip(fields, series, strict=True) if not one]:
            remarks = (*remarks, f"Wells in no series of --series {experiment.series}: {_listed(without)}.")
    values = {key: tuple((name, of_field[name]) for name in names) for key, of_field in added.items()}
    return Described(values, names, dose, axis, unit, remarks)


def _doses(name: str, values: Sequence[Value], positive: Sequence[bool]) -> list[float]:
    """Returns the doses of the wells that are no positive controls; their dose may be a mark."""
    texts = [value for value in values if isinstance(value, str) and value]
    if texts or not any(isinstance(value, float) for value in values):
        raise InputError(
            f"--dose {name.removeprefix('Metadata_')} needs numbers, and has {(texts or ['none'])[0]!r}. "
            "Leave the cells of wells without a dose empty, and write 0 where nothing was given."
        )
    own = [value for value, is_positive in zip(values, positive, strict=True) if not is_positive]
    return [value for value in own if isinstance(value, float)]


def _matched(
    table: MetadataTable, fields: Sequence[Address]
) -> tuple[dict[str, dict[str, Value]], list[str]]:
    """Returns the values of each field by its key, and remarks about what does not match."""
    rows, remarks = _of_plates(table, {field.plate for field in fields})
    keyed: dict[tuple[object, ...], int] = {}
    for row in rows:
        place = table.places[row]
        for key in _row_keys(place):
            first = keyed.setdefault(key, row)
            _require_alike(table, first, row, key)
    known = _file_names(fields) if any(place.files for place in table.places) else {}
    for row in rows if known else ():
        for file in table.places[row].files:
            if known.get(_folded(file)) == "":
                raise InputError(
                    f"{table.name}, {table.lines[row]}: several files of the input are named {file}. Give "
                    "their paths below the input's folder."
                )
    added: dict[str, dict[str, Value]] = {}
    matched: set[int] = set()
    without: list[str] = []
    empty: dict[str, Value] = {name: _nothing(values) for name, values in table.columns.items()}
    for field in fields:
        hits = {keyed[key] for key in _field_keys(field, known) if key in keyed}
        for row in hits:
            _require_alike(table, min(hits), row, (field.well or field.key,))
        matched |= hits
        added[field.key] = (
            {name: values[min(hits)] for name, values in table.columns.items()} if hits else dict(empty)
        )
        if not hits:
            without.append(field.well or field.key)
    same = {key for row in matched for key in _row_keys(table.places[row])}
    unmatched = [row for row in rows if not same.intersection(_row_keys(table.places[row]))]
    if len(unmatched) == len(rows):
        raise InputError(
            f"{table.name}: none of its {len(rows):,} rows is about a well or file of this run. The first is "
            f"about {_named(table.places[rows[0]])}, the run's first is {fields[0].well or fields[0].key}."
        )
    if unmatched:
        remarks.append(
            f"{table.name}: {len(unmatched):,} of {len(rows):,} rows are about places that have no images: "
            f"{_listed(_named(table.places[row]) for row in unmatched)}."
        )
    if without:
        remarks.append(f"{table.name} has no row for {_listed(without)}: their columns are empty.")
    return added, remarks


def _of_plates(table: MetadataTable, plates: set[str]) -> tuple[list[int], list[str]]:
    """Returns the rows that are about these plates or about any, and a remark about the others.

    Raises:
        InputError: all rows are about other plates.
    """
    named = {plate.casefold() for plate in plates}
    rows = [
        row for row, place in enumerate(table.places) if not place.plate or place.plate.casefold() in named
    ]
    others = [place.plate for place in table.places if place.plate and place.plate.casefold() not in named]
    if not rows:
        raise InputError(
            f"{table.name} is about the plates {_listed(others)}, and this run about "
            f"{_listed(sorted(plates))}. Correct the names in its column of plates, or remove that column."
        )
    shown = f"{table.name}: {len(others):,} rows are about other plates: {_listed(others)}."
    return rows, [shown] if others else []


def _row_keys(place: Place) -> list[tuple[object, ...]]:
    plate = place.plate.casefold()
    if place.files:
        return [("file", plate, _folded(name)) for name in place.files]
    return [("well", plate, place.well, place.site)]


def _folded(file: str) -> str:
    return file.replace("\\", "/").removeprefix("./").casefold()


def _field_keys(field: Address, known: Mapping[str, str]) -> list[tuple[object, ...]]:
    """Returns the keys of the rows that may be about a field, those of its own plate and site first."""
    plates = (field.plate.casefold(), "")
    by_well = [("well", plate, field.well, site) for site in (field.site, None) for plate in plates]
    hit: list[tuple[object, ...]] = []
    for path in field.files if known else ():
        folded = path.casefold()
        pure = PurePosixPath(folded)
        parts = {folded, *("/".join(pure.parts[start:]) for start in range(len(pure.parts))), pure.stem}
        for part in sorted(parts, key=len, reverse=True):
            hit += [("file", plate, part) for plate in plates if known.get(part, path) == path]
    return hit + by_well


def _file_names(fields: Iterable[Address]) -> dict[str, str]:
    """Returns the path of the only file that has a name or stem; empty where several files have it."""
    paths: dict[str, set[str]] = defaultdict(set)
    for path in {path for field in fields for path in field.files}:
        pure = PurePosixPath(path.casefold())
        for start in range(len(pure.parts)):
            paths["/".join(pure.parts[start:])].add(path)
        if pure.stem != pure.name:
            paths[pure.stem].add(path)
    return {name: next(iter(several)) if len(several) == 1 else "" for name, several in paths.items()}


def _require_alike(table: MetadataTable, first: int, second: int, key: tuple[object, ...]) -> None:
    """Raises InputError if two rows about one place differ."""
    for name, values in table.columns.items():
        if values[first] != values[second]:
            raise InputError(
                f"{table.name}: {table.lines[first]} and {table.lines[second]} are both about "
                f"{_named(table.places[second])}, and differ in {name.removeprefix('Metadata_')} "
                f"({values[first]}, {values[second]}). Keep one row for each, or add a column Site or Plate."
            )


def _nothing(values: Sequence[Value]) -> Value:
    return "" if any(isinstance(value, str) for value in values) else None


def _named(place: Place) -> str:
    if place.files:
        return place.files[0]
    site = f", site {place.site}" if place.site is not None else ""
    return f"{place.plate + ' ' if place.plate else ''}{place.well}{site}"


def _listed(names: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(names))
    more = f" and {len(distinct) - _LISTED:,} more" if len(distinct) > _LISTED else ""
    return ", ".join(distinct[:_LISTED]) + more


def _paths(field: Field) -> tuple[str, ...]:
    return tuple(dict.fromkeys(plane.path for plane in field.planes))
