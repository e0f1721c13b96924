"""Decides which parts of file names are the wells of a plate: one part (``B03``), or a row and a column.

The decision looks at all values together, because a single one is weak evidence: ``M1`` may be a mouse,
``E14`` an embryonic day, ``A/1`` a group and an animal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from string import ascii_letters, digits

from nucbatch.core.plate_geometry import MOST_COLUMNS, parse_row, plausible_well, row_index

_ROW_LETTER = re.compile(r"(?:row)?([A-Z]|A[A-F])", re.IGNORECASE)
_COLUMN_ZERO = re.compile(r"((?:[A-Z]|A[A-F])0{1,2})", re.IGNORECASE)
_REVERSED = re.compile(r"([0-9]{2})([A-P])")
_ROW_NUMBER = re.compile(r"(?:row|rw|r)([0-9]{1,2})", re.IGNORECASE)
_COLUMN_NUMBER = re.compile(r"(?:column|col|c)([0-9]{1,2})", re.IGNORECASE)
_ROW_WORDS, _COLUMN_WORDS = frozenset({"row", "r"}), frozenset({"column", "col", "c"})
_SMALL_PLATE_ROWS = "ABCDEFGH"
_ALSO_CHANNEL_OR_FIELD, _ALSO_DAY = "CF", "DE"
_MOST_COLUMNS_OF_ONE_ROW = 12
_FIRST_DAY = 3  # D1 or E1 to E3 is a well, E14 an embryonic day


def are_padded(written: set[str]) -> bool:
    """Returns whether all wells are written with as many digits, as ``B03`` or ``B003``."""
    numbers = [text.lstrip(ascii_letters) for text in written]
    lengths = {len(number) for number in numbers}
    return lengths in ({2}, {3}) and any(number[0] == "0" for number in numbers)


def counts_columns_from_zero(written: Iterable[str]) -> bool:
    """Returns whether a text like ``A00`` is among wells: ``A01`` is then the second column."""
    return any(map(_COLUMN_ZERO.fullmatch, written))


def are_reversed_wells(written: set[str]) -> bool:
    """Returns whether texts like ``03B`` are the columns and rows of a block of wells."""
    matches = [match for text in written if (match := _REVERSED.fullmatch(text))]
    places = [(match[2], int(match[1])) for match in matches]
    if len(matches) < len(written) or not all(0 < column <= MOST_COLUMNS for _, column in places):
        return False
    rows, columns = {row for row, _ in places}, {column for _, column in places}
    return len(rows) >= 2 and len(columns) >= 2 and _fill_a_block(places)


def are_wells(written: set[str], other_roles: set[str], *, first: bool = False, whole: bool = False) -> bool:
    """Returns whether texts like ``B03`` are wells of a plate rather than numbered samples.

    Args:
        written: the texts.
        other_roles: roles of the other parts of the names.
        first: the texts begin the names.
        whole: the texts are the whole names.
    """
    from_zero = counts_columns_from_zero(written)
    places = [(text.rstrip(digits).upper(), int(text.lstrip(ascii_letters)) + from_zero) for text in written]
    rows = {row for row, _ in places}
    columns = {column for _, column in places}
    padded = are_padded(written)
    capital = all(text[0].isupper() for text in written)
    if min(row_index(row) for row in rows) > row_index("P"):
        return False  # a plate with such rows also has rows A to P
    if len(rows) == 1:
        if from_zero or any(len(text.lstrip(ascii_letters)) > 2 for text in written):
            return False  # A001 counts samples, E00 loops
        return _are_one_row(next(iter(rows)), columns, padded, capital, first)
    if padded:
        return True
    full = 4 * len(written) >= 3 * len(rows) * len(columns)
    if full and len(columns) >= 3 and len(written) >= 6:
        return True
    if first and capital and len(written) >= 4 and _fill_a_block(places):
        return True
    return (whole and capital and len(written) >= 3) or (len(columns) >= 2 and bool(other_roles))


def _are_one_row(row: str, columns: set[int], padded: bool, capital: bool, first: bool) -> bool:
    if row not in _SMALL_PLATE_ROWS or max(columns) > _MOST_COLUMNS_OF_ONE_ROW:
        return False
    if row in _ALSO_CHANNEL_OR_FIELD and not (capital and first and len(columns) >= 2):
        return False
    if padded:
        return True
    if row in _ALSO_DAY and not (capital and min(columns) <= _FIRST_DAY):
        return False
    counted = capital and len(columns) >= 3 and columns == set(range(1, len(columns) + 1))
    return (first and len(columns) >= 2) or counted


def _fill_a_block(places: Sequence[tuple[str, int]]) -> bool:
    """Returns whether at least 3 of 4 wells of the rectangle around the places are among them."""
    rows = [row_index(row) for row, _ in places]
    columns = {column for _, column in places}
    return 4 * len(places) >= 3 * (max(rows) - min(rows) + 1) * len(columns)


def row_and_column(
    separators: Sequence[str], columns: Sequence[tuple[str, ...]], roles: Mapping[int, str]
) -> tuple[int, int] | None:
    """Returns the indices of the two parts that are the row and the column of the wells; None if none are.

    Folders (``B/3``, ``Row_B/Col_3``, ``r02/c03``) are wells. In a file name, ``r02c03`` may also be the tile
    of a mosaic: it counts if it begins the name and has two digits, or if the name has a site too. ``B-3``
    and ``B_3`` may be a group and a sample: they must fill a block of a plate.

    Args:
        separators: text before each part.
        columns: values of each part.
        roles: roles of the parts that are known so far.
    """
    depth = [sum("/" in text for text in separators[: i + 1]) for i in range(len(separators))]
    for i, written in enumerate(columns):
        lettered = all(map(_ROW_LETTER.fullmatch, written))
        if not lettered and not _counts(columns, i, _ROW_NUMBER, _ROW_WORDS):
            continue
        named = not lettered or _is_word(columns, i - 1, _ROW_WORDS) or len(written[0]) > len("AF")
        near = (i + 1, i + 2) if lettered else (i + 1, i + 2, i - 1, i - 2)
        for j in near:
            if not 0 <= j < len(columns):
                continue
            worded = _counts(columns, j, _COLUMN_NUMBER, _COLUMN_WORDS)
            plain = lettered and j == i + 1 and all(map(_is_column, columns[j]))
            if not ((worded and (named or lettered)) or plain):
                continue
            from_zero = any(int(_number_of(text)) == 0 for text in columns[j])
            wells = {
                (parse_row(row), int(column) + from_zero)
                for row, column in zip(map(_number_of, written), map(_number_of, columns[j]), strict=True)
            }
            if not all(plausible_well(f"{row}{column}") for row, column in wells):
                continue
            last = max(i, j)
            if depth[last] < depth[-1]:
                if _are_folders_of_wells(wells, named and worded):
                    return i, j
            elif depth[i] < depth[-1]:
                if len({row for row, _ in wells}) >= 3 and _fill_a_block(sorted(wells)):
                    return i, j
            elif named and worded and lettered:
                if len(wells) >= 2:
                    return i, j
            elif named and worded:
                if _is_numbered_well(separators, columns, roles, i, j, first=depth.index(depth[-1])):
                    return i, j
            elif _are_spelt_wells(wells, separators[j], columns[j]):
                return i, j
    return None


def _counts(
    columns: Sequence[tuple[str, ...]], i: int, joined: re.Pattern[str], words: frozenset[str]
) -> bool:
    """Returns whether a part counts rows or columns: ``r01``, or ``01`` after the word ``row``."""
    if all(map(joined.fullmatch, columns[i])):
        return len({text.rstrip("0123456789").casefold() for text in columns[i]}) == 1
    return all(text.isdecimal() and len(text) <= 2 for text in columns[i]) and _is_word(columns, i - 1, words)


def _is_word(columns: Sequence[tuple[str, ...]], i: int, words: frozenset[str]) -> bool:
    return i >= 0 and len({text.casefold() for text in columns[i]}) == 1 and columns[i][0].casefold() in words


def _is_column(text: str) -> bool:
    return text.isdecimal() and len(text) <= 2 and int(text) <= MOST_COLUMNS


def _number_of(text: str) -> str:
    """Returns the number of ``r01`` or ``01``, and the letter of ``A`` or ``RowA``."""
    letter = _ROW_LETTER.fullmatch(text)
    return letter[1] if letter else text.lstrip(ascii_letters)


def _are_folders_of_wells(wells: set[tuple[str, int]], in_words: bool) -> bool:
    rows = {row for row, _ in wells}
    if len(wells) < 2:
        return False
    if in_words or len(rows) > 1:
        return in_words or min(map(row_index, rows)) <= row_index("P")
    return rows <= set(_SMALL_PLATE_ROWS) and max(column for _, column in wells) <= _MOST_COLUMNS_OF_ONE_ROW


def _is_numbered_well(
    separators: Sequence[str],
    columns: Sequence[tuple[str, ...]],
    roles: Mapping[int, str],
    i: int,
    j: int,
    *,
    first: int,
) -> bool:
    """Returns whether a row and a column with their words or letters, in a file name, are a well."""
    varying = {role for k, role in roles.items() if k not in (i, j) and len(set(columns[k])) > 1}
    if "site" in varying:
        return True
    joined = abs(i - j) == 1 and separators[max(i, j)] == ""
    padded = all(len(_number_of(text)) == 2 for k in (i, j) for text in columns[k])
    return joined and padded and (min(i, j) == first or bool(varying))


def _are_spelt_wells(wells: set[tuple[str, int]], separator: str, written: Sequence[str]) -> bool:
    """Returns whether a letter and a number apart, in a file name, are wells: ``B - 3``, ``B_03``."""
    rows, columns = {row for row, _ in wells}, {column for _, column in wells}
    certain = separator.strip() == "-" or all(len(text) == 2 for text in written)
    fewest_rows, fewest_columns = (2, 2) if certain else (3, 3)
    return len(rows) >= fewest_rows and len(columns) >= fewest_columns and _fill_a_block(sorted(wells))
