"""The panel of counts with their intervals: one mark and one line for each well, drawn as SVG."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from nucbatch.report.axes import Scale
from nucbatch.report.panel import Panel, fill
from nucbatch.report.run_data import RunData

MOST_WELLS = 1536
_STEP, _HEIGHT, _LEFT, _TOP = 7, 180, 46, 8


def render(data: RunData) -> Markup:
    """The drawing of all wells in plate order; empty without intervals, or with too many wells for one."""
    if not data.wells or len(data.wells) > MOST_WELLS:
        return Markup("")
    table = data.well_table
    if not {"Count_Nuclei_Low", "Count_Nuclei_High"} <= set(table):
        return Markup("")
    low, count, high = (
        table[name].to_numpy(np.float64, na_value=np.nan)
        for name in ("Count_Nuclei_Low", "Count_Nuclei", "Count_Nuclei_High")
    )
    known = np.flatnonzero(np.isfinite(low) & np.isfinite(high) & np.isfinite(count))
    if not len(known):
        return Markup("")
    scale = Scale(0, max(1.0, float(high[known].max())), _HEIGHT, _TOP)
    marks = [
        {
            "x": _LEFT + _STEP * (place + 0.5),
            "low": scale(low[at]),
            "high": scale(high[at]),
            "count": scale(count[at]),
            "title": f"{_name(data, at)}: {count[at]:.0f}, {low[at]:.0f} to {high[at]:.0f}",
        }
        for place, at in enumerate(known.tolist())
    ]
    width = _LEFT + _STEP * len(marks) + 6
    return fill(
        "count_intervals.html",
        marks=marks,
        ticks=scale.ticks(),
        left=_LEFT,
        width=width,
        height=_HEIGHT + 8,
        relative=f"{100 * np.median((high - low)[known] / np.maximum(count[known], 1)):.0f}",
    )


def _name(data: RunData, at: int) -> str:
    well = data.wells[at]
    time = f", time point {well.t}" if any(one.t for one in data.wells) else ""
    return f"{well.name}{time}" if len(data.plates) == 1 else f"{well.plate} {well.name}{time}"


panel = Panel("Counts and their intervals", 21, render)
