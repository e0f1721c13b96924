"""Limits of the quality figures, from the run's own fields, and the flags of fields beyond them.

A limit is the median of all fields plus or minus several robust standard deviations (1.4826 times the median
absolute deviation), but never nearer to the median than a margin. The margin keeps a clean plate, whose
figures hardly vary, from being flagged at random. Fewer than eight fields have no spread of their own; then
absolute limits alone apply, and only to figures that have one.

A field with few nuclei is judged by its background and saturation alone, because its other figures are those
of a picture without objects.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from nucbatch.features.quality import (
    BACKGROUND_LEVEL,
    BLURRED,
    COUNT_OUTLIER,
    FEW_NUCLEI,
    HAZY,
    LITTERED,
    SATURATED,
    SATURATED_IN,
    SHADED,
)
from nucbatch.features.quality_figures import (
    BACKGROUND,
    COARSE,
    CONTRAST,
    DEBRIS,
    FINE,
    HAZE,
    SHADING,
)

FEWEST_FIELDS = 8
COUNT_Z = "QC_CountZ"
SATURATION = "QC_Saturated"
_COUNT = "Count_Nuclei"

_TO_DEVIATION = 1.4826  # times the median absolute deviation: the standard deviation of normal values
_MOST_SATURATED = 0.01
_BACKGROUND_MARGIN = 0.2  # of the median contrast
_BACKGROUND_DEVIATIONS = 6.0
_FEW = 0.1  # of the median count
_LEAST_MEDIAN = 10
_COUNT_DEVIATIONS = 6.0
_COUNT_SPREAD = 0.1  # of the count: fields of one plate vary by as much


@dataclass(frozen=True, slots=True)
class _Rule:
    """How a limit is found: ``sign`` is 1 for an upper limit and -1 for a lower one."""

    column: str
    flag: str
    sign: int
    deviations: float
    margin: float
    absolute: float


RULES = (
    _Rule(FINE, BLURRED, -1, 4.5, 0.4, -5.5),
    _Rule(COARSE, BLURRED, -1, 4.5, 0.4, -5.0),
    _Rule(SHADING, SHADED, 1, 6, 0.6, 1.0),
    _Rule(HAZE, HAZY, 1, 6, 0.06, 0.25),
    _Rule(DEBRIS, LITTERED, 1, 6, 0.005, 0.04),
)


@dataclass(frozen=True, slots=True)
class JudgedField:
    """A field that was counted.

    Attributes:
        key: its key.
        t: its time point.
        pixels: its size.
        nuclei: number of nuclei in its mask.
        figures: its ``QC_`` columns.
        colour: whether it is RGB; then full scale is white, and not saturation.
        kind: size and pixel type; grey levels of different kinds of images are not compared.
    """

    key: str
    t: int
    pixels: int
    nuclei: int
    figures: Mapping[str, float]
    colour: bool = False
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Flags by field, robust z of counts by field, and the limits for run.json."""

    flags: Mapping[str, list[str]]
    count_z: Mapping[str, float]
    quality: dict[str, Any]


