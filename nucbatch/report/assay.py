"""The panel of the assay: how well controls separate, and the dose-response curves with their wells.

Everything drawn is in assay.csv, doses.csv and wells.csv; curves are those that were fitted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from nucbatch.experiment.dose_response import Axis, curve
from nucbatch.report.axes import Scale, tick_text
from nucbatch.report.panel import Panel, fill, number
from nucbatch.report.run_data import RunData

MOST_CURVES = 24
MOST_MEASURES = 6  # rows of the table; assay.csv has all
_WIDTH, _HEIGHT = 520.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 12.0, 12.0, 44.0
_POINTS = 120  # of a curve's line
_GOOD_ZPRIME = 0.5
_CONTROL, _SERIES = "Metadata_AssayControl", "Metadata_AssaySeries"


def render(data: RunData) -> Markup:
    """A table of Z' and drawings of the curves; empty if the run was described with neither."""
    assay, doses = data.assay, data.doses
    if assay is None and doses is None:
        return Markup("")
    shown = data.experiment.get("shown_measures") or []
    curves = [] if doses is None else _ordered(doses, shown).head(MOST_CURVES).to_dict("records")
    return fill(
        "assay.html",
        remarks=data.experiment.get("remarks") or [],
        separation=[] if assay is None else _separation(assay, shown),
        measures=0 if assay is None else assay["Measure"].nunique(),
        several_plates=assay is not None and assay["Metadata_Plate"].nunique() > 1,
        positive=", ".join(map(str, data.experiment.get("positive") or [])),
        negative=", ".join(map(str, data.experiment.get("negative") or [])),
        curves=[_drawing(data, row) for row in curves],
        more=0 if doses is None else len(doses) - len(curves),
        width=_WIDTH,
        height=_HEIGHT,
    )


def _ordered(table: pd.DataFrame, shown: list[str]) -> pd.DataFrame:
    """The rows of the measures asked for first, in their order; the others as they are."""
    ranks = {name: rank for rank, name in enumerate(shown)}
    order = table["Measure"].map(lambda name: ranks.get(name, len(ranks)))
    return table.loc[order.sort_values(kind="stable").index]


def _separation(assay: pd.DataFrame, shown: list[str]) -> list[dict[str, Any]]:
    """Rows of the table: the measures shown, then those with the best Z' in their worst series."""
    worst = assay.groupby("Measure", sort=False)["ZPrime"].min(numeric_only=True)
    best = [str(name) for name in worst.sort_values(ascending=False, kind="stable").index]
    names = list(dict.fromkeys([*shown, *best]))[:MOST_MEASURES]
    return [
        {
            "measure": name,
            "plate": str(row["Metadata_Plate"]),
            "series": str(row["Series"]),
            "time": int(row["Metadata_Time"]),
            "zprime": _number(row["ZPrime"]),
            "good": row["ZPrime"] >= _GOOD_ZPRIME,
            "robust": _number(row["ZPrime_Robust"]),
            "ssmd": _number(row["SSMD"]),
            "positive": _spread(row, "Positive"),
            "negative": _spread(row, "Negative"),
            "reason": "" if pd.isna(row["Reason"]) else str(row["Reason"]),
        }
        for name in names
        for row in assay[assay["Measure"] == name].to_dict("records")
    ]


