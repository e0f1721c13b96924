"""Finds wells, channels and z-steps in file names by comparing the names of a folder.

A single name is weak evidence: ``M1_control`` may be a mouse, ``B03`` a sample. Names are therefore split
into parts, and names with the same sequence of parts form a table whose columns are judged as a whole:

- A column of wells spans rows and columns of a plate: two rows written with leading zeros, a filled grid, or
  wells beside a column of sites, channels, z-steps or times.
- A column of channels or z-steps divides images: names differ in this column only.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import ascii_letters

from nucbatch.core.plate_geometry import plausible_well, row_index, split_well
from nucbatch.readers.layouts.stains import is_stain

_SUFFIX = re.compile(r"(?:\.ome)?\.[A-Za-z0-9]{2,4}$", re.IGNORECASE)
_PART = re.compile(r"[^\W_]+")
_RUN = re.compile(r"(?:[A-Za-z]{1,3}[0-9]+){2,}")
_LETTERS_AND_NUMBER = re.compile(r"([A-Za-z]+)([0-9]+)")
_WELL = re.compile(r"(?:[A-Z]|A[A-F])[0-9]{1,2}", re.IGNORECASE)
_WELL_WITH_WORD = re.compile(r"well((?:[A-Z]|A[A-F])[0-9]{1,2})", re.IGNORECASE)

_WORDS = {
    "channel": "c ch chan channel w wavelength",
    "z": "z zs zstep zplane zslice plane slice",
    "t": "t tp time timepoint frame",
    "site": "s f p m xy pos position point site field fld fov tile scene series",
    "well": "well",
}
_ROLE = {word: role for role, words in _WORDS.items() for word in words.split()}
_FEWEST_PER_REST = 1.5  # mean number of names that differ in one column only


@dataclass(frozen=True, slots=True)
class NameTable:
    """Names with the same sequence of parts.

    Attributes:
        paths: the paths.
        rows: parts of each name.
        separators: text before each part.
        roles: meaning of a column by its index.
    """

    paths: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    separators: tuple[str, ...]
    roles: dict[int, str]

    @property
    def holds(self) -> tuple[str, ...]:
        """Evidence for a plate in these names: ``"a well"``, ``"a channel"``, ``"a z-step"``."""
        said = {"well": "a well", "channel": "a channel", "z": "a z-step"}
        signs = [role for i, role in sorted(self.roles.items()) if self._is_sign(i, role)]
        return tuple(text for role, text in said.items() if role in signs)

    def column(self, index: int) -> list[str]:
        """Returns the values of one part."""
        return [row[index] for row in self.rows]

    def varies(self, index: int) -> bool:
        """Returns whether a part differs between names."""
        return len({row[index] for row in self.rows}) > 1

    def _is_sign(self, index: int, role: str) -> bool:
        if role == "well":
            return True
        if role not in ("channel", "z") or not self.varies(index):
            return False
        rests = {row[:index] + row[index + 1 :] for row in self.rows}
        bare = _letters(self.column(index)) in ("c", "w")  # could also be a cell, a case or a week
        return len(self.rows) >= _FEWEST_PER_REST * len(rests) and (not bare or len(rests) > 1)


def name_tables(paths: Iterable[str]) -> list[NameTable]:
    """Groups paths by their sequences of parts, the largest table first."""
    groups: dict[tuple[tuple[str, bool], ...], list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
    for path in paths:
        separators, parts = split(path)
        shape = tuple((sep, part[0].isdecimal()) for sep, part in zip(separators, parts, strict=True))
        groups[shape].append((path, parts))
    tables = []
    for shape, members in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        rows = tuple(parts for _, parts in members)
        separators = tuple(sep for sep, _ in shape)
        tables.append(NameTable(tuple(path for path, _ in members), rows, separators, _roles(rows)))
    return tables


def split(path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Splits a path without its suffix into (text before each part, parts).

    >>> split("exp 1/B03f01_DAPI.ome.tif")
    (('', ' ', '/', '', '_'), ('exp', '1', 'B03', 'f01', 'DAPI'))
    """
    separators: list[str] = []
    parts: list[str] = []
    end = 0
    stem = _SUFFIX.sub("", path)
    for match in _PART.finditer(stem):
        separator = stem[end : match.start()]
        end = match.end()
        text = match[0]
        pieces = [m[0] for m in _LETTERS_AND_NUMBER.finditer(text)] if _RUN.fullmatch(text) else [text]
        separators += [separator, *[""] * (len(pieces) - 1)]
        parts += pieces
    return tuple(separators), tuple(parts)


