"""The panel of the plate: a heat map with a count in every counted well.

Wells without a count look different.

A counted well is coloured, a count of zero is an empty frame with a 0, a failed well has a cross, and a well
without images is hatched. A corner marks wells in which some fields were not counted. Time points are small
maps side by side with a common colour range, because their counts must not be added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil

from markupsafe import Markup
from matplotlib import colormaps

from nucbatch.core.plate_geometry import (
    PLATE_SIZES,
    plate_size,
    row_index,
    row_letters,
    split_well,
    well_name,
)
from nucbatch.report.panel import Panel, fill, number
from nucbatch.report.run_data import RunData, Well, WellState

MOST_TIMES = 12  # maps of one plate; every cell of each has a title, and a page must stay readable
_WIDTH, _LEFT, _TOP = 1120.0, 34.0, 26.0
_COLOURS = colormaps["viridis"]
_UNCOUNTED = {
    WellState.PENDING: "pending",
    WellState.NOT_SELECTED: "unselected",
    WellState.FAILED: "failed",
}
_TEXT_SHARE = 0.62  # a digit's width over the font's size


@dataclass(frozen=True, slots=True)
class Cell:
    """One well's rectangle in the drawing, in SVG units; ``kind`` is a class of the style sheet."""

    x: float
    y: float
    kind: str
    colour: str
    ink: str
    value: str
    title: str


def render(data: RunData) -> Markup:
    """One map per plate and time point; empty if the input is not a plate."""
    plates = [
        _drawing(name, list(wells), data.plate_size, first=index == 0)
        for index, (name, wells) in enumerate(groupby(data.wells, key=lambda well: well.plate))
    ]
    return fill("heatmap.html", plates=plates) if plates else Markup("")


def colour_range(counts: Sequence[int]) -> tuple[int, int]:
    """Counts at both ends of the colour bar: from 0, unless all counts lie in the upper half."""
    low, high = min(counts, default=0), max(counts, default=0)
    return (low, high) if low * 2 > high and low < high else (0, max(high, 1))


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


def _drawing(name: str, wells: list[Well], recorded: tuple[int, int], *, first: bool) -> dict[str, object]:
    """The template's values for a plate: size, colours, and one map for each time point shown."""
    rows, columns = drawn_size([_place(well) for well in wells], recorded)
    pitch = (_WIDTH - _LEFT) / columns
    height = pitch * (0.66 if columns <= 12 else 0.78)
    low, high = colour_range([well.count for well in wells if well.count])
    widest = max((len(number(well.count)) for well in wells), default=1)
    font = min(height * 0.44, (pitch - 8) / (widest * _TEXT_SHARE), 17.0)
    times = sorted({well.t for well in wells})
    maps = []
    for t in shown_times(times):
        places = {_place(well): well for well in wells if well.t == t}
        printed = font >= 8 and len(times) == 1
        cells = [
            _cell(
                places.get((row, column)), row_letters(row), column, pitch, height, low, high, printed=printed
            )
            for row in range(rows)
            for column in range(1, columns + 1)
        ]
        maps.append({"t": t, "cells": cells})
    return {
        "name": name,
        "first": first,
        "width": _WIDTH,
        "height": ceil(_TOP + rows * height + 2),
        "cell_width": pitch - 3,
        "cell_height": height - 3,
        "font": round(font, 1),
        "maps": maps,
        "times": len(times),
        "columns": [(_LEFT + (column - 0.5) * pitch - 1.5, column) for column in range(1, columns + 1)],
        "rows": [(_TOP + (row + 0.5) * height + 3, row_letters(row)) for row in range(rows)],
        "low": low,
        "high": high,
        "stops": [(step * 10, _hex(step / 10)) for step in range(11)],
        "pending": any(well.state is WellState.PENDING for well in wells),
        "not_selected": any(well.state is WellState.NOT_SELECTED for well in wells),
    }


def _place(well: Well) -> tuple[int, int]:
    row, column = split_well(well.name)
    return row_index(row), column


def _cell(
    well: Well | None,
    row: str,
    column: int,
    pitch: float,
    height: float,
    low: int,
    high: int,
    *,
    printed: bool,
) -> Cell:
    x, y = _LEFT + (column - 1) * pitch, _TOP + row_index(row) * height
    if well is None:
        return Cell(x, y, "none", "", "", "", f"{well_name(row, column)}: no image")
    missing = [f"{_fields(well.failed)} failed"] if well.failed else []
    missing += [f"{_fields(well.pending)} not processed yet"] if well.pending else []
    missing += [f"{_fields(well.not_selected)} not selected"] if well.not_selected else []
    if well.count is None:
        kind = _UNCOUNTED[well.state]
        return Cell(x, y, kind, "", "", "", f"{well.name}: not counted, {' and '.join(missing)}")
    nuclei = "nucleus" if well.count == 1 else "nuclei"
    title = f"{well.name}: {number(well.count)} {nuclei} in {_fields(well.done)}"
    title += f"; {' and '.join(missing)}" if missing else ""
    value = number(well.count) if printed else ""
    corner = " partly" if well.state is WellState.PARTLY else ""
    if well.count == 0:
        return Cell(x, y, "zero" + corner, "", "axis", value, title)
    share = (well.count - low) / (high - low)
    return Cell(x, y, "counted" + corner, _hex(share), "dark" if share > 0.55 else "light", value, title)


def _fields(count: int) -> str:
    return f"{count} field" + ("" if count == 1 else "s")


def _hex(share: float) -> str:
    red, green, blue, _ = _COLOURS(share, bytes=True)
    return f"#{int(red):02x}{int(green):02x}{int(blue):02x}"


panel = Panel("Plate", 20, render)
