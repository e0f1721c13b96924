"""Drawings of the overview page: a plate's wells in colours, and a line over the plates, as SVG.

Every value is also the title of its mark, which a browser shows under the pointer. Colours are classes of the
page's style sheet.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from nucbatch.report.viridis import colour

Row = dict[str, str]

COUNT = "Count_Nuclei_PerField_Mean"
"""Column of wells.csv with the mean number of nuclei per counted field."""

SHADES = 48
_WELL = re.compile(r"([A-Za-z]{1,2})(\d{1,2})")
_SIZES = ((2, 3), (4, 6), (8, 12), (16, 24), (32, 48))
_MAP_WIDTH = 240


def number(text: str | None) -> float:
    """A cell as a number; NaN if it is empty or no finite number."""
    try:
        value = float(text or "nan")
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def short(value: float) -> str:
    """A value for people, with three digits or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


@dataclass(frozen=True)
class Range:
    """The range of values that colours stand for."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Range:
        """The 2nd and 98th percentile of the finite values; 0 and 1 if there are none."""
        finite = sorted(value for value in values if math.isfinite(value))
        if not finite:
            return cls(0.0, 1.0)
        last = len(finite) - 1
        return cls(finite[round(0.02 * last)], finite[round(0.98 * last)])

    def shade(self, value: float) -> int:
        """The number of a value's colour."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(min(1.0, max(0.0, share)) * (SHADES - 1))


def style_of_shades() -> str:
    """The style sheet of the colours, from viridis."""
    return "".join(f".c{shade} {{ fill: {colour(shade / (SHADES - 1))}; }}\n" for shade in range(SHADES))


def colour_scale(colours: Range) -> str:
    """The colours with the values at their ends."""
    low, high, width = short(colours.low), short(colours.high), 6 * SHADES
    ramp = "".join(
        f'<rect class="c{shade}" x="{shade * 6}" y="0" width="6.2" height="12"/>' for shade in range(SHADES)
    )
    return (
        f'<svg class="scale" viewBox="0 0 {width} 28" role="img" aria-label="Colours from {low} to {high}">'
        f'{ramp}<text x="0" y="25">≤ {low}</text>'
        f'<text x="{width}" y="25" text-anchor="end">≥ {high}</text></svg>'
    )


def plate_map(wells: Sequence[Row], measure: str, colours: Range, label: str) -> str:
    """The wells of a plate at their places, coloured by a measure."""
    placed = {at: well for well in wells if (at := _place(well["Metadata_Well"])) is not None}
    down = max((row for row, _ in placed), default=0) + 1
    across = max((column for _, column in placed), default=0) + 1
    standard = (size for size in _SIZES if size[0] >= down and size[1] >= across)
    rows, columns = next(standard, (down, across))
    pitch = _MAP_WIDTH / columns
    cells = []
    for row in range(rows):
        for column in range(columns):
            x, y, side = column * pitch, row * pitch, pitch - 1
            box = f'x="{x:.1f}" y="{y:.1f}" width="{side:.1f}" height="{side:.1f}"'
            well = placed.get((row, column))
            if well is None:
                cells.append(f'<rect class="none" {box}/>')
                continue
            title = f"<title>{escape(_said(well, measure))}</title>"
            cells.append(f"<g>{title}{_marks(well, measure, colours, box, (x, y, side))}</g>")
    return (
        f'<svg viewBox="0 0 {_MAP_WIDTH} {rows * pitch:.1f}" role="img" aria-label="{escape(label)}">'
        f"{''.join(cells)}</svg>"
    )


def value_of(well: Row, measure: str) -> float:
    """A well's value; NaN if none of its fields was counted."""
    return number(well.get(measure))


def line_chart(
    names: Sequence[str], lines: Mapping[str, Sequence[float]], label: str, limit: float | None = None
) -> str:
    """Values over the plates, one line for each kind; a gap where a plate has none. Empty without values.

    Args:
        names: of the plates.
        lines: values of every plate, by a class of the style sheet.
        label: what is drawn, for a screen reader.
        limit: value of a dashed line across.
    """
    values = [value for line in lines.values() for value in line if math.isfinite(value)]
    if not values:
        return ""
    ends = values if limit is None else [*values, limit]
    room = 0.1 * (max(ends) - min(ends)) or 0.1 * abs(max(ends)) or 1.0
    low, high = min(ends) - room, max(ends) + room
    left, right, top, bottom = 52, 356, 8, 132
    xs = [left + 10 + (right - left - 20) * index / max(1, len(names) - 1) for index in range(len(names))]

    def y(value: float) -> float:
        return bottom - (bottom - top) * (value - low) / (high - low)

    drawn = [f'<path class="axis" d="M{left},{top}V{bottom}H{right}"/>']
    drawn += [
        f'<text x="{left - 5}" y="{y(value) + 4:.1f}" text-anchor="end">{short(value)}</text>'
        for value in sorted({min(values), max(values)})
    ]
    drawn.append(f'<text x="{left + 6}" y="{bottom + 15}">1</text>')
    drawn.append(f'<text x="{right - 6}" y="{bottom + 15}" text-anchor="end">{len(names)}</text>')
    if limit is not None:
        drawn.append(f'<path class="limit" d="M{left},{y(limit):.1f}H{right}"/>')
    for kind, line in lines.items():
        path, pen = "", "M"
        for x, value in zip(xs, line, strict=True):
            path += f"{pen}{x:.1f},{y(value):.1f}" if math.isfinite(value) else ""
            pen = "L" if math.isfinite(value) else "M"
        drawn.append(f'<path class="line {kind}" d="{path}"/>' if path else "")
        drawn += [
            f'<circle class="dot {kind}" cx="{x:.1f}" cy="{y(value):.1f}" r="3.5">'
            f"<title>{escape(f'{name}: {short(value)}')}</title></circle>"
            for name, x, value in zip(names, xs, line, strict=True)
            if math.isfinite(value)
        ]
    return (
        f'<svg viewBox="0 0 366 152" role="img" aria-label="{escape(label)}, by plate">{"".join(drawn)}</svg>'
    )


def _said(well: Row, measure: str) -> str:
    """A well's value and failures as text."""
    value, failed = value_of(well, measure), number(well.get("Fields_Failed"))
    said = f"{well['Metadata_Well']}: {short(value) if math.isfinite(value) else 'no value'}"
    return f"{said}, {failed:.0f} of {well.get('Fields_Total')} fields failed" if failed > 0 else said


def _marks(well: Row, measure: str, colours: Range, box: str, place: tuple[float, float, float]) -> str:
    """A well's square: coloured, with a corner if some fields failed; a cross if there is no value."""
    (x, y, side), value = place, value_of(well, measure)
    if not math.isfinite(value):
        lines = f"M{x:.1f},{y:.1f}l{side:.1f},{side:.1f}m0,-{side:.1f}l-{side:.1f},{side:.1f}"
        return f'<rect class="failed" {box}/><path class="cross" d="{lines}"/>'
    square = f'<rect class="c{colours.shade(value)}" {box}/>'
    if number(well.get("Fields_Failed")) > 0:
        half = side / 2
        square += f'<path class="partly" d="M{x + side:.1f},{y:.1f}v{half:.1f}l-{half:.1f},-{half:.1f}z"/>'
    return square


def _place(well: str) -> tuple[int, int] | None:
    """Row and column from 0; None if the name is that of no well."""
    match = _WELL.fullmatch(well)
    if match is None or not int(match[2]):
        return None
    row = 0
    for letter in match[1].upper():
        row = row * 26 + ord(letter) - ord("A") + 1
    return row - 1, int(match[2]) - 1
