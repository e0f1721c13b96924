"""Chooses the fields of the contact sheet: extremes, flagged fields, and others evenly over the plate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

_MOST_FLAGGED_SHARE = 1 / 3


@dataclass(frozen=True, slots=True)
class Choice:
    """A field for the sheet: its row in the table of counted fields, and the reason.

    ``flag``: the field's flags; empty without any.
    """

    row: int
    why: str = ""
    flag: str = ""


def choose_fields(done: pd.DataFrame, most: int) -> list[Choice]:
    """Up to ``most`` of the counted fields, in the table's order.

    The fields with the highest, the median and the lowest count are always chosen. Flagged fields follow, up
    to a third of the sheet, then the rest evenly over the table, which is ordered by well. The same table
    gives the same sheet.
    """
    if done.empty or most < 1:
        return []
    counts = done["Count_Nuclei"].to_numpy(dtype=np.int64)
    flags = done["Flags"].astype(str).tolist()
    why: dict[int, str] = {}
    ranked = np.argsort(counts, kind="stable")
    extremes = [
        (int(ranked[-1]), "highest count"),
        (int(ranked[0]), "lowest count"),
        (int(ranked[(len(ranked) - 1) // 2]), "median count"),
    ]
    for row, reason in extremes[:most]:
        why.setdefault(row, reason)
    flagged = [row for row in range(len(done)) if flags[row] and row not in why]
    for row in _evenly(flagged, min(int(most * _MOST_FLAGGED_SHARE), most - len(why))):
        why[row] = ""
    others = [row for row in range(len(done)) if row not in why]
    for row in _evenly(others, most - len(why)):
        why[row] = ""
    return [Choice(row, why[row], flags[row]) for row in sorted(why)]


def _evenly(rows: list[int], most: int) -> list[int]:
    """At most ``most`` of the rows, evenly spaced, including the first and the last."""
    if most <= 0 or not rows:
        return []
    if len(rows) <= most:
        return rows
    return [rows[int(place)] for place in np.linspace(0, len(rows) - 1, most).round().astype(int)]
