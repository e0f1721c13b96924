"""Dose-response curves of a run's wells: one row for each plate, time point, series and measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd

from nucbatch.experiment.assay import groups_of
from nucbatch.experiment.dose_response import Axis, fit_curve

DOSE_COLUMNS = (
    "Metadata_Plate", "Metadata_Time", "Series", "Measure", "Wells", "Outliers", "Axis", "Unit", "Bottom",
    "Top", "Slope", "EC50", "EC50_Low", "EC50_High", "Midpoint_Step", "Midpoint_Step_Low",
    "Midpoint_Step_High", "R2",
    "Status",
)  # fmt: skip


def dose_table(wells: pd.DataFrame, measures: Sequence[str], dose: str, axis: str, unit: str) -> pd.DataFrame:
    """Fits a curve to each measure of each series.

    Positive controls are not part of a curve: their dose may be a mark, or belong to another compound.
    Negative controls are its wells without compound. Wells without a value or a dose are left out.

    Args:
        wells: wells.csv with the column of doses, and those of controls and series if they are named.
        measures: columns of it.
        dose: the column with the dose.
        axis: ``step`` or ``concentration``.
        unit: of the concentrations.

    Returns:
        Columns :data:`DOSE_COLUMNS`. The midpoint of a curve over steps is ``Midpoint_Step``, and that over
        concentrations ``EC50``; the others are missing. ``Status`` says why there is no curve.
    """
    rows = []
    kind = cast(Axis, axis)
    for group in groups_of(wells):
        doses = wells[dose].to_numpy(dtype=np.float64, na_value=np.nan)
        doses = np.where(group.negative, 0.0, doses)
        inside = (group.wells | group.negative) & ~group.positive
        for measure in measures:
            values = wells[measure].to_numpy(dtype=np.float64, na_value=np.nan)
            fit = fit_curve(doses[inside], values[inside], kind)
            ends = [end if np.isfinite(end) else np.nan for end in (fit.low, fit.high)]
            middle, none = (fit.midpoint, *ends), (np.nan,) * 3
            places = (*none, *middle) if kind == "step" else (*middle, *none)
            shape = (fit.bottom, fit.top, fit.slope)
            of_group = (group.plate, group.time, group.series, measure, fit.wells, fit.outliers)
            rows.append((*of_group, axis, unit, *shape, *places, fit.r2, fit.status))
    return pd.DataFrame(rows, columns=list(DOSE_COLUMNS))
