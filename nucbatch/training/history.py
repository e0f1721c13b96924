"""What happened during a training: a CSV of figures and a picture of its curves."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the history: means since the line before, and the validation split's figures."""

    step: int
    loss: float
    dice: float
    val_pixel_f1: float
    val_pixel_iou: float
    val_object_f1: float
    val_mean_ap: float


def write_history(path: Path, records: Sequence[Record]) -> None:
    """Writes all records as CSV."""
    temporary = path.with_name(path.name + ".partial")
    with temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(Record.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(asdict(record) for record in records)
    temporary.replace(path)


def read_history(path: Path, until_step: int) -> list[Record]:
    """The records up to a step, none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [
            Record(int(row["step"]), *(float(row[name]) for name in list(Record.__dataclass_fields__)[1:]))
            for row in csv.DictReader(stream)
        ]
    return [record for record in rows if record.step <= until_step]


def draw_history(path: Path, records: Sequence[Record]) -> None:
    """Draws loss and scores over the steps as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    steps = [record.step for record in records]
    left.plot(steps, [record.loss for record in records], color="#b1432b", marker=".")
    left.set(xlabel="step", ylabel="loss (training)", ylim=(0, None))
    curves = {
        "Dice (training)": ("dice", "#8a8a8a"),
        "pixel F1 (val)": ("val_pixel_f1", "#1f6f8b"),
        "object F1 at IoU 0.5 (val)": ("val_object_f1", "#d98324"),
        "mean AP 0.5-0.95 (val)": ("val_mean_ap", "#5a8f3c"),
    }
    for label, (name, colour) in curves.items():
        right.plot(
            steps, [getattr(record, name) for record in records], label=label, color=colour, marker="."
        )
    right.set(xlabel="step", ylim=(0, 1))
    right.legend(frameon=False, loc="lower right")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    temporary = path.with_name(path.name + ".partial")
    figure.savefig(temporary, format="png", dpi=150)
    temporary.replace(path)