def judge(fields: Sequence[JudgedField]) -> Judgement:
    """Finds the limits of a run's fields, and which fields lie beyond them.

    The result does not depend on the order of the fields, except that of the keys.
    """
    by_plate = len(fields) >= FEWEST_FIELDS
    few, typical = _few_limits(fields)
    is_few = {one.key: one.nuclei == 0 or one.nuclei < few.get(one.t, 0.0) * one.pixels for one in fields}
    count_z = _count_z(fields, typical)
    thresholds: dict[str, dict[str, Any]] = {}
    flags: dict[str, list[str]] = {one.key: [] for one in fields}

    def add(key: str, flag: str) -> None:
        if flag not in flags[key]:
            flags[key].append(flag)

    for rule in RULES:
        judged = [one for one in fields if rule.column in one.figures and not is_few[one.key]]
        limit = _limit(rule, [one.figures[rule.column] for one in judged])
        thresholds[rule.column] = _shown(rule.flag, **{"high" if rule.sign > 0 else "low": limit})
        for one in judged:
            if rule.sign * (one.figures[rule.column] - limit) > 0:
                add(one.key, rule.flag)
    thresholds[SATURATION] = _shown(SATURATED, high=_MOST_SATURATED)
    for one in fields:
        dark = one.colour or one.figures.get(CONTRAST, 1.0) <= 0
        if not dark and one.figures.get(SATURATION, 0.0) > _MOST_SATURATED:
            add(one.key, SATURATED)
        for column, value in one.figures.items():
            if column.startswith(SATURATED_IN) and value > _MOST_SATURATED:
                add(one.key, f"{SATURATED} {column.removeprefix(SATURATED_IN).replace(';', ',')}")
    for kind in _kinds(fields):
        alike = [one for one in fields if one.kind == kind and BACKGROUND in one.figures]
        low, high = _background_limits(alike)
        thresholds[BACKGROUND] = _shown(BACKGROUND_LEVEL, low, high)  # that of the most frequent kind stays
        if low is not None and high is not None:
            for one in alike:
                if not low <= one.figures[BACKGROUND] <= high:
                    add(one.key, BACKGROUND_LEVEL)
    thresholds.setdefault(BACKGROUND, _shown(BACKGROUND_LEVEL))
    thresholds[COUNT_Z] = _shown(
        COUNT_OUTLIER, *((-_COUNT_DEVIATIONS, _COUNT_DEVIATIONS) if count_z else (None, None))
    )
    pixels = median([one.pixels for one in fields]) if fields else 0
    thresholds[_COUNT] = _shown(FEW_NUCLEI, low=min(few.values(), default=0.0) * pixels or 1.0)
    for one in fields:
        if is_few[one.key]:
            add(one.key, FEW_NUCLEI)
        elif abs(count_z.get(one.key, 0.0)) > _COUNT_DEVIATIONS:
            add(one.key, COUNT_OUTLIER)
    quality = {
        "fields": len(fields),
        "limits": "from the fields of this run"
        if by_plate
        else f"absolute, because there are fewer than {FEWEST_FIELDS} fields",
        "thresholds": thresholds,
    }
    return Judgement(flags, count_z, quality)


def _shown(flag: str, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"flag": flag, "low": low, "high": high}


def _limit(rule: _Rule, values: Sequence[float]) -> float:
    if len(values) < FEWEST_FIELDS:
        return rule.absolute
    middle, deviation = _robust(values)
    return middle + rule.sign * max(rule.deviations * deviation, rule.margin)


def _kinds(fields: Sequence[JudgedField]) -> list[str]:
    """Returns the kinds of images, the most frequent last."""
    return [
        kind for kind, _ in sorted(Counter(one.kind for one in fields).items(), key=lambda pair: pair[::-1])
    ]


def _background_limits(fields: Sequence[JudgedField]) -> tuple[float | None, float | None]:
    levels = [one.figures[BACKGROUND] for one in fields]
    contrasts = [one.figures[CONTRAST] for one in fields if one.figures.get(CONTRAST, 0.0) > 0]
    if min(len(levels), len(contrasts)) < FEWEST_FIELDS:
        return None, None
    middle, deviation = _robust(levels)
    margin = max(_BACKGROUND_DEVIATIONS * deviation, _BACKGROUND_MARGIN * median(contrasts))
    return middle - margin, middle + margin


def _few_limits(fields: Sequence[JudgedField]) -> tuple[dict[int, float], dict[int, float]]:
    """Returns for each time point of enough fields the limit, and the median of nuclei per pixel."""
    densities: dict[int, list[float]] = {}
    for one in fields:
        densities.setdefault(one.t, []).append(one.nuclei / one.pixels)
    typical = {t: median(values) for t, values in densities.items() if len(values) >= FEWEST_FIELDS}
    pixels = median([one.pixels for one in fields]) if fields else 0
    few = {t: _FEW * value for t, value in typical.items() if value * pixels >= _LEAST_MEDIAN}
    return few, typical


def _count_z(fields: Sequence[JudgedField], typical: Mapping[int, float]) -> dict[str, float]:
    """Returns for each field how many robust deviations its count is from that of its time point.

    Twice the square root of a count has the standard deviation 1 if nuclei are independent of each other.
    """
    distance = {
        one.key: 2 * (math.sqrt(one.nuclei) - math.sqrt(typical[one.t] * one.pixels))
        for one in fields
        if one.t in typical
    }
    spread = {
        t: _TO_DEVIATION * median([abs(distance[one.key]) for one in fields if one.t == t]) for t in typical
    }
    return {
        one.key: distance[one.key]
        / max(spread[one.t], 1.0, _COUNT_SPREAD * math.sqrt(typical[one.t] * one.pixels))
        for one in fields
        if one.t in typical
    }


def _robust(values: Sequence[float]) -> tuple[float, float]:
    """Returns median and robust standard deviation."""
    middle = median(values)
    return middle, _TO_DEVIATION * median([abs(value - middle) for value in values])
