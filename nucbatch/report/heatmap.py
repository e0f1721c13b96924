"""The panel of the plate: a heat map of any measure of the wells.

Drawn here with the number of nuclei per counted field, which does not depend on how many fields of a well
failed; the page's script recolours it for another measure. A counted well is coloured, a count of zero is an
empty frame with a 0, a failed well has a cross, and a well without images is hatched. A corner marks wells in
which some fields were not counted. Time points are small maps side by side with a common colour range,
because their counts must not be added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from nucbatch.core.plate_geometry import (
    PLATE_SIZES,
    plate_size,
    row_index,
    row_letters,
    split_well,
    well_name,
)
from nucbatch.report.measures import LIMITS, colour_range, shown_measures
from nucbatch.report.panel import Panel, fill, json_block, number, packed
from nucbatch.report.run_data import RunData
from nucbatch.report.thumbnails import thumbnails
from nucbatch.report.viridis import colour
from nucbatch.report.wells import Well, WellState

MOST_TIMES = 12  # maps of one plate; every cell of each has a title, and a page must stay readable
_WIDTH, _LEFT, _TOP = 1120.0, 34.0, 26.0
_UNCOUNTED = {
    WellState.PENDING: "pending",
    WellState.NOT_SELECTED: "unselected",
    WellState.FAILED: "failed",
}
_SHADES = 64
_DARK_INK_FROM = 0.55  # share of the colours from which black text reads better than white
_LONGEST_VALUE = 6  # characters, as in "0.1234"
_TEXT_SHARE = 0.62  # a digit's width over the font's size
_SMALLEST_FONT = 8.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One well's rectangle in the drawing, in SVG units.

    ``kind`` is a class of the style sheet. ``index``: number of the well among those drawn; -1 without
    images.
    """

    x: float
    y: float
    row: int
    column: int
    index: int
    kind: str
    colour: str
    ink: str
    value: str
    title: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """Sizes and colours that all cells of a plate's maps share; lengths in SVG units."""

    pitch: float
    height: float
    low: float
    high: float
    printed: bool


def render(data: RunData) -> Markup:
    """One map per plate and time point, and the measures for the script; empty if the input is no plate."""
    if not data.wells:
        return Markup("")
    times = sorted({well.t for well in data.wells})
    drawn = drawn_wells(data)
    wells = [well for well, is_drawn in zip(data.wells, drawn, strict=True) if is_drawn]
    low, high = colour_range(np.array([well.per_field for well in data.wells], np.float64))
    plates = [
        _drawing(list(indexed), data.plate_size, low, high, first=number == 0)
        for number, (_, indexed) in enumerate(groupby(enumerate(wells), key=lambda item: item[1].plate))
    ]
    return fill(
        "heatmap.html",
        plates=plates,
        times=len(times),
        low=low,
        high=high,
        stops=[(step * 10, colour(step / 10)) for step in range(11)],
        pending=any(well.state is WellState.PENDING for well in data.wells),
        not_selected=any(well.state is WellState.NOT_SELECTED for well in data.wells),
        limits=LIMITS,
        script_data=json_block("plate", _for_script(data, wells, drawn)),
        fields_data=json_block("fields", thumbnails(data, wells)),
    )


def drawn_wells(data: RunData) -> NDArray[np.bool_]:
    """Whether each well (W,) is drawn; of many time points only some are."""
    times = [well.t for well in data.wells]
    return np.isin(times, shown_times(times))


def _for_script(data: RunData, wells: Sequence[Well], drawn: NDArray[np.bool_]) -> dict[str, object]:
    """The values of all measures of the wells that are drawn, and what else the script says about a well."""
    measures, left_out = shown_measures(data)
    shown = data.experiment.get("shown_measures") or []
    return {
        "dark_ink_from": _DARK_INK_FROM,
        "colours": [colour(step / (_SHADES - 1)) for step in range(_SHADES)],
        "plates": [name for name, _ in groupby(well.plate for well in wells)],
        "plate": _ranks([well.plate for well in wells]),
        "wells": [well.name for well in wells],
        "times": [well.t for well in wells],
        "states": [well.state.value for well in wells],
        "fields": [[well.done, well.failed, well.pending, well.not_selected] for well in wells],
        "left_out": left_out,
        "first": next((at for at, one in enumerate(measures) if one.name in shown), 0),
        "measures": [
            {
                "name": measure.name,
                "label": measure.label,
                "group": measure.group,
                "limits": measure.limits,
                "values": packed(measure.values[drawn], "f4"),
            }
            for measure in measures
        ],
    }


