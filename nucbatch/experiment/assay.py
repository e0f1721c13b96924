"""Assay quality from control wells, and wells normalised by their controls.

One statistic is made of well values: each well counts once, whatever its number of nuclei. A well without a
value (failed, or without nuclei) is left out, and never counts as 0.

- ``ZPrime`` = 1 - 3 (sp + sn) / abs(mp - mn) with means m and sample standard deviations s of the positive
  and the negative controls: Zhang, Chung, Oldenburg, J. Biomol. Screen. 4 (1999) 67-73.
- ``ZPrime_Robust``: the same with medians, and 1.4826 times the median absolute deviation.
- ``SSMD`` = (mp - mn) / sqrt(sp² + sn²), for independent groups: Zhang XD, Genomics 89 (2007) 552-561.
- Percent of control = 100 x / mn, percent effect = 100 (x - mn) / (mp - mn): Malo et al., Nat. Biotechnol. 24
  (2006) 167-175 (there: normalised percent inhibition). z-score = (x - mn) / sn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from nucbatch.core.errors import InputError
from nucbatch.experiment.description import CONTROL, NEGATIVE, POSITIVE, SERIES

ASSAY_COLUMNS = (
    "Metadata_Plate", "Metadata_Time", "Series", "Measure", "Positive_Wells", "Positive_Mean",
    "Positive_StDev",
    "Negative_Wells", "Negative_Mean", "Negative_StDev", "ZPrime", "SSMD", "ZPrime_Robust", "Reason",
)  # fmt: skip
FEWEST_WELLS = 3
"""Wells that a control needs for a standard deviation."""

_COUNTS = ("Count_Nuclei_PerField_Mean", "Count_Nuclei_PerMm2")
_NO_BIOLOGY = (
    "_Location_",
    "_Center_",
    "_ObjectNumber",
    "_Number_Object",
    "_Parent_",
    "_Neighbors_FirstClosest",
)
_MAD_TO_SD = 1.4826
_ALIKE = 1e-12  # relative difference of means below which controls have the same mean

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Group:
    """Wells that are judged together: one series of a plate at one time point.

    ``wells``, ``positive`` and ``negative`` are masks over the table of wells (N,). Controls that belong to
    no series count for all series that have none of their kind.
    """

    plate: str
    time: int
    series: str
    wells: Mask
    positive: Mask
    negative: Mask


def measures_of(wells: pd.DataFrame) -> list[str]:
    """Returns the columns of wells.csv that can measure an effect: counts per field, means, medians."""
    statistics = [
        name
        for name in map(str, wells.columns)
        if name.startswith(("Mean_", "Median_")) and not any(part in name for part in _NO_BIOLOGY)
    ]
    return [name for name in (*_COUNTS, *statistics) if name in wells and wells[name].dtype.kind in "fiu"]


def chosen_measures(asked: Sequence[str], known: Sequence[str]) -> list[str]:
    """Finds measures by their names, with or without ``Mean_``, in any case.

    Raises:
        InputError: there is no such measure.
    """
    folded = {name.casefold(): name for name in reversed(known)}
    found = []
    for name in asked:
        wanted = name.strip().casefold()
        spelled = (wanted, f"mean_{wanted}", f"mean_nuclei_{wanted}", f"median_{wanted}")
        hit = next((folded[one] for one in spelled if one in folded), None)
        if hit is None:
            parts = {part for part in wanted.split("_") if len(part) > 2}
            near = sorted(known, key=lambda one: -sum(part in one.casefold() for part in parts))[:4]
            raise InputError(
                f"--measure {name}: wells.csv has no such measure. The nearest are "
                f"{', '.join(near) or 'none'}."
            )
        found.append(hit)
    return list(dict.fromkeys(found))


def groups_of(wells: pd.DataFrame) -> list[Group]:
    """Returns the series of each plate and time point, in the order of the wells."""
    control = _texts(wells, CONTROL)
    series = _texts(wells, SERIES)
    groups = []
    for plate, time, here in _plates(wells):
        names = [name for name in dict.fromkeys(series[here].tolist()) if name]
        sampled = [name for name in names if (here & (series == name) & (control == "")).any()]
        real = sampled or names
        shared = here & ~np.isin(series, real)
        for name in real or [""]:
            inside = here & (series == name) if real else here
            kinds = [
                own if (own := inside & (control == kind)).any() else shared & (control == kind)
                for kind in (POSITIVE, NEGATIVE)
            ]
            groups.append(Group(plate, time, name, inside, *kinds))
    return groups


def assay_table(wells: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Returns the separation of the controls: one row per plate, time point, series and measure.

    Args:
        wells: wells.csv with the column of controls.
        measures: columns of it.

    Returns:
        Columns :data:`ASSAY_COLUMNS`. Statistics are missing where controls do not allow them; ``Reason``
        says why.

    """
    rows = []
    for group in groups_of(wells):
        for measure in measures:
            values = _numbers(wells, measure)
            positive, negative = values[group.positive], values[group.negative]
            positive, negative = positive[np.isfinite(positive)], negative[np.isfinite(negative)]
            (mp, sp), (mn, sn) = _mean_sd(positive), _mean_sd(negative)
            z, ssmd, robust, reason = separation(positive, negative)
            figures = (len(positive), mp, sp, len(negative), mn, sn, z, ssmd, robust, reason)
            rows.append((group.plate, group.time, group.series, measure, *figures))
    return pd.DataFrame(rows, columns=list(ASSAY_COLUMNS))


