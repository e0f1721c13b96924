"""Limits of the quality figures, from the run's own fields, and the flags of fields beyond them.

A limit is the median of all fields plus or minus several robust standard deviations (1.4826 times the median
absolute deviation), but never nearer to the median than a margin. The margin keeps a clean plate, whose
figures hardly vary, from being flagged at random. Fewer than eight fields have no spread of their own; then
absolute limits alone apply, and only to figures that have one.

The figures of a run's fields are held by column, because a plate may have 10⁶ fields.

A field with few nuclei is judged by its background and saturation alone, because its other figures are those
of a picture without objects.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

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

Floats = npt.NDArray[np.float64]

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


_JUDGED = (*(rule.column for rule in RULES), SATURATION, CONTRAST, BACKGROUND)


@dataclass(frozen=True, slots=True)
class JudgedField:
    """A field that was counted.

    Attributes:
        t: its time point.
        pixels: its size.
        nuclei: number of nuclei in its mask.
        figures: its ``QC_`` columns.
        colour: whether it is RGB; then full scale is white, and not saturation.
        kind: size and pixel type; grey levels of different kinds of images are not compared.
    """

    t: int
    pixels: int
    nuclei: int
    figures: Mapping[str, float]
    colour: bool = False
    kind: str = ""


class JudgedFields:
    """The fields of a run that were counted, by column; fields are appended one at a time."""

    def __init__(self) -> None:
        self._t, self._pixels, self._nuclei, self._kind = array("q"), array("q"), array("q"), array("i")
        self._colour = bytearray()
        self._figures = {name: array("d") for name in _JUDGED}
        self._kinds: dict[str, int] = {}
        self.saturated_in: dict[int, list[str]] = {}
        """Channels that are not segmented and have too many saturated pixels, by the field's place."""

    @classmethod
    def of(cls, fields: Iterable[JudgedField]) -> Self:
        """Holds the fields by column, as they come."""
        held = cls()
        for one in fields:
            held.append(one)
        return held

    def append(self, one: JudgedField) -> None:
        """Adds a field."""
        saturated = [
            name.removeprefix(SATURATED_IN)
            for name, value in one.figures.items()
            if value > _MOST_SATURATED and name.startswith(SATURATED_IN)
        ]
        if saturated:
            self.saturated_in[len(self)] = saturated
        self._t.append(one.t)
        self._pixels.append(one.pixels)
        self._nuclei.append(one.nuclei)
        self._colour.append(one.colour)
        self._kind.append(self._kinds.setdefault(one.kind, len(self._kinds)))
        for name, values in self._figures.items():
            values.append(one.figures.get(name, math.nan))

    def __len__(self) -> int:
        return len(self._t)

    @property
    def t(self) -> npt.NDArray[np.int64]:
        """Time points (N,)."""
        return np.array(self._t, np.int64)

    @property
    def pixels(self) -> npt.NDArray[np.int64]:
        """Sizes (N,)."""
        return np.array(self._pixels, np.int64)

    @property
    def nuclei(self) -> npt.NDArray[np.int64]:
        """Numbers of nuclei (N,)."""
        return np.array(self._nuclei, np.int64)

    @property
    def colour(self) -> npt.NDArray[np.bool_]:
        """Which fields are RGB (N,)."""
        return np.array(self._colour, np.bool_)

    def figure(self, name: str) -> Floats:
        """A figure of all fields (N,); NaN for those that don't have it."""
        return np.array(self._figures[name], np.float64)

    def of_kinds(self) -> Iterable[npt.NDArray[np.bool_]]:
        """Yields for each kind of image which fields are of it (N,), the most frequent kind last."""
        kinds = np.array(self._kind, np.int32)
        named = list(self._kinds)
        for kind, _ in sorted(
            Counter(map(named.__getitem__, self._kind)).items(), key=lambda pair: pair[::-1]
        ):
            yield kinds == self._kinds[kind]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Doubts about the fields of a run.

    ``flags``: those of fields that have any, by the field's place. ``count_z``: robust z of the counts (N,),
    NaN where too few fields are of one time point. ``quality``: the limits, for run.json.
    """

    flags: Mapping[int, list[str]]
    count_z: Floats
    quality: dict[str, Any]


def judge(fields: JudgedFields) -> Judgement:
    """Finds the limits of a run's fields, and which fields lie beyond them.

    The result does not depend on the order of the fields, except that of the places.
    """
    by_plate = len(fields) >= FEWEST_FIELDS
    t, pixels, nuclei = fields.t, fields.pixels, fields.nuclei
    typical = _typical(t, nuclei / pixels)
    middle_pixels = median(pixels) if len(fields) else 0.0
    few = {time: _FEW * value for time, value in typical.items() if value * middle_pixels >= _LEAST_MEDIAN}
    is_few = (nuclei == 0) | (nuclei < _of_times(t, few, 0.0) * pixels)
    count_z = _count_z(fields, typical)
    thresholds: dict[str, dict[str, Any]] = {}
    flags: dict[int, list[str]] = {}

    def add(flagged: npt.NDArray[np.bool_], flag: str) -> None:
        for place in np.flatnonzero(flagged).tolist():
            if flag not in flags.setdefault(place, []):
                flags[place].append(flag)

    for rule in RULES:
        values = fields.figure(rule.column)
        limit = _limit(rule, values[~np.isnan(values) & ~is_few])
        thresholds[rule.column] = _shown(rule.flag, **{"high" if rule.sign > 0 else "low": limit})
        add((rule.sign * (values - limit) > 0) & ~is_few, rule.flag)
    thresholds[SATURATION] = _shown(SATURATED, high=_MOST_SATURATED)
    contrast = fields.figure(CONTRAST)
    add(~fields.colour & ~(contrast <= 0) & (fields.figure(SATURATION) > _MOST_SATURATED), SATURATED)
    for place, channels in fields.saturated_in.items():
        named = [f"{SATURATED} {channel.replace(';', ',')}" for channel in channels]
        flags.setdefault(place, []).extend(dict.fromkeys(named))
    levels = fields.figure(BACKGROUND)
    for is_kind in fields.of_kinds():
        alike = is_kind & ~np.isnan(levels)
        low, high = _background_limits(levels[alike], contrast[alike & (contrast > 0)])
        thresholds[BACKGROUND] = _shown(BACKGROUND_LEVEL, low, high)  # that of the most frequent kind stays
        if low is not None and high is not None:
            add(alike & ~((low <= levels) & (levels <= high)), BACKGROUND_LEVEL)
    thresholds.setdefault(BACKGROUND, _shown(BACKGROUND_LEVEL))
    thresholds[COUNT_Z] = _shown(
        COUNT_OUTLIER, *((-_COUNT_DEVIATIONS, _COUNT_DEVIATIONS) if typical else (None, None))
    )
    thresholds[_COUNT] = _shown(FEW_NUCLEI, low=min(few.values(), default=0.0) * middle_pixels or 1.0)
    add(is_few, FEW_NUCLEI)
    add(~is_few & (np.abs(count_z) > _COUNT_DEVIATIONS), COUNT_OUTLIER)
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


def _limit(rule: _Rule, values: Floats) -> float:
    if len(values) < FEWEST_FIELDS:
        return rule.absolute
    middle, deviation = _robust(values)
    return middle + rule.sign * max(rule.deviations * deviation, rule.margin)


def _background_limits(levels: Floats, contrasts: Floats) -> tuple[float | None, float | None]:
    if min(len(levels), len(contrasts)) < FEWEST_FIELDS:
        return None, None
    middle, deviation = _robust(levels)
    margin = max(_BACKGROUND_DEVIATIONS * deviation, _BACKGROUND_MARGIN * median(contrasts))
    return middle - margin, middle + margin


def _typical(t: npt.NDArray[np.int64], densities: Floats) -> dict[int, float]:
    """Returns the median of nuclei per pixel for each time point of enough fields."""
    times, counts = np.unique(t, return_counts=True)
    return {time: median(densities[t == time]) for time in times[counts >= FEWEST_FIELDS].tolist()}


def _count_z(fields: JudgedFields, typical: Mapping[int, float]) -> Floats:
    """Returns for each field (N,) how many robust deviations its count is from that of its time point.

    Twice the square root of a count has the standard deviation 1 if nuclei are independent of each other.
    """
    t = fields.t
    expected = np.sqrt(_of_times(t, typical, np.nan) * fields.pixels)
    distance = 2 * (np.sqrt(fields.nuclei) - expected)
    spread = {time: _TO_DEVIATION * median(np.abs(distance[t == time])) for time in typical}
    z: Floats = distance / np.maximum(np.maximum(_of_times(t, spread, np.nan), 1.0), _COUNT_SPREAD * expected)
    return z


def _of_times(t: npt.NDArray[np.int64], values: Mapping[int, float], otherwise: float) -> Floats:
    """Returns the value of each field's time point (N,)."""
    found = np.full(len(t), otherwise)
    for time, value in values.items():
        found[t == time] = value
    return found


def median(values: npt.NDArray[Any]) -> float:
    """Returns the median of some values (N,), which is the same as that of :mod:`statistics`."""
    return float(np.median(values))


def _robust(values: Floats) -> tuple[float, float]:
    """Returns median and robust standard deviation."""
    middle = median(values)
    return middle, _TO_DEVIATION * median(np.abs(values - middle))