def _ranks(names: Sequence[str]) -> list[int]:
    """The number of each name in order of first appearance."""
    order = {name: rank for rank, name in enumerate(dict.fromkeys(names))}
    return [order[name] for name in names]


def shown_times(times: Sequence[int], most: int = MOST_TIMES) -> list[int]:
    """At most ``most`` of the time points, in order and evenly spaced, including the first and the last."""
    ordered = sorted(set(times))
    if len(ordered) <= most:
        return ordered
    return [ordered[round(place * (len(ordered) - 1) / (most - 1))] for place in range(most)]


def drawn_size(places: Sequence[tuple[int, int]], recorded: tuple[int, int]) -> tuple[int, int]:
    """Returns (rows, columns) of a map: those recorded if all wells fit and a map of them can be read.

    Args:
        places: (row from 0, column from 1) of each well.
        recorded: (rows, columns) as the vendor recorded them; 0 if unknown.
    """
    least = max(row for row, _ in places) + 1, max(column for _, column in places)
    if all(used <= side <= most for used, side, most in zip(least, recorded, PLATE_SIZES[-1], strict=True)):
        return recorded
    return plate_size(places, least_wells=96)


def _drawing(
    indexed: list[tuple[int, Well]], recorded: tuple[int, int], low: float, high: float, *, first: bool
) -> dict[str, object]:
    """The template's values for the numbered wells of a plate: sizes, and one map for each time point."""
    wells = [well for _, well in indexed]
    rows, columns = drawn_size([_place(well) for well in wells], recorded)
    pitch = (_WIDTH - _LEFT) / columns
    height = pitch * (0.66 if columns <= 12 else 0.78)
    font = min(height * 0.44, (pitch - 8) / (_LONGEST_VALUE * _TEXT_SHARE), 17.0)
    times = sorted({well.t for well in wells})
    drawing = Drawing(pitch, height, low, high, printed=font >= _SMALLEST_FONT and len(times) == 1)
    maps = []
    for t in times:
        places = {_place(well): (index, well) for index, well in indexed if well.t == t}
        cells = [
            _cell(places.get((row, column)), row, column, drawing)
            for row in range(rows)
            for column in range(1, columns + 1)
        ]
        maps.append({"t": t, "cells": cells})
    return {
        "name": wells[0].plate,
        "first": first,
        "width": _WIDTH,
        "height": ceil(_TOP + rows * height + 2),
        "cell_width": pitch - 3,
        "cell_height": height - 3,
        "font": round(font, 1) if drawing.printed else 0,
        "maps": maps,
        "columns": [(_LEFT + (column - 0.5) * pitch - 1.5, column) for column in range(1, columns + 1)],
        "rows": [(_TOP + (row + 0.5) * height + 3, row_letters(row)) for row in range(rows)],
    }


def _place(well: Well) -> tuple[int, int]:
    row, column = split_well(well.name)
    return row_index(row), column


def _cell(found: tuple[int, Well] | None, row: int, column: int, drawing: Drawing) -> Cell:
    x, y = _LEFT + (column - 1) * drawing.pitch, _TOP + row * drawing.height
    if found is None:
        name = well_name(row_letters(row), column)
        return Cell(x, y, row, column, -1, "none", "", "", "", f"{name}: no image")
    index, well = found
    if well.per_field is None:
        kind = _UNCOUNTED[well.state]
        title = f"{well.name}: not counted, {well.gaps}"
        return Cell(x, y, row, column, index, kind, "", "", "", title)
    title = f"{well.name}: {_number(well.per_field)} nuclei per field, {_fields(well.done)} counted"
    title += f"; {well.gaps}" if well.gaps else ""
    value = _number(well.per_field) if drawing.printed else ""
    corner = " partly" if well.state is WellState.PARTLY else ""
    if well.count == 0:
        return Cell(x, y, row, column, index, "zero" + corner, "", "axis", value, title)
    share = (well.per_field - drawing.low) / (drawing.high - drawing.low)
    share = min(max(share, 0.0), 1.0)
    ink = "dark" if share > _DARK_INK_FROM else "light"
    return Cell(x, y, row, column, index, "counted" + corner, colour(share), ink, value, title)


def _number(value: float) -> str:
    """Four digits: ``1 234``, ``123.4``, ``12.3``."""
    return number(value, 0 if value == int(value) or value >= 1000 else 1)


def _fields(count: int) -> str:
    return f"{count} field" + ("" if count == 1 else "s")


panel = Panel("Plate", 20, render)
