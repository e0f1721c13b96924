"""Chooses the measures of an assay: which columns can measure an effect, and which one to show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from nucbatch.core.errors import InputError
from nucbatch.experiment.assay import assay_table
from nucbatch.experiment.description import SERIES

_COUNTS = ("Count_Nuclei_PerField_Mean", "Count_Nuclei_PerMm2")
_NO_BIOLOGY = (
    "_Location_",
    "_Center_",
    "_ObjectNumber",
    "_Number_Object",
    "_Parent_",
    "_Neighbors_FirstClosest",
)


def measures_of(wells: pd.DataFrame) -> list[str]:
    """Returns the columns of wells.csv that can measure an effect: counts per field, means, medians."""
    statistics = [
        name
        for name in map(str, wells.columns)
        if name.startswith(("Mean_", "Median_")) and not any(part in name for part in _NO_BIOLOGY)
    ]
    return [name for name in (*_COUNTS, *statistics) if name in wells and wells[name].dtype.kind in "fiu"]


def chosen_measures(asked: Sequence[str], known: Sequence[str]) -> list[str]:
    """Finds measures by their names, or by the ends of their names, in any case; means come before medians.

    >>> chosen_measures(["ratio_GFP"], ["Median_Nuclei_Math_Ratio_GFP", "Mean_Nuclei_Math_Ratio_GFP"])
    ['Mean_Nuclei_Math_Ratio_GFP']

    Raises:
        InputError: there is no such measure.
    """
    ordered = sorted(known, key=lambda name: (name.startswith("Median_"), "_Nuclei_" not in name))
    found = []
    for name in asked:
        wanted = name.strip().casefold()
        hit = next((one for one in known if one.casefold() == wanted), None) or next(
            (one for one in ordered if one.casefold().endswith(f"_{wanted}")), None
        )
        if hit is None:
            parts = {part for part in wanted.split("_") if len(part) > 2}
            near = sorted(known, key=lambda one: -sum(part in one.casefold() for part in parts))[:4]
            raise InputError(
                f"--measure {name}: wells.csv has no such measure. The nearest are "
                f"{', '.join(near) or 'none'}."
            )
        found.append(hit)
    return list(dict.fromkeys(found))


def best_measure(wells: pd.DataFrame, assay: pd.DataFrame, measures: Sequence[str]) -> str:
    """Returns the measure that separates the controls best; empty if the control wells can't tell.

    It is the measure whose worst series has the highest Z', at the time point where that is highest. Where no
    Z' is above 0, because the series have too few control wells each, or a failed well leaves too few for
    some measures, the controls of each plate are taken together, and then measures with two wells of each
    control are compared too.
    """
    best, z = _highest(assay, assay["ZPrime"])
    if z > 0:
        return best
    together = assay_table(wells.drop(columns=SERIES), measures) if SERIES in wells else assay
    for by in (together["ZPrime"], _of_few_wells(together)):
        other, z = _highest(together, by)
        if z > 0:
            return other
    return best


def _highest(assay: pd.DataFrame, z: pd.Series[float]) -> tuple[str, float]:
    """Returns the measure with the highest value, and the value; ``z`` has one per row of the table."""
    if not z.notna().any():
        return "", np.nan
    groups = z.groupby([assay["Measure"], assay["Metadata_Time"]], sort=False)
    worst = groups.min().where(groups.count() == groups.size())
    worst = worst if worst.notna().any() else groups.min()
    best = worst.groupby(level="Measure", sort=False).max()
    return str(best.idxmax()), float(best.max())


def _of_few_wells(assay: pd.DataFrame) -> pd.Series[float]:
    """Returns a Z' for two wells of a control, whose standard deviations may be small by chance.

    So the larger one of both controls counts twice, and one of 0 not at all.
    """
    spread = assay[["Positive_StDev", "Negative_StDev"]].max(axis=1, skipna=False)
    difference = (assay["Positive_Mean"] - assay["Negative_Mean"]).abs()
    return (1 - 6 * spread / difference).where((spread > 0) & (difference > 0))


def varying_ratio(wells: pd.DataFrame, measures: Sequence[str]) -> str:
    """Returns the measure to show if no controls tell: the ratio of nucleus and ring of one channel.

    It is the channel whose ratio varies most among the wells. Without ratios it is the first measure.
    """
    ratios = [
        name for name in measures if name.startswith("Median_") and "_Math_NucleusCytoplasmRatio_" in name
    ]
    if not ratios:
        return measures[0]
    values = wells[ratios].astype(np.float64)
    spread = (values.std() / values.mean()).fillna(0.0)
    return str(spread.idxmax())
