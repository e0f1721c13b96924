"""Finds wells, channels and z-steps in file names by comparing the names of a folder.

A single name is weak evidence: ``M1_control`` may be a mouse, ``B03`` a sample. Names are therefore split
into parts, and names with the same sequence of parts form a table whose columns are judged as a whole:

- :mod:`nucbatch.readers.layouts.well_columns` decides whether a column holds wells.
- A column of channels or z-steps divides images: names differ in this column only.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nucbatch.core.plate_geometry import plausible_well
from nucbatch.readers.layouts.stains import is_stain
from nucbatch.readers.layouts.well_columns import (
    are_reversed_wells,
    are_wells,
    counts_columns_from_zero,
    row_and_column,
)

_SUFFIX = re.compile(r"(?:\.ome)?\.[A-Za-z0-9]{2,4}$", re.IGNORECASE)
_PART = re.compile(r"[^\W_]+")
_RUN = re.compile(r"(?:[A-Za-z]{1,3}[0-9]+){2,}")
_LETTERS_AND_NUMBER = re.compile(r"([A-Za-z]+)([0-9]+)")
_WELL = re.compile(r"(?:[A-Z]|A[A-F])(?:[0-9]{1,2}|0[0-9]{2})", re.IGNORECASE)
_WELL_WITH_WORD = re.compile(r"well((?:[A-Z]|A[A-F])[0-9]{1,2})", re.IGNORECASE)

_WORDS = {
    "channel": "c ch chan channel w wavelength",
    "z": "z zs zstep zplane zslice plane slice",
    "t": "t tp sk time timepoint frame",
    "site": "s f p m xy pos position point site field fld fov tile scene series",
    "well": "well",
}
_ROLE = {word: role for role, words in _WORDS.items() for word in words.split()}
_SIGNS = {
    "well": "a well",
    "well number": "a well",
    "row": "a well",
    "column and row": "a well",
    "channel": "a channel",
    "z": "a z-step",
}
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
        signs = [role for i, role in sorted(self.roles.items()) if self._is_sign(i, role)]
        return tuple(dict.fromkeys(text for role, text in _SIGNS.items() if role in signs))

    def column(self, index: int) -> list[str]:
        """Returns the values of one part."""
        return [row[index] for row in self.rows]

    def varies(self, index: int) -> bool:
        """Returns whether a part differs between names."""
        return len({row[index] for row in self.rows}) > 1

    def folder_parts(self) -> range:
        """Returns the indices of the parts that belong to folders."""
        return range(max((i for i, text in enumerate(self.separators) if "/" in text), default=0))

    def _is_sign(self, index: int, role: str) -> bool:
        if role in ("well", "row", "column and row"):
            return True
        if role == "well number":
            return self.varies(index)
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
        tables.append(
            NameTable(tuple(path for path, _ in members), rows, separators, _roles(separators, rows))
        )
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


def _roles(separators: Sequence[str], rows: Sequence[tuple[str, ...]]) -> dict[int, str]:
    columns = list(zip(*rows, strict=True))
    roles: dict[int, str] = {}
    for i, values in enumerate(columns):
        role = _role(columns, i, values)
        inside_folder = any("/" in text for text in separators[i + 1 :])
        if role and not (inside_folder and role == "site" and len(_letters(values)) == 1):  # P1 is a plate
            roles[i] = role
    fields = [i for i, role in roles.items() if role == "site" and _letters(columns[i]) == "f"]
    planes = [i for i, role in roles.items() if role == "site" and _letters(columns[i]) == "p"]
    if fields:  # f01p02: field and plane
        roles |= dict.fromkeys(planes, "z")
    candidates = [i for i, values in enumerate(columns) if all(map(_is_well, set(values)))]
    for i in sorted(candidates, key=lambda i: -len({value[0].upper() for value in columns[i]})):
        others = {role for j, role in roles.items() if j != i}
        first = i == 0 or separators[i].endswith("/")
        whole = first and i == len(columns) - 1
        if are_wells(set(columns[i]), others, first=first, whole=whole):
            roles[i] = "well"
            break
    if "well" in roles.values():  # only one column can be the well: the one with most wells
        wells = [i for i, role in roles.items() if role == "well"]
        best = max(wells, key=lambda i: len(set(columns[i])))
        return {i: role for i, role in roles.items() if role != "well" or i == best}
    for i, values in enumerate(columns):
        if (i == 0 or separators[i].endswith("/")) and are_reversed_wells(set(values)):
            return roles | {i: "column and row"}
    pair = row_and_column(separators, columns, roles)
    if pair:
        roles[pair[0]], roles[pair[1]] = "row", "column"
    return roles


def _role(columns: Sequence[tuple[str, ...]], i: int, values: tuple[str, ...]) -> str:
    """Returns the role of a column by the letters or the word before its numbers, or by stain names."""
    if all(_WELL_WITH_WORD.fullmatch(value) for value in set(values)):
        return "well"
    before = columns[i - 1][0].casefold() if i and len(set(columns[i - 1])) == 1 else ""
    if all(value.isdecimal() for value in values):
        role = _ROLE.get(before, "")
        return role if role != "well" else "well number"
    if before == "well" and all(map(_is_well, set(values))):
        return "well"
    letters = _letters(values)
    if letters:
        beside = {_letters(columns[j]) for j in (i - 1, i + 1) if 0 <= j < len(columns)}
        if letters in ("c", "col", "column", "y") and not beside.isdisjoint(("r", "row", "x")):
            return ""  # a well, or the position of a tile in a mosaic: r01c02
        return _ROLE.get(letters, "") if letters != "well" else "well number"
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
    if _WELL.fullmatch(text) is None:
        return False
    return bool(plausible_well(text)) or counts_columns_from_zero([text])
