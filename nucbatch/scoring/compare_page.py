"""Renders ``compare.html``: a table of models, their differences, and the same images side by side.

The page has no scripts and loads nothing; names are escaped by the templates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nucbatch.scoring.bootstrap import COMPARED
from nucbatch.scoring.comparison import Comparison
from nucbatch.scoring.figure_names import shown
from nucbatch.scoring.html_page import LEGEND, WorstImage, cell, environment


def render(
    comparison: Comparison,
    about: Mapping[str, object],
    pictures: Mapping[str, Sequence[tuple[str, WorstImage]]],
) -> str:
    """The page as HTML text.

    Args:
        comparison: the models.
        about: ``images``, ``gt``, ``nucbatch`` (version) and ``notes``.
        pictures: for some images, each model's name and drawing.
    """
    runs, differences = comparison.runs, comparison.differences
    rows = []
    for place, (total, figure, heading) in enumerate(COMPARED):
        cells = []
        for run in runs:
            if run.table is None:
                break
            change = ""
            if run.name in differences:
                change = differences[run.name][place].words
            cells.append((shown(run.table.totals()[total][figure]), change))
        if cells:
            rows.append((heading, total, cells))
    return (
        environment()
        .get_template("compare.html")
        .render(
            about=about,
            runs=runs,
            images=len(runs[0].table.rows if runs[0].table is not None else runs[0].counts),
            rows=rows,
            agreements=comparison.agreements,
            legend=LEGEND,
            pictures=[
                (name, [(model, cell(one, {})) for model, one in drawn]) for name, drawn in pictures.items()
            ],
        )
    )
