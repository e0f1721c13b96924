"""Selection of a part of a plate: some of its wells, sites and time points.

A selection decides which fields a session processes. It is not a setting of the run: no result depends on it,
so the other fields can be processed later, into the same folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from nucbatch.core.errors import InputError
from nucbatch.core.plate import Field, Plate
from nucbatch.core.plate_geometry import (
    MOST_COLUMNS,
    MOST_ROWS,
    plausible_well,
    row_index,
    row_letters,
    split_well,
    well_name,
)
from nucbatch.core.rows import Rows

NOT_SELECTED = "not selected"
"""Status of a usable field that no session has selected yet."""

_END = re.compile(r"([A-Za-z]{0,2})([0-9]{0,2})")
_NUMBERS = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_WELLS_HELP = (
    "give wells (B02), ranges along a row or of a rectangle (C03-C10, B02-D05), rows (B, B-D) or columns (3, "
    f"3-5), separated by commas; rows go to {row_letters(MOST_ROWS - 1)}, columns to {MOST_COLUMNS}"
)
_MOST_NEAR, _MOST_LISTED = 3, 12


@dataclass(frozen=True, slots=True)
class WellRange:
    """Rectangle of wells: rows and columns from 0, both ends included; ``text`` as the user wrote it."""

    text: str
    rows: tuple[int, int]
    columns: tuple[int, int]

    def __contains__(self, well: str) -> bool:
        row, column = _place(well)
        return self.rows[0] <= row <= self.rows[1] and self.columns[0] <= column <= self.columns[1]


@dataclass(frozen=True, slots=True)
class NumberRange:
    """Range of numbers, both ends included."""

    first: int
    last: int

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last


@dataclass(frozen=True, slots=True)
class Selection:
    """Wells, sites and time points to process; an empty tuple selects all of them.

    >>> selection = Selection.parse(wells="B02,C03-C10", sites="1-4")
    >>> [well in selection.wells[1] for well in ("C03", "C10", "C11", "D03")]
    [True, True, False, False]

    Attributes:
        wells: ranges of wells.
        sites: ranges of sites, from 1.
        times: ranges of time points, from 0.
    """

    wells: tuple[WellRange, ...] = ()
    sites: tuple[NumberRange, ...] = ()
    times: tuple[NumberRange, ...] = ()

    @classmethod
    def parse(cls, wells: str = "", sites: str = "", times: str = "") -> Selection:
        """Parses the values of ``--wells``, ``--sites`` and ``--times``; empty texts select everything.

        Raises:
            InputError: a text does not have the allowed form.
        """
        return cls(
            tuple(_well_range(item) for item in _items("--wells", wells, _WELLS_HELP)),
            _number_ranges("--sites", sites, first=1),
            _number_ranges("--times", times, first=0),
        )

    def __bool__(self) -> bool:
        return bool(self.wells or self.sites or self.times)

    def includes(self, field: Field) -> bool:
        """Returns whether a field is selected."""
        return (
            (not self.wells or any(field.well in wells for wells in self.wells))
            and _is_in(field.site, self.sites)
            and _is_in(field.t, self.times)
        )

    def of(self, fields: Rows[Field]) -> Rows[Field]:
        """Returns the selected fields."""
        if self.wells:
            fields = fields.where("well", lambda well: any(well in wells for wells in self.wells))
        if self.sites:
            fields = fields.where("site", lambda site: _is_in(site, self.sites))
        return fields.where("t", lambda t: _is_in(t, self.times)) if self.times else fields

    def require_in(self, plate: Plate) -> None:
        """Checks that the plate has the selected wells, sites and time points.

        Raises:
            InputError: it has no wells; it lacks every well of a range, a site or a time point; or no field
                is in all that is selected.
        """
        if self.wells and not plate.is_plate:
            raise InputError(
                f"--wells {self.wells[0].text} can't be used: {plate.name} is read as a collection of images "
                "without wells. Leave --wells out, or give --layout or --pattern if it is a plate."
            )
        known = list(plate.wells()) if self.wells else []
        for wells in self.wells:
            if not any(well in wells for well in known):
                raise InputError(
                    f"--wells {wells.text}: {plate.name} has no such well. The nearest that it has: "
                    f"{', '.join(_nearest(wells, known)) or 'none'}."
                )
        _require_numbers("--sites", "site", self.sites, set(plate.fields.values("site")), plate.name)
        _require_numbers("--times", "time point", self.times, set(plate.fields.values("t")), plate.name)
        if self and not self.of(plate.fields):
            raise InputError(
                f"no field of {plate.name} is in all that is selected by --wells, --sites and --times: widen "
                "one of them. nucbatch inspect lists the wells and fields."
            )


EVERYTHING = Selection()
"""Selects every field."""


def _items(option: str, text: str, allowed: str) -> list[str]:
    if not text:
        return []
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise InputError(f"{option} {text!r} has an empty item: {allowed}.")
    return items


def _well_range(item: str) -> WellRange:
    """Parses a well, a row, a column, or a range of them.

    A range has two ends of one kind; that of wells is the rectangle between its upper left and its lower
    right well.
    """
    first, dash, last = (part.strip() for part in item.partition("-"))
    ends = [_end(end) for end in ((first, last) if dash else (first,))]
    rows, columns = ([end[axis] for end in ends if end is not None] for axis in (0, 1))
    kinds = {(row is None, column is None) for row, column in zip(rows, columns, strict=True)}
    if len(rows) != len(ends) or len(kinds) != 1:
        raise InputError(f"--wells {item!r} is not understood: {_WELLS_HELP}.")
    down, across = _bounds(rows), _bounds(columns)
    if down[0] > down[1] or across[0] > across[1]:
        raise InputError(
            f"--wells {item!r} runs backwards: give the upper left end first and the lower right one last."
        )
    return WellRange(item, down, across)


def _end(text: str) -> tuple[int | None, int | None] | None:
    """Returns (row, column) of a well, a row or a column, None for the other axis; None for anything else."""
    match = _END.fullmatch(text)
    if not text or match is None:
        return None
    letters, digits = match.groups()
    well = plausible_well(f"{letters or 'A'}{digits or '1'}")
    if not well:
        return None
    row, column = _place(well)
    return row if letters else None, column if digits else None


def _bounds(values: Sequence[int | None]) -> tuple[int, int]:
    first, last = values[0], values[-1]
    return (0, _ANY) if first is None or last is None else (first, last)


_ANY = 10**6


def _place(well: str) -> tuple[int, int]:
    row, column = split_well(well)
    return row_index(row), column - 1


def _nearest(wells: WellRange, known: Iterable[str]) -> list[str]:
    def distance(well: str) -> int:
        return sum(
            max(low - at, 0, at - high)
            for at, (low, high) in zip(_place(well), (wells.rows, wells.columns), strict=True)
        )

    return [well_name(*split_well(well)) for well in sorted(known, key=distance)[:_MOST_NEAR]]


def _number_ranges(option: str, text: str, *, first: int) -> tuple[NumberRange, ...]:
    allowed = f"give numbers from {first} or ranges of them, such as {first},{first + 2}-{first + 5}"
    ranges = []
    for item in _items(option, text, allowed):
        match = _NUMBERS.fullmatch(item)
        if match is None or int(match[1]) < first:
            raise InputError(f"{option} {item!r} is not understood: {allowed}.")
        found = NumberRange(int(match[1]), int(match[2] or match[1]))
        if found.first > found.last:
            raise InputError(f"{option} {item!r} runs backwards: give the lower number first.")
        ranges.append(found)
    return tuple(ranges)


def _is_in(number: int, ranges: tuple[NumberRange, ...]) -> bool:
    return not ranges or any(number in numbers for numbers in ranges)


def _require_numbers(
    option: str, what: str, ranges: tuple[NumberRange, ...], known: set[int], plate: str
) -> None:
    for numbers in ranges:
        if not any(number in numbers for number in known):
            asked = f"{numbers.first}" + (f"-{numbers.last}" if numbers.last > numbers.first else "")
            raise InputError(f"{option} {asked}: {plate} has no such {what}. It has {_listed(known)}.")


def _listed(numbers: Iterable[int]) -> str:
    """Formats numbers as ranges: ``{1, 2, 3, 7}`` → ``"1-3, 7"``."""
    runs = []
    for _, run in groupby(enumerate(sorted(numbers)), key=lambda one: one[1] - one[0]):
        members = [number for _, number in run]
        runs.append(str(members[0]) if len(members) == 1 else f"{members[0]}-{members[-1]}")
    more = [f"and {len(runs) - _MOST_LISTED} ranges more"] if len(runs) > _MOST_LISTED else []
    return ", ".join([*runs[:_MOST_LISTED], *more]) or "none"
