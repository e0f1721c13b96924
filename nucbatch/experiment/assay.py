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

from nucbatch.experiment.description import CONTROL, NEGATIVE, POSITIVE, SERIES

ASSAY_COLUMNS = (
    "Metadata_Plate", "Metadata_Time", "Series", "Measure", "Positive_Wells", "Positive_Mean",
    "Positive_StDev",
    "Negative_Wells", "Negative_Mean", "Negative_StDev", "ZPrime", "SSMD", "ZPrime_Robust", "Reason",
)  # fmt: skip
FEWEST_WELLS = 3
"""Wells that a control needs for a standard deviation."""

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
    values = _matrix(wells, measures)
    parts = []
    for group in groups_of(wells):
        positive, negative = _Control.of(values[group.positive]), _Control.of(values[group.negative])
        z, ssmd, robust, reasons = _separations(positive, negative)
        figures = (
            positive.wells, positive.mean, positive.sd, negative.wells, negative.mean, negative.sd, z, ssmd,
            robust, reasons,
        )  # fmt: skip
        of_group = (group.plate, group.time, group.series, list(measures))
        parts.append(pd.DataFrame(dict(zip(ASSAY_COLUMNS, (*of_group, *figures), strict=True))))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(ASSAY_COLUMNS))


def separation(positive: Floats, negative: Floats) -> tuple[float, float, float, str]:
    """Returns Z', SSMD, robust Z' of control values, and the reason why they are NaN.

    >>> [round(one, 2) for one in separation(np.array([9.0, 10, 11]), np.array([0.0, 1, 2]))[:3]]
    [0.33, 6.36, 0.01]
    """
    sides = (_Control.of(np.asarray(one, np.float64)[:, None]) for one in (positive, negative))
    z, ssmd, robust, reasons = _separations(*sides)
    return float(z[0]), float(ssmd[0]), float(robust[0]), reasons[0]


@dataclass(frozen=True, slots=True)
class _Control:
    """Statistics (M,) of the wells of a control for M measures: of the wells with a value."""

    wells: npt.NDArray[np.int64]
    mean: Floats
    sd: Floats
    median: Floats
    robust_sd: Floats

    @classmethod
    def of(cls, values: Floats) -> _Control:
        """Returns the statistics of values (N, M); NaN where there is no value, and sd below two wells."""
        known = np.isfinite(values)
        wells = known.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(known, values, 0.0).sum(axis=0) / wells
            squares = np.where(known, (values - mean) ** 2, 0.0).sum(axis=0)
            sd = np.where(wells > 1, np.sqrt(squares / (wells - 1)), np.nan)
            median = _medians(values, known)
            robust_sd = _MAD_TO_SD * _medians(np.abs(values - median), known)
        return cls(wells, mean, sd, median, robust_sd)


def _separations(positive: _Control, negative: _Control) -> tuple[Floats, Floats, Floats, list[str]]:
    """Returns Z', SSMD and robust Z' (M,), and the reason where they are NaN."""
    reasons = [
        next(
            (
                f"{wells} {kind} control well{'s' * (wells != 1)} with a value, {FEWEST_WELLS} are needed"
                for kind, wells in ((POSITIVE, of_positive), (NEGATIVE, of_negative))
                if wells < FEWEST_WELLS
            ),
            "both controls have the same mean" if alike else "",
        )
        for of_positive, of_negative, alike in zip(
            positive.wells.tolist(),
            negative.wells.tolist(),
            _alike(positive.mean, negative.mean).tolist(),
            strict=True,
        )
    ]
    none = np.array([bool(reason) for reason in reasons])
    same_median = _alike(positive.median, negative.median)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = 1 - 3 * (positive.sd + negative.sd) / np.abs(positive.mean - negative.mean)
        spread = np.hypot(positive.sd, negative.sd)
        ssmd = np.where(spread > 0, (positive.mean - negative.mean) / spread, np.nan)
        robust = 1 - 3 * (positive.robust_sd + negative.robust_sd) / np.abs(positive.median - negative.median)
    return (
        np.where(none, np.nan, z),
        np.where(none, np.nan, ssmd),
        np.where(none | same_median, np.nan, robust),
        reasons,
    )


def _alike(one: Floats, other: Floats) -> Mask:
    return np.asarray(np.abs(one - other) <= _ALIKE * np.maximum(np.abs(one), np.abs(other)), bool)


def _medians(values: Floats, known: Mask) -> Floats:
    """Returns the medians (M,) of the known values (N, M); NaN where there is none."""
    if not len(values):
        return np.full(values.shape[1], np.nan)
    ordered = np.sort(np.where(known, values, np.inf), axis=0)
    wells = known.sum(axis=0)
    at = np.arange(values.shape[1])
    lower, upper = (
        ordered[np.clip(place, 0, len(values) - 1), at] for place in ((wells - 1) // 2, wells // 2)
    )
    return np.where(wells > 0, (lower + upper) / 2, np.nan)


def normalised_table(wells: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Returns the wells with each measure relative to the controls of their plate, time point and series.

    Wells outside all series are compared with the plate's controls. Values are missing where a control is.

    Returns:
        The Metadata_ columns of wells.csv, and for each measure ``PercentOfControl_``, ``PercentEffect_`` and
        ``ZScore_`` with its name.
    """
    values = _matrix(wells, measures)
    percent, effect, score = (np.full(values.shape, np.nan) for _ in range(3))
    for group in [*_outside(wells), *groups_of(wells)]:
        judged = group.wells | group.positive | group.negative
        positive, negative = _Control.of(values[group.positive]), _Control.of(values[group.negative])
        x = values[judged]
        with np.errstate(invalid="ignore", divide="ignore"):
            percent[judged] = _finite_or_nan(100 * x / negative.mean)
            effect[judged] = _finite_or_nan(100 * (x - negative.mean) / (positive.mean - negative.mean))
            score[judged] = _finite_or_nan((x - negative.mean) / negative.sd)
    columns: dict[str, Floats] = {}
    for at, measure in enumerate(measures):
        columns[f"PercentOfControl_{measure}"] = percent[:, at]
        columns[f"PercentEffect_{measure}"] = effect[:, at]
        columns[f"ZScore_{measure}"] = score[:, at]
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


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else np.nan


def _finite_or_nan(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)


def _matrix(wells: pd.DataFrame, measures: Sequence[str]) -> Floats:
    """Returns the values (N, M) of measures."""
    return (
        np.column_stack([_numbers(wells, name) for name in measures])
        if measures
        else np.empty((len(wells), 0))
    )
