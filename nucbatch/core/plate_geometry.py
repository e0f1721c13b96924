"""Geometry of well plates: standard sizes, row letters and well names.

Every package that reads, writes, sorts or draws wells takes these rules from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from nucbatch.core.errors import InputError

PLATE_SIZES = ((2, 3), (3, 4), (4, 6), (6, 8), (8, 12), (16, 24), (32, 48))
"""(rows, columns) of the standard plates with 6, 12, 24, 48, 96, 384 and 1536 wells."""
MOST_ROWS, MOST_COLUMNS = PLATE_SIZES[-1]

_WELL = re.compile(r"^([A-Za-z]{1,2})0*([1-9][0-9]?)$")
_NUMBERED_WELL = re.compile(r"[Ww][0-9]{3,}")


def split_well(well: str) -> tuple[str, int]:
    """Splits a well name into row letters and column number.

    >>> split_well("b03"), split_well("AF48")
    (('B', 3), ('AF', 48))

    Raises:
        InputError: the text is not one or two letters followed by 1 to 99.
    """
    match = _WELL.match(well.strip())
    if match is None:
        raise InputError(
            f"{well!r} is no well name: one or two letters and a number from 1 to 99, as in B03."
        )
    return match[1].upper(), int(match[2])


def well_name(row: str, column: int) -> str:
    """Formats a well name in the one spelling used in all tables.

    >>> well_name("b", 3)
    'B03'
    """
    return f"{row.upper()}{column:02d}"


def plausible_well(text: str) -> str:
    """Normalises a well name (``"b3"`` → ``"B03"``); empty text if no standard plate has such a well.

    ``W0021`` is the running number of a well, not row W, so it is not a well name.
    """
    if _NUMBERED_WELL.fullmatch(text.strip()):
        return ""
    try:
        row, column = split_well(text)
    except InputError:
        return ""
    if row_index(row) >= MOST_ROWS or column > MOST_COLUMNS:
        return ""
    return well_name(row, column)


def row_index(row: str) -> int:
    """Converts row letters to an index from 0: A is 0, Z is 25, AA is 26, AF is 31."""
    index = 0
    for letter in row.upper():
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1


def row_letters(index: int) -> str:
    """Converts a row index from 0 to letters: 0 is A, 25 is Z, 26 is AA, 31 is AF."""
    letters, number = "", index + 1
    while number > 0:
        number, digit = divmod(number - 1, 26)
        letters = chr(ord("A") + digit) + letters
    return letters


def parse_row(text: str) -> str:
    """Converts a row written as letters or as a number from 1 to letters.

    >>> [parse_row(text) for text in ("C", "c", "3", "03")]
    ['C', 'C', 'C', 'C']
    """
    return row_letters(int(text) - 1) if text.isdecimal() else text.upper()


def plate_size(places: Iterable[tuple[int, int]], least_wells: int = 6) -> tuple[int, int]:
    """Returns (rows, columns) of the smallest standard plate that has all these wells.

    >>> plate_size([(1, 2)]), plate_size([(1, 2)], least_wells=96), plate_size([(40, 2)])
    ((2, 3), (8, 12), (41, 2))

    Args:
        places: (row from 0, column from 1) of each well; at least one.
        least_wells: smallest standard plate to consider.

    Returns:
        The size; just enough rows and columns where no standard plate is large enough.
    """
    rows, columns = (max(sides) for sides in zip(*places, strict=True))
    rows += 1
    fitting = (
        size
        for size in PLATE_SIZES
        if size[0] * size[1] >= least_wells and size[0] >= rows and size[1] >= columns
    )
    return next(fitting, (rows, columns))


def draw_plate(marks: Mapping[str, str], rows: int = 0, columns: int = 0) -> list[str]:
    """Draws a plate as lines of text, with one mark for each well and ``·`` for wells without one.

    >>> print(*draw_plate({"A01": "4", "B03": "!"}, 2, 3), sep="\\n")
         1  2  3
      A  4  ·  ·
      B  ·  ·  !

    Args:
        marks: one character by well; at least one.
        rows: rows of the plate; 0 for the smallest standard plate of at least 96 wells that has the wells.
        columns: columns of the plate; 0 as for rows.

    Returns:
        Lines of equal length. Plates of more than 24 columns are drawn without spaces, to fit a terminal.
    """
    placed = {}
    for well, mark in marks.items():
        row, column = split_well(well)
        placed[row_index(row), column] = mark
    height, width = plate_size(placed, least_wells=96)
    height, width = (rows or height, columns or width)
    height = max(height, *(row + 1 for row, _ in placed))
    width = max(width, *(column for _, column in placed))
    side = 3 if width <= 24 else 1
    numbers = [f"{column:>3}" if side == 3 else str(column % 10) for column in range(1, width + 1)]
    lines = ["   " + ("" if side == 3 else " ") + "".join(numbers)]
    for index in range(height):
        cells = "".join(f"{placed.get((index, column), '·'):>{side}}" for column in range(1, width + 1))
        lines.append(f"{row_letters(index):>3}" + ("" if side == 3 else " ") + cells)
    return lines
