"""Chooses the fields of the contact sheet: extremes, suspicious fields, and others evenly over the plate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_SATURATED = 0.01  # from this share of pixels at full scale on, intensities are unreliable
_ODD_FOCUS = 5.0  # robust standard deviations of log focus
_MOST_FLAGGED_SHARE = 1 / 3


@dataclass(frozen=True, slots=True)
class Choice:
    """A field for the sheet: its row in the table of counted fields, and the reason.

    ``flag``: why the field is suspicious; empty if it is not.
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
    flags = flag_fields(done)
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


def flag_fields(done: pd.DataFrame) -> list[str]:
    """Returns why each counted field is suspicious, in words; empty if it is not."""
    flags: list[list[str]] = [[] for _ in range(len(done))]
    if "QC_Saturated" in done:
        for row, share in enumerate(done["QC_Saturated"].to_numpy(dtype=np.float64, na_value=0.0)):
            if share >= _SATURATED:
                flags[row].append(f"{share:.0%} of pixels saturated")
    if "QC_Focus" in done:
        for row, distance in enumerate(_log_deviation(done["QC_Focus"].to_numpy(dtype=np.float64))):
            if abs(distance) > _ODD_FOCUS:
                flags[row].append(
                    "blurred compared with the others" if distance < 0 else "noisy compared with the others"
                )
    return ["; ".join(parts) for parts in flags]


def _log_deviation(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each logarithm from their median, in robust standard deviations; 0 where undefined."""
    known = np.isfinite(values) & (values > 0)
    distance = np.zeros(len(values))
    if known.sum() < 8:
        return distance
    logs = np.log(values[known])
    middle = np.median(logs)
    # 1.4826 makes the median absolute deviation a standard deviation; never finer than 5 % in focus.
    distance[known] = (logs - middle) / max(1.4826 * float(np.median(np.abs(logs - middle))), 0.05)
    return distance


def _evenly(rows: list[int], most: int) -> list[int]:
    """At most ``most`` of the rows, evenly spaced, including the first and the last."""
    if most <= 0 or not rows:
        return []
    if len(rows) <= most:
        return rows
    return [rows[int(place)] for place in np.linspace(0, len(rows) - 1, most).round().astype(int)]