def _roles(rows: Sequence[tuple[str, ...]]) -> dict[int, str]:
    columns = list(zip(*rows, strict=True))
    roles: dict[int, str] = {}
    for i, values in enumerate(columns):
        role = _role(columns, i, values)
        if role:
            roles[i] = role
    candidates = [i for i, values in enumerate(columns) if all(map(_is_well, set(values)))]
    for i in sorted(candidates, key=lambda i: -len({value[0].upper() for value in columns[i]})):
        others = {role for j, role in roles.items() if j != i}
        if are_wells(set(columns[i]), others):
            roles[i] = "well"
            break
    if "well" in roles.values():  # only one column can be the well: the one with most wells
        wells = [i for i, role in roles.items() if role == "well"]
        best = max(wells, key=lambda i: len(set(columns[i])))
        roles = {i: role for i, role in roles.items() if role != "well" or i == best}
    return roles


def _role(columns: Sequence[tuple[str, ...]], i: int, values: tuple[str, ...]) -> str:
    """Returns the role of a column by the letters or the word before its numbers, or by stain names."""
    if all(_WELL_WITH_WORD.fullmatch(value) for value in set(values)):
        return "well"
    before = columns[i - 1][0].casefold() if i and len(set(columns[i - 1])) == 1 else ""
    if all(value.isdecimal() for value in values):
        role = _ROLE.get(before, "")
        return role if role != "well" else ""
    if before == "well" and all(map(_is_well, set(values))):
        return "well"
    letters = _letters(values)
    if letters:
        if letters in ("c", "col", "column", "y") and i and _letters(columns[i - 1]) in ("r", "row", "x"):
            return ""  # position of a tile in a mosaic: r01c02
        return _ROLE.get(letters, "") if letters != "well" else ""
    counts = Counter(values)
    stained = sum(count for value, count in counts.items() if is_stain(value))
    return "channel" if 2 * stained >= len(values) else ""


def _letters(values: Sequence[str]) -> str:
    """Returns the letters that precede the number in all values, in lower case; empty if they differ."""
    found = set()
    for value in set(values):
        match = _LETTERS_AND_NUMBER.fullmatch(value)
        found.add(match[1].casefold() if match else "")
    return found.pop() if len(found) == 1 else ""


def _is_well(text: str) -> bool:
    return _WELL.fullmatch(text) is not None and bool(plausible_well(text))


def are_padded(written: set[str]) -> bool:
    """Returns whether all wells are written with two digits, as ``B03``."""
    numbers = [text.lstrip(ascii_letters) for text in written]
    return all(len(number) == 2 for number in numbers) and any(number[0] == "0" for number in numbers)


def are_wells(written: set[str], other_roles: set[str]) -> bool:
    """Returns whether texts like ``B03`` are wells of a plate rather than numbered samples."""
    places = [split_well(text) for text in written]
    rows = {row for row, _ in places}
    columns = {column for _, column in places}
    padded = are_padded(written)
    if min(row_index(row) for row in rows) > row_index("P"):
        return False  # a plate with such rows also has rows A to P
    if len(rows) == 1:
        (row,) = rows
        return padded and row in "ABDEGH" and max(columns) <= 12
    if padded:
        return True
    grid = len(columns) >= 3 and len(written) >= 6 and 4 * len(written) >= 3 * len(rows) * len(columns)
    return grid or (len(columns) >= 2 and bool(other_roles))
