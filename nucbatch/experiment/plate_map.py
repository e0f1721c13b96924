"""Reads plate maps: grids with rows A.. down and columns 1.. across, one block of values for each variable.

Blocks may lie below or beside one another. A block's variable is named in its upper left cell, or in the row
above it. Cells outside the blocks are titles and notes; they are returned, so that nothing is lost unseen.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import count, takewhile

from nucbatch.core.errors import InputError
from nucbatch.core.plate_geometry import plausible_well, row_index, row_letters

Cells = Sequence[Sequence[str]]
"""Stripped texts by row and column; rows may differ in length."""


@dataclass(frozen=True, slots=True)
class PlateMap:
    """Values by well of each variable, and the texts outside the blocks."""

    variables: dict[str, dict[str, str]]
    outside: tuple[str, ...]


def read_plate_map(cells: Cells, name: str) -> PlateMap | None:
    """Reads the blocks of a plate map; None if there is no block.

    Args:
        cells: the sheet.
        name: the file's name, for messages; without its suffix it names the variable of a lone block.

    Raises:
        InputError: a block has no name, or two blocks have the same.
    """
    variables: dict[str, dict[str, str]] = {}
    used: set[tuple[int, int]] = set()
    corners = [(row, column) for row in range(len(cells)) for column in range(len(cells[row]))]
    for corner in corners:
        block = None if corner in used else _block(cells, *corner)
        if block is None:
            continue
        top, left, rows, columns = block
        variable, place = _title(cells, top, left, len(columns), used)
        if not variable and not variables:
            variable = name.rsplit(".", 1)[0]
        if not variable:
            raise InputError(
                f"{name}: the block at row {top + 1} has no name. Write the variable's name into the cell "
                "left of its column numbers."
            )
        if variable in variables:
            raise InputError(f"{name} has two blocks named {variable!r}: name each after its own variable.")
        used |= {place, (top, left)}
        used |= {
            (top + down, left + across) for down in range(len(rows) + 1) for across in range(len(columns) + 1)
        }
        variables[variable] = {
            plausible_well(f"{row}{column}"): _cell(cells, top + down, left + across)
            for down, row in enumerate(rows, start=1)
            for across, column in enumerate(columns, start=1)
        }
    outside = [_cell(cells, *corner) for corner in corners if corner not in used]
    return PlateMap(variables, tuple(filter(None, outside))) if variables else None


def _block(cells: Cells, top: int, left: int) -> tuple[int, int, list[str], list[int]] | None:
    """Returns (top, left, row letters, column numbers) if the upper left cell of a block is here."""
    first_column, first_row = _cell(cells, top, left + 1), _cell(cells, top + 1, left).upper()
    if not plausible_well(f"A{first_column}") or not plausible_well(f"{first_row}1"):
        return None
    number, index = int(first_column), row_index(first_row)
    if _is_continued(cells, top, left, number, index):
        return None
    columns = list(
        takewhile(
            lambda column: _is_column(_cell(cells, top, left + 1 + column - number), column),
            count(number),
        )
    )
    rows = list(
        takewhile(
            lambda row: _cell(cells, top + 1 + row_index(row) - index, left).upper() == row,
            map(row_letters, count(index)),
        )
    )
    return (
        (top, left, rows, columns)
        if len(columns) > 1 and plausible_well(f"{rows[-1]}{columns[-1]}")
        else None
    )


def _is_continued(cells: Cells, top: int, left: int, column: int, row: int) -> bool:
    """Whether column numbers go on to the left or row letters upward, so that the block began before."""
    return _cell(cells, top, left) == str(column - 1) or (
        row > 0 and _cell(cells, top, left).upper() == row_letters(row - 1)
    )


def _is_column(text: str, column: int) -> bool:
    """Whether a cell is the number of this column, as ``3`` or ``03``."""
    return plausible_well(f"A{text}") == f"A{column:02d}"


def _title(
    cells: Cells, top: int, left: int, width: int, used: Container[tuple[int, int]]
) -> tuple[str, tuple[int, int]]:
    """Returns the name of a block and where it stands; empty if it has none."""
    if corner := _cell(cells, top, left):
        return corner, (top, left)
    above = [(top - 1, left + across) for across in range(width + 1) if (top - 1, left + across) not in used]
    return next(((text, place) for place in above if (text := _cell(cells, *place))), ("", (top, left)))


def _cell(cells: Cells, row: int, column: int) -> str:
    inside = 0 <= row < len(cells) and 0 <= column < len(cells[row])
    return cells[row][column] if inside else ""