def separation(positive: Floats, negative: Floats) -> tuple[float, float, float, str]:
    """Returns Z', SSMD, robust Z' of control values, and the reason why they are NaN.

    >>> [round(one, 2) for one in separation(np.array([9.0, 10, 11]), np.array([0.0, 1, 2]))[:3]]
    [0.33, 6.36, 0.01]
    """
    missing = np.nan, np.nan, np.nan
    for kind, values in ((POSITIVE, positive), (NEGATIVE, negative)):
        if len(values) < FEWEST_WELLS:
            return *missing, f"{len(values)} {kind} control wells with a value, {FEWEST_WELLS} are needed"
    (mp, sp), (mn, sn) = _mean_sd(positive), _mean_sd(negative)
    if abs(mp - mn) <= _ALIKE * max(abs(mp), abs(mn)):
        return *missing, "both controls have the same mean"
    spread = float(np.hypot(sp, sn))
    z = 1 - 3 * (sp + sn) / abs(mp - mn)
    ssmd = (mp - mn) / spread if spread else np.nan
    (dp, rp), (dn, rn) = _median_mad(positive), _median_mad(negative)
    robust = 1 - 3 * (rp + rn) / abs(dp - dn) if abs(dp - dn) > _ALIKE * max(abs(dp), abs(dn)) else np.nan
    return z, ssmd, robust, ""


def best_measure(assay: pd.DataFrame) -> str:
    """Returns the measure whose worst series has the highest Z', at the time point where that is highest.

    Empty if no measure has a Z'.
    """
    known = assay.dropna(subset=["ZPrime"])
    if known.empty:
        return ""
    groups = assay.groupby(["Measure", "Metadata_Time"], sort=False)["ZPrime"]
    worst = groups.min().where(groups.count() == groups.size())
    worst = worst if worst.notna().any() else groups.min()
    best = worst.groupby(level="Measure", sort=False).max()
    return str(best.idxmax())


def normalised_table(wells: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Returns the wells with each measure relative to the controls of their plate, time point and series.

    Wells outside all series are compared with the plate's controls. Values are missing where a control is.

    Returns:
        The Metadata_ columns of wells.csv, and for each measure ``PercentOfControl_``, ``PercentEffect_`` and
        ``ZScore_`` with its name.
    """
    columns: dict[str, Floats] = {}
    groups = [*_outside(wells), *groups_of(wells)]
    for measure in measures:
        values = _numbers(wells, measure)
        percent, effect, score = (np.full(len(wells), np.nan) for _ in range(3))
        for group in groups:
            judged = group.wells | group.positive | group.negative
            x = values[judged]
            mean_positive, _ = _mean_sd(_finite(values[group.positive]))
            mean, sd = _mean_sd(_finite(values[group.negative]))
            percent[judged] = 100 * x / mean if mean else np.nan
            effect[judged] = 100 * (x - mean) / (mean_positive - mean) if mean_positive != mean else np.nan
            score[judged] = (x - mean) / sd if sd else np.nan
        columns |= {f"PercentOfControl_{measure}": percent, f"PercentEffect_{measure}": effect}
        columns[f"ZScore_{measure}"] = score
    metadata = [name for name in map(str, wells.columns) if name.startswith("Metadata_")]
    return pd.concat([wells[metadata], pd.DataFrame(columns, index=wells.index)], axis=1)


def doubtful_controls(wells: pd.DataFrame, measure: str) -> list[str]:
    """Returns sentences about control wells whose value is nearer to the other control's median.

    Such a well may be mislabelled: the table may be mirrored, or shifted.
    """
    sentences = []
    values = _numbers(wells, measure)
    names = _texts(wells, "Metadata_Well")
    for group in groups_of(wells):
        positive, negative = (_median(values[one]) for one in (group.positive, group.negative))
        for kind, mask, own, other in (
            (POSITIVE, group.positive, positive, negative),
            (NEGATIVE, group.negative, negative, positive),
        ):
            with np.errstate(invalid="ignore"):
                odd = mask & (np.abs(values - other) < np.abs(values - own))
            if odd.any():
                sentences.append(
                    f"Controls of {group.plate} that look like the other kind in {measure}: {kind} "
                    f"{', '.join(names[odd])}. Are these wells labelled correctly?"
                )
    return list(dict.fromkeys(sentences))


def _outside(wells: pd.DataFrame) -> Iterator[Group]:
    """Yields all wells of each plate and time point as one group, if there are series."""
    if SERIES not in wells:
        return
    control = _texts(wells, CONTROL)
    for plate, time, here in _plates(wells):
        yield Group(plate, time, "", here, here & (control == POSITIVE), here & (control == NEGATIVE))


def _plates(wells: pd.DataFrame) -> Iterator[tuple[str, int, Mask]]:
    """Yields plate, time point and mask (N,) of the wells of each."""
    plates, times = _texts(wells, "Metadata_Plate"), wells["Metadata_Time"].to_numpy()
    for plate, time in sorted(set(zip(plates.tolist(), times.tolist(), strict=True))):
        yield plate, int(time), np.asarray((plates == plate) & (times == time), bool)


def _numbers(wells: pd.DataFrame, name: str) -> Floats:
    return wells[name].to_numpy(dtype=np.float64, na_value=np.nan)


def _texts(wells: pd.DataFrame, name: str) -> npt.NDArray[np.object_]:
    if name not in wells:
        return np.full(len(wells), "", object)
    return wells[name].fillna("").astype(str).to_numpy(dtype=object)


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _mean_sd(values: Floats) -> tuple[float, float]:
    mean = float(values.mean()) if len(values) else np.nan
    return mean, float(values.std(ddof=1)) if len(values) > 1 else np.nan


def _median(values: Floats) -> float:
    known = _finite(values)
    return float(np.median(known)) if len(known) else np.nan


def _median_mad(values: Floats) -> tuple[float, float]:
    center = float(np.median(values))
    return center, _MAD_TO_SD * float(np.median(np.abs(values - center)))
