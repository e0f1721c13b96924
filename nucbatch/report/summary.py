"""The panel of key figures: how a run ended, and what it counted."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from nucbatch.features.quality import NUCLEAR_DIAMETER, ZOOM
from nucbatch.report.panel import Panel, fill, number
from nucbatch.report.run_data import RunData
from nucbatch.report.wells import WellState


def render(data: RunData) -> Markup:
    """Tiles of key figures below a sentence on the outcome."""
    done, failed = data.done, data.failed
    counts = done["Count_Nuclei"].astype("int64")
    quarantined = sum(group.count for group in data.files if group.status == "quarantined")
    found = sum(group.count for group in data.files)
    times = data.fields["Metadata_Time"].nunique()
    over_time = f", {number(times)} time points together" if times > 1 else ""
    tiles = [
        (
            "Nuclei",
            number(int(counts.sum())),
            f"in all fields counted{over_time}{_repeats(data)}{_left_out(data)}",
            False,
        ),
        ("Median per field", number(float(counts.median()) if len(counts) else None), _spread(data), False),
    ]
    if data.wells:
        selected = [well for well in data.wells if well.state is not WellState.NOT_SELECTED]
        uncounted = len({(well.plate, well.name) for well in selected if well.count is None})
        about = f"{uncounted} without a count" if uncounted else "each with a count"
        about += " at some time point" if uncounted and times > 1 else ""
        left_out = len(
            {(well.plate, well.name) for well in data.wells} - {(well.plate, well.name) for well in selected}
        )
        about += f", {left_out} not selected" if left_out else ""
        names = {(well.plate, well.name) for well in data.wells}
        tiles.append(("Wells with images", number(len(names)), about, bool(uncounted)))
    empty = int((_seen(data) == 0).sum())
    not_selected = f", {number(len(data.not_selected))} not selected" if len(data.not_selected) else ""
    tiles += _diameter(data)
    tiles += [
        ("Fields counted", number(len(done)), f"of {number(len(data.fields))}{not_selected}", False),
        ("Fields with no nucleus", number(empty), "counted, and the count is 0", False),
        ("Fields failed", number(len(failed)), "not counted", len(failed) > 0),
        ("Fields flagged", number(len(data.flagged)), "counted, but doubtful", len(data.flagged) > 0),
        ("Files quarantined", number(quarantined), f"of {number(found)} found", quarantined > 0),
    ]
    fields = data.wall_fields or 0
    if data.wall_s and fields:
        rate = fields / data.wall_s
        shown = f"{number(rate, 1)} fields/s" if rate >= 1 else f"{number(rate * 60, 1)} fields/min"
        if fields < len(done) + int((failed["Status"] == "failed").sum()):
            shown = f"the last session: {_many(fields, 'field')}, {shown}"
        tiles.append(("Duration", duration(data.wall_s), shown, False))
    return fill("summary.html", outcome=_outcome(data, quarantined), tiles=tiles)


def _seen(data: RunData) -> pd.Series[Any]:
    """Number of all nuclei in the mask of each counted field, wherever they count."""
    name = "Count_Nuclei_Seen" if "Count_Nuclei_Seen" in data.done else "Count_Nuclei"
    return data.done[name].astype("int64")


def _repeats(data: RunData) -> str:
    seen = int(_seen(data).sum())
    return f"; {number(seen)} with repeats" if seen > data.done["Count_Nuclei"].sum() else ""


def _left_out(data: RunData) -> str:
    if "Count_Nuclei_LeftOut" not in data.done:
        return ""
    return f"; {number(int(data.done['Count_Nuclei_LeftOut'].sum()))} left out by size or at the border"


def duration(seconds: float) -> str:
    """``4 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _spread(data: RunData) -> str:
    counts = data.done["Count_Nuclei"]
    return (
        f"from {number(int(counts.min()))} to {number(int(counts.max()))}"
        if len(counts)
        else "nothing counted"
    )


def _diameter(data: RunData) -> list[tuple[str, str, str, bool]]:
    """The nuclei's diameter, and how many fields were rescaled for it; nothing where it was not measured."""
    if NUCLEAR_DIAMETER not in data.figures:
        return []
    done = data.done_with(NUCLEAR_DIAMETER, ZOOM)
    if not (done[NUCLEAR_DIAMETER] > 0).any():
        return []
    measured = done.loc[done[NUCLEAR_DIAMETER] > 0, NUCLEAR_DIAMETER]
    rescaled = int((done[ZOOM] != 1).sum())
    about = (
        f"{_many(rescaled, 'field')} rescaled for the model" if rescaled else "seen at the images' own scale"
    )
    return [("Nuclear diameter", f"{number(round(float(measured.median())))} px", about, False)]


def _outcome(data: RunData, quarantined: int) -> dict[str, str]:
    """The run's outcome in words; the same cases as the exit codes 0, 1 and 3."""
    failed, done, pending = len(data.failed), len(data.done), len(data.pending)
    if pending:
        text = f"{_many(pending, 'field')} not processed yet. Run the same command again to continue."
        return {"kind": "bad", "word": "Not finished.", "text": text}
    if not done:
        return {
            "kind": "bad",
            "word": "Nothing was counted.",
            "text": "No field could be used; see Failures.",
        }
    lacking = len(data.lacking)
    every = "that is selected was counted" if len(data.not_selected) else "was counted"
    if failed or quarantined or lacking:
        parts = [_many(failed, "field") + " failed"] if failed else []
        parts += [f"{_many(lacking, 'field')} lack{'s' if lacking == 1 else ''} a channel"] if lacking else []
        parts += (
            [f"{_many(quarantined, 'file')} {'was' if quarantined == 1 else 'were'} quarantined"]
            if quarantined
            else []
        )
        return {
            "kind": "warn",
            "word": "Done, with gaps.",
            "text": f"{', '.join(parts)}; everything else {every}{_doubts(data)}. "
            "See Failures for the reasons.",
        }
    if len(data.flagged):
        return {
            "kind": "warn",
            "word": "Done, with doubts.",
            "text": f"Every field {every}{_doubts(data)}. See Failures for the reasons.",
        }
    return {"kind": "good", "word": "Done.", "text": f"Every field {every}."}


def _doubts(data: RunData) -> str:
    count = len(data.flagged)
    return f", {_many(count, 'field')} {'is' if count == 1 else 'are'} flagged" if count else ""


def _many(count: int, noun: str) -> str:
    return f"{number(count)} {noun}" + ("" if count == 1 else "s")


panel = Panel("Summary", 10, render)
