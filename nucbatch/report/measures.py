"""The measures that the plate map can show: one value per well and time point, with limits of the colours.

A value that is a sum over fields (the number of nuclei in a well) is missing where some fields were not
counted, because a smaller sum would look like a biological effect. Means over counted fields or nuclei stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nucbatch.report.run_data import RunData
from nucbatch.report.wells import WellState, well_numbers

LIMITS = (2, 98)
"""Percentiles of the wells' values between which the colours run."""

MOST_VALUES = 450_000
"""Values in the page, of all measures together: 2.4 MB."""

_COUNTS = {
    "Count_Nuclei_PerField_Mean": "Nuclei per counted field",
    "Count_Nuclei": "Nuclei per well",
    "Count_Nuclei_PerMm2": "Nuclei per mm²",
    "Confluence_Nuclei": "Fraction of the area in nuclei",
}
_STATISTICS = {"Mean_": "Means over a well's nuclei", "Median_": "Medians over a well's nuclei"}
QUALITY = "Quality, mean over counted fields"


@dataclass(frozen=True, slots=True)
class Measure:
    """Values (W,) of a measure in the order of :attr:`RunData.wells`; NaN where a well has none.

    ``name``: its column in wells.csv or fields.parquet. ``group``: heading in the list of measures.
    """

    name: str
    label: str
    group: str
    values: NDArray[np.float64]

    @property
    def limits(self) -> tuple[float, float]:
        """Values at both ends of the colours."""
        return colour_range(self.values)


def colour_range(values: NDArray[np.float64]) -> tuple[float, float]:
    """The 2nd and the 98th percentile of the values; from 0 if they are not all in the upper half.

    A single value, and values that are all the same, have colours from 0 to the value.

    >>> colour_range(np.array([5.0, 7.0, 100.0]))[0], colour_range(np.array([80.0, 80.0]))
    (0.0, (0.0, 80.0))
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    low, high = (float(limit) for limit in np.percentile(known, LIMITS))
    if low == high:  # most wells are alike: the extremes are what differs
        low, high = float(known.min()), float(known.max())
    if low == high:
        return (0.0, high or 1.0) if high >= 0 else (low, 0.0)
    return (low, high) if low < 0 or low * 2 > high else (0.0, high)


def well_measures(data: RunData) -> list[Measure]:
    """All measures of the wells, with their values: see :func:`_well_measures`."""
    return data.once(_well_measures)


def _well_measures(data: RunData) -> list[Measure]:
    """All measures of the wells: counts, quality figures, then means and medians as wells.csv has them."""
    wells = data.well_table
    numbers = wells.select_dtypes(["number", "bool"])
    measures = []
    incomplete = np.array([well.state is WellState.PARTLY for well in data.wells])
    for name, label in _COUNTS.items():
        if name in wells:
            values = wells[name].to_numpy(np.float64, na_value=np.nan)
            hidden = incomplete if name == "Count_Nuclei" else np.zeros(len(values), bool)
            measures.append(Measure(name, label, "Counts", np.where(hidden, np.nan, values)))
    measures += quality_measures(data)
    for prefix, group in _STATISTICS.items():
        names = [name for name in numbers.columns if str(name).startswith(prefix)]
        measures += _with_values(names, numbers[names], group)
    return measures


def shown_measures(data: RunData) -> tuple[list[Measure], int]:
    """The measures that fit the page, and how many do not."""
    measures = well_measures(data)
    most = MOST_VALUES // max(len(data.wells), 1)
    return measures[:most], max(len(measures) - most, 0)


def quality_measures(data: RunData) -> list[Measure]:
    """The quality figures of the wells: see :func:`_quality_measures`."""
    return data.once(_quality_measures)


def _quality_measures(data: RunData) -> list[Measure]:
    """Each ``QC_`` column of fields.parquet as the mean over a well's counted fields."""
    if not data.figures or not data.wells:
        return []
    numbers = well_numbers(data.done, data.wells)
    means = {
        name: data.done_with(name)[name].groupby(numbers).mean().reindex(range(len(data.wells)))
        for name in data.figures  # one at a time: all together are most of what the table holds
    }
    return _with_values(list(means), pd.DataFrame(means) + 0.0, QUALITY)  # no negative zeros


def _with_values(names: list[str], table: pd.DataFrame, group: str) -> list[Measure]:
    """The columns of a table of numbers as measures, without those that have no value."""
    columns = np.ascontiguousarray(table.to_numpy(np.float64, na_value=np.nan).T)
    return [
        Measure(name, name.removeprefix("QC_"), group, values)
        for name, values in zip(map(str, names), columns, strict=True)
        if np.isfinite(values).any()
    ]
