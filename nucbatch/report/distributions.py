"""The panel of distributions: wells by row, column and control, the edge effect, and nuclei of wells.

The page's script draws them for the measure that is chosen on the plate map.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from nucbatch.core.plate_geometry import row_index, split_well
from nucbatch.report.edge_effect import edge_effect
from nucbatch.report.heatmap import drawn_size, drawn_wells
from nucbatch.report.measures import shown_measures
from nucbatch.report.nucleus_histograms import Histogram, histograms, measured_columns
from nucbatch.report.panel import Panel, fill, json_block, packed
from nucbatch.report.run_data import RunData

BINS = 24
_PERCENTILES = (0.5, 99.5)
MOST_CHARACTERS = 700_000  # of all histograms in the page
_MOST_NUMBERS = 300_000_000  # nuclei times measures that are counted; a minute


def render(data: RunData) -> Markup:
    """A place for the drawings, and what they show; empty if the input is no plate."""
    if not data.wells or data.done.empty:
        return Markup("")
    return fill("distributions.html", script_data=json_block("distributions", _for_script(data)))


def outer_wells(data: RunData) -> NDArray[np.bool_]:
    """Whether each well (W,) lies in the outermost rows or columns of its plate."""
    places = [split_well(well.name) for well in data.wells]
    at = [(row_index(row), column) for row, column in places]
    rows, columns = drawn_size(at, data.plate_size)
    return np.array([row in (0, rows - 1) or column in (1, columns) for row, column in at])


def _for_script(data: RunData) -> dict[str, Any]:
    drawn = drawn_wells(data)
    measures, _ = shown_measures(data)
    outer, controls = outer_wells(data), data.controls
    ordinary = np.array([not control for control in controls])
    effects = [edge_effect(measure.values[ordinary], outer[ordinary]) for measure in measures]
    return {
        "controls": [control for control, is_drawn in zip(controls, drawn, strict=True) if is_drawn],
        "outer": outer[drawn].astype(int).tolist(),
        "edge": [
            effect
            and [
                *(float(f"{value:.6g}") for value in (effect.outer_median, effect.inner_median)),
                round(effect.delta, 4),
                float(f"{effect.p:.3g}"),
                effect.outer_wells,
                effect.inner_wells,
            ]
            for effect in effects
        ],
        "nuclei": _nuclei(data, drawn),
    }


def _nuclei(data: RunData, drawn: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Histograms of the nuclei of each well, of as many measures as fit the page."""
    path = data.paths.nuclei
    if not path.is_file():
        return []
    wells = [(well.plate, well.name, well.t) for well, shown in zip(data.wells, drawn, strict=True) if shown]
    columns = measured_columns(path)
    first = [name.partition("_")[2] for name in data.experiment.get("shown_measures") or []]
    columns = sorted(columns, key=lambda name: name not in first)
    nuclei = max(int(data.done["Count_Nuclei"].sum()), 1)
    most = min(MOST_CHARACTERS // (len(wells) * BINS * 8 // 3), max(_MOST_NUMBERS // nuclei, 1))
    return [_packed(one) for one in histograms(path, wells, columns[:most], BINS, _PERCENTILES)]


def _packed(histogram: Histogram) -> dict[str, Any]:
    wide = bool(histogram.counts.max(initial=0) > np.iinfo(np.uint16).max)
    return {
        "name": histogram.name,
        "limits": [float(f"{histogram.low:.6g}"), float(f"{histogram.high:.6g}")],
        "beyond": [histogram.below, histogram.above],
        "wide": wide,
        "counts": packed(histogram.counts, "u4" if wide else "u2"),
    }


panel = Panel("Distributions", 24, render)
