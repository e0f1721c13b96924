"""The panel of counts over time: a line for each well of a time series, and their median."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from nucbatch.report.axes import Scale
from nucbatch.report.panel import Panel, fill
from nucbatch.report.run_data import RunData

FEWEST_TIMES = 3
"""Time points from which lines say more than the maps of the plate."""
MOST_LINES = 96
"""Wells up to which each has a line; of more the 10th to 90th percentile is drawn."""
MOST_POINTS = 300
"""Points of a line; each is the mean of several time points if there are more."""
MOST_NAMES = 12
"""Wells up to which their names stand at the ends of their lines."""
_FEWEST_OF_MEDIAN = 4
_WIDTH, _HEIGHT = 1120.0, 320.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 12.0, 12.0, 44.0
_NAME_WIDTH, _NAME_HEIGHT = 34.0, 13.0


def render(data: RunData) -> Markup:
    """A drawing for each plate; empty with fewer than three time points."""
    times = np.unique([well.t for well in data.wells])
    if len(times) < FEWEST_TIMES:
        return Markup("")
    together = math.ceil(len(times) / MOST_POINTS)
    plates = [(plate, _drawing(data, plate, times, together)) for plate in data.plates]
    return fill(
        "over_time.html",
        plates=[(plate, drawing) for plate, drawing in plates if drawing],
        together=together,
        most=MOST_LINES,
        width=_WIDTH,
        height=_HEIGHT,
    )


def _drawing(data: RunData, plate: str, times: NDArray[np.int64], together: int) -> dict[str, Any] | None:
    """The template's values for a plate, in SVG units; None if nothing was counted in it."""
    kinds: dict[str, str] = {}
    counts: dict[str, NDArray[np.float64]] = {}
    place_of = {time: place for place, time in enumerate(times.tolist())}
    for well, kind in zip(data.wells, data.controls, strict=True):
        if well.plate == plate:
            own = counts.setdefault(well.name, np.full(len(times), np.nan))
            own[place_of[well.t]] = np.nan if well.per_field is None else well.per_field
            kinds[well.name] = kind
    values = _means(np.array(list(counts.values())), together)
    if not np.isfinite(values).any():
        return None
    named = len(counts) <= MOST_NAMES
    right = _WIDTH - _RIGHT - (_NAME_WIDTH if named else 0)
    x = Scale(float(times[0]), float(times[-1]), _LEFT, right)
    y = Scale(0, max(float(np.nanmax(values)), 1.0) * 1.05, _HEIGHT - _BOTTOM, _TOP)
    places = [x(time) for time in _means(times.astype(np.float64), together).tolist()]
    several = len(counts) >= _FEWEST_OF_MEDIAN
    each = len(counts) <= MOST_LINES
    low, middle, high = _percentiles(values, (10, 50, 90))
    return {
        "lines": [
            {"name": name, "kind": kinds[name], "path": _path(places, own, y)}
            for name, own in zip(counts, values, strict=True)
            if each or kinds[name]
        ],
        "names": _names(list(counts), places, values, y) if named else [],
        "band": "" if each else _band(places, low, high, y),
        "median": _path(places, middle, y) if several else "",
        "wells": len(counts),
        "each": each,
        "controls": any(kinds.values()),
        "x_ticks": [(place, text) for place, text in x.ticks() if "." not in text],
        "y_ticks": y.ticks(),
        "left": _LEFT,
        "right": right,
        "top": _TOP,
        "bottom": _HEIGHT - _BOTTOM,
    }


def _means(values: NDArray[np.float64], together: int) -> NDArray[np.float64]:
    """Means of so many consecutive values (..., T) at a time; NaN where none is known."""
    count = -(-values.shape[-1] // together)
    parts = np.full((*values.shape[:-1], count * together), np.nan)
    parts[..., : values.shape[-1]] = values
    parts = parts.reshape(*values.shape[:-1], count, together)
    known = np.isfinite(parts)
    sums, numbers = np.where(known, parts, 0.0).sum(axis=-1), known.sum(axis=-1)
    return np.where(numbers > 0, sums / np.maximum(numbers, 1), np.nan)


def _percentiles(values: NDArray[np.float64], percentiles: tuple[float, ...]) -> NDArray[np.float64]:
    """Percentiles (P, T) of the wells' values (W, T) at each time; NaN where no well has any."""
    found = np.full((len(percentiles), values.shape[1]), np.nan)
    known = np.isfinite(values).any(axis=0)
    found[:, known] = np.nanpercentile(values[:, known], percentiles, axis=0)
    return found


def _path(places: list[float], values: NDArray[np.float64], y: Scale) -> str:
    """A line through the known values, interrupted where there is none; a single point is a short line."""
    parts, is_open = [], False
    for place, value in zip(places, values.tolist(), strict=True):
        if math.isnan(value):
            is_open = False
            continue
        parts.append(f"{'L' if is_open else 'M'}{place} {y(value)}" + ("" if is_open else "h0.1"))
        is_open = True
    return "".join(parts)


def _names(
    names: list[str], places: list[float], values: NDArray[np.float64], y: Scale
) -> list[tuple[float, float, str]]:
    """Place (x, y) and name at the last point of each line, moved up where they would lie over each other."""
    ends = []
    for name, own in zip(names, values, strict=True):
        known = np.flatnonzero(np.isfinite(own))
        if len(known):
            ends.append((y(float(own[known[-1]])), places[known[-1]], name))
    free = _HEIGHT
    found = []
    for at, place, name in sorted(ends, reverse=True):
        free = min(at, free - _NAME_HEIGHT)
        found.append((place + 5, round(free + 4, 1), name))
    return found


def _band(places: list[float], low: NDArray[np.float64], high: NDArray[np.float64], y: Scale) -> str:
    """The area between two lines."""
    known = np.flatnonzero(np.isfinite(low)).tolist()
    there = [f"{places[at]} {y(float(high[at]))}" for at in known]
    back = [f"{places[at]} {y(float(low[at]))}" for at in reversed(known)]
    return f"M{'L'.join([*there, *back])}Z"


panel = Panel("Over time", 23, render)
