"""The history of a training: a CSV with one line per scoring, and a figure of its curves.

A line holds figures by name, so different tasks can record different figures. The first column is ``step``.
``loss`` and ``dice`` are means over the batches since the previous line. The line of step 0 holds the scores
of the initial weights and no loss.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from nucbatch.store.atomic import replacing, write_text

Record = dict[str, float]

# column: the curve's name and colour. Falling curves are in the left panel, rising ones in the right.
_FALLING = {
    "loss": ("loss (training)", "#b1432b"),
    "val_loss": ("loss (validation)", "#1f6f8b"),
}
_RISING = {
    "dice": ("Dice (training)", "#b1432b"),
    "val_dice": ("Dice (validation)", "#1f6f8b"),
    "val_pixel_f1": ("pixel F1 (val)", "#1f6f8b"),
    "val_object_f1": ("object F1 at IoU 0.5 (val)", "#d98324"),
    "val_mean_ap": ("mean AP 0.5-0.95 (val)", "#5a8f3c"),
}


def write_history(path: Path, records: Sequence[Record]) -> None:
    """Writes all records as CSV.

    The last record gives the columns; values that a record lacks are left empty.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(records[-1]))
    writer.writeheader()
    writer.writerows(records)
    write_text(path, text.getvalue())


def read_history(path: Path, until_step: int) -> list[Record]:
    """The records up to a step; none if there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [
            {name: _number(value) for name, value in row.items() if value} for row in csv.DictReader(stream)
        ]
    return [row for row in rows if row["step"] <= until_step]


def best_of(records: Sequence[Record], column: str) -> int | None:
    """Position of the first record with the highest value of a column; None if no record has a value.

    The record of step 0 is left out, because its weights were not trained here.
    """
    known = [place for place, record in enumerate(records) if column in record and record["step"]]
    return max(known, key=lambda place: (records[place][column], -place), default=None)


def draw_history(path: Path, records: Sequence[Record]) -> None:
    """Draws losses and scores over the epochs as a PNG; over the steps if records have no epochs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    along = "epoch" if "epoch" in records[-1] else "step"
    scores = "Dice" if set(records[-1]) & set(_RISING) <= {"dice", "val_dice"} else "Dice and scores"
    for axes, curves, title in zip(figure.subplots(1, 2), (_FALLING, _RISING), ("Loss", scores), strict=True):
        there = [column for column in curves if column in records[-1]]
        for column in there:
            label, colour = curves[column]
            known = [record for record in records if column in record]
            values = [record[column] for record in known]
            axes.plot([one[along] for one in known], values, label=label, color=colour, marker=".")
        shown = [record[column] for record in records for column in there if column in record]
        highest = max((value for value in shown if math.isfinite(value)), default=0) or 1
        axes.set(xlabel=along, title=f"{title} over the {along}s")
        axes.set_ylim(0, 1.1 * highest if curves is _FALLING else 1)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if there:
            axes.legend(frameon=False, loc="best" if curves is _FALLING else "lower right")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    with replacing(path, durable=False) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)
