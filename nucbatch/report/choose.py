"""Chooses the fields of the contact sheet: extremes, flagged fields, and others evenly over the plate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
    is_flagged = (done["Flags"] != "").to_numpy(np.bool_)
    why: dict[int, str] = {}
    ranked = np.argsort(counts, kind="stable")
    extremes = [
        (int(ranked[-1]), "highest count"),
        (int(ranked[0]), "lowest count"),
        (int(ranked[(len(ranked) - 1) // 2]), "median count"),
    ]
    for row, reason in extremes[:most]:
        why.setdefault(row, reason)
    is_left = np.ones(len(counts), np.bool_)
    is_left[list(why)] = False
    for row in _evenly(
        np.flatnonzero(is_left & is_flagged), min(int(most * _MOST_FLAGGED_SHARE), most - len(why))
    ):
        why[row] = ""
    is_left[list(why)] = False
    for row in _evenly(np.flatnonzero(is_left), most - len(why)):
        why[row] = ""
    return [Choice(row, why[row], str(done["Flags"].iloc[row])) for row in sorted(why)]


def _evenly(rows: NDArray[np.int64], most: int) -> list[int]:
    """At most ``most`` of the rows, evenly spaced, including the first and the last."""
    if most <= 0 or not len(rows):
        return []
    if len(rows) > most:
        rows = rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]
    found: list[int] = rows.tolist()
    return found