def _number(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{value:.2f}"


def _spread(row: dict[Any, Any], kind: str) -> str:
    """``5.89 ± 0.31 (8)``: mean, standard deviation and number of wells."""
    mean, deviation, wells = (row[f"{kind}_{name}"] for name in ("Mean", "StDev", "Wells"))
    return f"{_digits(mean)} ± {_digits(deviation)} ({int(wells)})" if np.isfinite(mean) else "–"


def _digits(value: float) -> str:
    if np.isfinite(value) and 1000 <= abs(value) < 1e7:
        return number(value)
    return "–" if not np.isfinite(value) else tick_text(float(f"{value:.3g}"))


def _drawing(data: RunData, row: dict[Any, Any]) -> dict[str, Any]:
    """The template's values for one curve, in SVG units."""
    axis: Axis = "step" if row["Axis"] == "step" else "concentration"
    prefix = "Midpoint_Step" if axis == "step" else "EC50"
    doses, values, controls = _wells(data, row)
    plate = str(row["Metadata_Plate"]) if len(data.plates) > 1 else ""
    title = ", ".join(filter(None, [plate, row["Series"]]))
    drawing: dict[str, Any] = {
        "title": title or "all wells",
        "measure": str(row["Measure"]),
        "time": int(row["Metadata_Time"]) if row["Metadata_Time"] else 0,
        "status": str(row["Status"]),
        "x_label": "step of the dilution series" if axis == "step" else f"concentration, {row['Unit']}",
        "points": [],
        "curve": "",
    }
    known = np.isfinite(doses) & np.isfinite(values)
    given = doses[known & (doses > 0)]
    if not len(given):
        return drawing
    x, zero = _dose_scale(given, axis)
    y = Scale(*_padded(values[known]), _HEIGHT - _BOTTOM, _TOP)

    def at(dose: float) -> float:
        return zero if dose <= 0 else x(dose if axis == "step" else float(np.log10(dose)))

    drawing |= {
        "left": _LEFT,
        "right": _WIDTH - _RIGHT,
        "bottom": _HEIGHT - _BOTTOM,
        "top": _TOP,
        "x_ticks": _dose_ticks(x, axis),
        "y_ticks": y.ticks(),
        "zero": zero if (doses[known] <= 0).any() else None,
        "points": [
            (at(dose), y(value), control)
            for dose, value, control in zip(doses[known], values[known], controls[known], strict=True)
        ],
    }
    if row["Status"]:
        return drawing
    middle, low, high = (float(row[f"{prefix}{end}"]) for end in ("", "_Low", "_High"))
    places = np.linspace(x.low, x.high, _POINTS)
    line = curve(
        places if axis == "step" else 10**places, row["Bottom"], row["Top"], row["Slope"], middle, axis
    )
    drawing["curve"] = "M" + "L".join(
        f"{x(place)} {y(value)}" for place, value in zip(places, line, strict=True)
    )
    begin = at(low) if np.isfinite(low) else _LEFT
    end = at(high) if np.isfinite(high) else _WIDTH - _RIGHT
    begin, end = max(begin, _LEFT), min(end, _WIDTH - _RIGHT)
    bounds = [_digits(one) if np.isfinite(one) else "not bounded" for one in (low, high)]
    unit = "" if axis == "step" else f" {row['Unit']}"
    drawing |= {
        "middle": at(middle),
        "interval": (round(begin, 1), round(max(end - begin, 1.0), 1)),
        "found": f"{'Midpoint at step' if axis == 'step' else 'EC50'} {_digits(middle)}{unit} "
        f"(95 %: {bounds[0]} to {bounds[1]}), slope {_digits(row['Slope'])}, R² {row['R2']:.3f}, "
        f"{int(row['Wells'])} wells"
        + (f", {int(row['Outliers'])} outliers left out" if row["Outliers"] else ""),
    }
    return drawing


def _wells(
    data: RunData, row: dict[Any, Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.str_]]:
    """Dose, value and kind of control of the wells of a curve (N,)."""
    wells = data.well_table
    here = wells["Metadata_Plate"] == row["Metadata_Plate"]
    here &= wells["Metadata_Time"] == row["Metadata_Time"]
    if _SERIES in wells:
        here &= wells[_SERIES].fillna("").astype(str) == row["Series"]
    chosen = wells[here]
    dose = str(data.experiment.get("dose_column") or "")
    numbers = [
        pd.to_numeric(chosen[name], errors="coerce").to_numpy(np.float64)
        if name in chosen
        else np.full(len(chosen), np.nan)
        for name in (dose, row["Measure"])
    ]
    controls = chosen[_CONTROL].astype(str) if _CONTROL in chosen else pd.Series([""] * len(chosen))
    return numbers[0], numbers[1], controls.to_numpy(np.str_)


def _padded(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    return (0.0 if 0 <= low < 0.3 * high else low - room), high + room


def _dose_scale(doses: NDArray[np.float64], axis: Axis) -> tuple[Scale, float]:
    """The scale of the doses above 0 (of their logarithms, for concentrations), and where dose 0 is drawn."""
    places = np.unique(doses if axis == "step" else np.log10(doses))
    zero = _LEFT + 16
    step = float(np.diff(places).min()) if len(places) > 1 else 1.0
    ends = float(places[0]) - 0.3 * step, float(places[-1]) + 0.3 * step
    return Scale(*ends, zero + 16, _WIDTH - _RIGHT), zero


def _dose_ticks(x: Scale, axis: Axis) -> list[tuple[float, str]]:
    if axis == "step":
        whole = range(int(np.ceil(x.low)), int(np.floor(x.high)) + 1)
        return [(x(step), str(step)) for step in whole] if len(whole) <= 16 else x.ticks()
    powers = range(int(np.ceil(x.low)), int(np.floor(x.high)) + 1)
    if len(powers) >= 2:
        return [(x(power), tick_text(10.0**power)) for power in powers]
    ends = np.linspace(x.low, x.high, 4)
    return [(x(place), tick_text(float(f"{10**place:.2g}"))) for place in ends.tolist()]


panel = Panel("Assay", 22, render)
