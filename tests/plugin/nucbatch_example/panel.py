"""A panel of the report: the field with the fewest nuclei."""

from __future__ import annotations

from markupsafe import Markup

from nucbatch.report.panel import Panel
from nucbatch.report.run_data import RunData


def render(data: RunData) -> Markup:
    """One sentence, or nothing where no field was counted."""
    if data.done.empty:
        return Markup("")
    row = data.done.sort_values("Count_Nuclei", kind="stable").iloc[0]
    return Markup("<p>{} has {} nuclei.</p>").format(row["Name"], int(row["Count_Nuclei"]))


panel = Panel("Fewest nuclei", order=35, render=render)
