"""The panel of quality: a small map of the plate for each quality figure, with the flagged wells marked.

Figures are means over a well's counted fields. The page's script draws the maps from the plate map's values.
"""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from nucbatch.report.heatmap import drawn_wells
from nucbatch.report.measures import QUALITY, quality_measures
from nucbatch.report.panel import Panel, fill, json_block
from nucbatch.report.run_data import RunData


def render(data: RunData) -> Markup:
    """A place for the maps, their thresholds and the wells' flags; empty without quality figures."""
    if not data.wells or not quality_measures(data):
        return Markup("")
    flags = data.well_flags
    quality = data.run.get("quality")
    return fill(
        "quality.html",
        limits=str(quality.get("limits") or "") if isinstance(quality, dict) else "",
        script_data=json_block(
            "quality",
            {
                "group": QUALITY,
                "thresholds": _thresholds(quality),
                "flags": [text for text, drawn in zip(flags, drawn_wells(data), strict=True) if drawn],
            },
        ),
    )


def _thresholds(quality: object) -> dict[str, Any]:
    """Flag and limits by figure: ``{"QC_Haze": {"flag": "haze", "low": None, "high": 3}}``."""
    kept = quality.get("thresholds") if isinstance(quality, dict) else None
    if not isinstance(kept, dict):
        return {}
    return {
        str(name): {key: one.get(key) for key in ("flag", "low", "high")}
        for name, one in kept.items()
        if isinstance(one, dict)
    }


panel = Panel("Quality", 27, render)
