"""Parses file names with a regex whose named groups are well, site, channel, z-step and time point.

The regex is searched in the path relative to the input, with ``/`` between folders. Groups:

- the well: ``well`` (``B03``), or ``row`` (letters or a number) with ``column``, or ``well_of_96`` for a
  running number, counted row by row (also ``well_of_6`` to ``well_of_1536``)
- ``site`` or ``field``, ``z`` and ``t``: numbers, from 0 or 1
- ``channel`` and ``plate``: any text

Without a well each ``site`` (any text) is an image of its own. Rows, columns and well numbers are counted
from 0 if any name has a row, column or well 0, else from 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from nucbatch.core.errors import InputError
from nucbatch.core.plate_geometry import PLATE_SIZES, parse_row, plausible_well, row_letters, well_name

NUMBERED = {f"well_of_{rows * columns}": columns for rows, columns in PLATE_SIZES}
"""Groups for running numbers of wells, with the number of columns of their plates."""

GROUPS = ("well", "row", "column", *NUMBERED, "site", "field", "channel", "z", "t", "plate")


class FirstNumbers(NamedTuple):
    """Number from which an instrument counts each part; also the value of a part that a name lacks."""

    site: int = 1
    z: int = 1
    t: int = 1


FROM_ONE = FirstNumbers()


@dataclass(frozen=True, slots=True)
class PatternName:
    """Parts of a path; numbers are as written.

    Attributes:
        well: normalised well name; empty for names without a well.
        site: the first number for names without a well.
        channel: empty if absent.
        z: z-step.
        t: time point.
        plate: empty if absent.
        label: written site of a name without a well.
    """

    well: str
    site: int
    channel: str
    z: int
    t: int
    plate: str
    label: str = ""


def compiled(pattern: str) -> re.Pattern[str]:
    """Compiles and checks the user's regex.

    Raises:
        InputError: not a regex, no well and no site, or unknown group names.
    """
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise InputError(f"--pattern {pattern!r} is no regular expression: {error}.") from error
    groups = set(regex.groupindex)
    unknown = sorted(groups - set(GROUPS))
    if unknown:
        raise InputError(
            f"--pattern has unknown groups {', '.join(unknown)}: allowed are {', '.join(GROUPS)}."
        )
    wells = [name for name in ("well", *NUMBERED) if name in groups]
    wells += ["row and column"] if {"row", "column"} <= groups else []
    if len(wells) > 1:
        raise InputError(f"--pattern has two groups for the well, {' and '.join(wells)}: leave one out.")
    if {"site", "field"} <= groups:
        raise InputError("--pattern has the groups site and field, which mean the same: leave one out.")
    if not wells and groups & {"row", "column"}:
        raise InputError(
            f"--pattern {pattern!r} has a row or a column, but not both: add the other, as in "
            "(?P<row>[A-P])(?P<column>[0-9]+)."
        )
    if not wells and not groups & {"site", "field"}:
        raise InputError(
            f"--pattern {pattern!r} does not say which image a file belongs to: add (?P<well>[A-P][0-9]+), "
            "or (?P<row>...) and (?P<column>...), or for images without wells (?P<site>...). "
            f"Groups: {', '.join(GROUPS)}."
        )
    return regex


def counts_from_zero(matches: Iterable[re.Match[str]]) -> bool:
    """Returns whether any name has a row, a column or a well number 0."""
    return any(
        value and value.isascii() and value.isdecimal() and int(value[:9]) == 0
        for match in matches
        for name, value in match.groupdict().items()
        if name in ("row", "column") or name in NUMBERED
    )


def parse(regex: re.Pattern[str], path: str, *, from_zero: bool = False) -> PatternName | str | None:
    """Parses a path: its parts, None if the regex does not match, or a reason if the match is invalid."""
    match = regex.search(path)
    return None if match is None else read_match(match, from_zero=from_zero)


def read_match(
    match: re.Match[str], *, from_zero: bool = False, first: FirstNumbers = FROM_ONE
) -> PatternName | str:
    """Interprets a match: its parts, or the reason why they are invalid.

    Args:
        match: match of the user's regex.
        from_zero: rows, columns and well numbers are counted from 0.
        first: values of parts that the name lacks.
    """
    parts = {name: value for name, value in match.groupdict().items() if value is not None}
    groups = match.re.groupindex
    has_wells = "well" in groups or "row" in groups or any(name in groups for name in NUMBERED)
    well, fault = _well(parts, from_zero) if has_wells else ("", "")
    if fault:
        return fault
    site = (parts.get("site") or parts.get("field") or "").strip()
    if not has_wells and not site:
        return "its site is empty"
    numbers: dict[str, int] = {}
    for name, value in (
        ("site", site if has_wells else ""),
        ("z", parts.get("z")),
        ("t", parts.get("t")),
    ):
        if value and not (value.isascii() and value.isdecimal() and len(value) <= 9):
            return f"{name} {value!r} is no number"
        if value:
            numbers[name] = int(value)
    return PatternName(
        well,
        numbers.get("site", first.site),
        parts.get("channel", "").strip(),
        numbers.get("z", first.z),
        numbers.get("t", first.t),
        parts.get("plate", ""),
        "" if has_wells else site,
    )


def _well(parts: dict[str, str], from_zero: bool) -> tuple[str, str]:
    """Returns (well, "") or ("", reason why there is none)."""
    for group, columns in NUMBERED.items():
        if group in parts:
            return _numbered_well(parts[group], group, columns, from_zero)
    if "well" in parts:
        text = parts["well"]
        if text.lstrip("Ww").isdecimal() and not plausible_well(text):
            return "", (
                f"the well {text!r} is a number: name the group well_of_96 (or well_of_24, well_of_384, ...) "
                "after the wells of the plate, (?P<well_of_96>[0-9]+)"
            )
    else:
        row, column = parts.get("row", ""), parts.get("column", "")
        if from_zero:
            row, column = (str(int(t) + 1) if t.isascii() and t.isdecimal() else t for t in (row, column))
        text = parse_row(row) + column
    well = plausible_well(text)
    return (well, "") if well else ("", f"{text!r} is no well (A01 to AF48)")


def _numbered_well(text: str, group: str, columns: int, from_zero: bool) -> tuple[str, str]:
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        return "", f"the well {text!r} is no number, as the group {group} says"
    index = int(text) - (0 if from_zero else 1)
    wells = int(group.rpartition("_")[2])
    if not 0 <= index < wells:
        return "", f"well {text} is not on a plate of {wells} wells: name the group after a larger plate"
    row, column = divmod(index, columns)
    return well_name(row_letters(row), column + 1), ""
