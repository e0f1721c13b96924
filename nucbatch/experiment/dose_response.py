"""Fits dose-response curves of four parameters to the values of wells.

    y = bottom + (top - bottom) / (1 + 10^(slope (m - x)))

x is the logarithm of the concentration, or the step of a dilution series; m is the midpoint (log EC50). With
bottom <= top, the slope is negative where the response falls. A dose of 0 means that nothing was given: the
well counts at the plateau.

For a given midpoint and slope the plateaus are a linear least-squares problem, so all midpoints and slopes
are tried on a grid, and the best is refined: the fit needs no start values. Outliers are found from a robust
fit by their false discovery rate (ROUT: Motulsky and Brown, BMC Bioinformatics 7 (2006) 123) and left out.
The interval of the midpoint is that of the profile of the sum of squares (Bates and Watts, Nonlinear
Regression Analysis, 1988, ch. 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy  # loads stats and optimize when they are used, which takes as long as everything else here

Axis = Literal["step", "concentration"]
Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
FEWEST_DOSES = 4
"""Different doses above 0 that a fit of four parameters needs."""

_FLAT_P = 0.01
_OUTLIER_RATE = 0.01
_FEWEST_FOR_OUTLIERS = 12
_PARAMETERS = 4
_MIDPOINTS, _SLOPES = 121, 60


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted curve; ``status`` says why there is none, and is empty if there is one.

    ``midpoint`` and its interval have the unit of the doses: concentration, or step. An end of the interval
    is infinite where the data do not bound it. ``wells`` were used, ``outliers`` left out.
    """

    status: str
    wells: int = 0
    outliers: int = 0
    bottom: float = np.nan
    top: float = np.nan
    slope: float = np.nan
    midpoint: float = np.nan
    low: float = np.nan
    high: float = np.nan
    r2: float = np.nan


def curve(
    dose: npt.ArrayLike, bottom: float, top: float, slope: float, midpoint: float, axis: Axis
) -> Floats:
    """Returns the response of a curve at doses (N,); 0 is no compound.

    >>> curve([0, 1, 10, 1000], 0, 100, 1, 10, "concentration").round(1).tolist()
    [0.0, 9.1, 50.0, 99.0]
    """
    center = float(np.log10(midpoint)) if axis == "concentration" else midpoint
    return _response(_places(np.asarray(dose, np.float64), axis), bottom, top, slope, center)


def fit_curve(dose: Floats, response: Floats, axis: Axis) -> Fit:
    """Fits a curve to doses (N,) and responses (N,); wells without either are left out.

    Returns:
        The fit, or one with a status: too few doses, a flat response, or a midpoint that no dose shows.
    """
    known = np.isfinite(dose) & np.isfinite(response)
    x, y = _places(dose[known], axis), response[known]
    steps = np.unique(x[np.isfinite(x)])
    if len(steps) < FEWEST_DOSES or len(y) <= _PARAMETERS + 1:
        return Fit(
            f"{len(steps)} different doses above 0 in {len(y)} wells: a curve needs {FEWEST_DOSES} doses and "
            f"{_PARAMETERS + 2} wells",
            len(y),
        )
    if np.ptp(y) == 0:
        return Fit("flat: all wells have the same value", len(y))
    good = ~_outliers(x, y)
    removed = int((~good).sum())
    x, y = x[good], y[good]
    best = _least_squares(x, y)
    rest = float(((y - _response(x, *best)) ** 2).sum())
    total = float(((y - y.mean()) ** 2).sum())
    free = len(y) - _PARAMETERS
    flat_p = float(scipy.stats.f.sf((total - rest) / 3 / (rest / free), 3, free)) if rest > 0 else 0.0
    if flat_p > _FLAT_P:
        return Fit(f"flat: a constant fits as well (p = {flat_p:.2g})", len(y), removed)
    bottom, top, slope, center = best
    if not steps[0] <= center <= steps[-1]:
        where = "above the highest" if center > steps[-1] else "below the lowest"
        return Fit(f"the midpoint lies {where} dose: half of the effect was not reached", len(y), removed)
    low, high = _interval(x, y, rest, steps)
    if np.isinf(low) and np.isinf(high):
        return Fit("the doses do not show where the midpoint lies", len(y), removed)
    low, center, high = (_dose(one, axis) for one in (low, center, high))
    return Fit("", len(y), removed, bottom, top, slope, center, low, high, 1 - rest / total)


def _places(dose: Floats, axis: Axis) -> Floats:
    """Returns x: minus infinity where nothing was given."""
    if axis == "step":
        return np.where(dose == 0, -np.inf, dose)
    with np.errstate(divide="ignore"):
        return np.log10(dose)


def _dose(place: float, axis: Axis) -> float:
    return place if axis == "step" or np.isinf(place) else float(10**place)


def _response(x: Floats, bottom: float, top: float, slope: float, center: float) -> Floats:
    return bottom + (top - bottom) * _rise(x, np.asarray(center), np.asarray(slope))


def _rise(x: Floats, center: npt.NDArray[np.float64], slope: npt.NDArray[np.float64]) -> Floats:
    """Returns 1 / (1 + 10^(slope (center - x))), broadcast."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + 10.0 ** (slope * (center - x))), np.float64)


def _slopes(x: Floats) -> Floats:
    """Returns the slopes to try: from a rise over all doses to one between two neighbouring doses."""
    steps = np.unique(x[np.isfinite(x)])
    return np.geomspace(0.5 / np.ptp(steps), 4 / np.diff(steps).min(), _SLOPES)


def _grid(x: Floats, y: Floats, centers: Floats, slopes: Floats) -> tuple[Floats, Floats, Floats]:
    """Returns sum of squares, first and last plateau (M, S) of the best plateaus for centres and slopes."""
    places, of_place, wells = np.unique(x, return_inverse=True, return_counts=True)
    means = (
        np.bincount(of_place, y) / wells
    )  # replicates share a place, so their mean says all about the curve
    rise = _rise(places, centers[:, None, None], slopes[None, :, None])  # (M, S, places)
    mean, mean_rise = y.mean(), rise @ wells / len(y)
    spread = ((rise - mean_rise[..., None]) ** 2) @ wells
    with np.errstate(invalid="ignore", divide="ignore"):
        height = np.where(spread > 0, rise @ (wells * (means - mean)) / spread, 0.0)
    base = mean - height * mean_rise
    rest = ((y - mean) ** 2).sum() - height**2 * spread
    return np.maximum(rest, 0.0), base, base + height


def _least_squares(
    x: Floats, y: Floats, *, start_from: Floats | None = None, scale: float | None = None
) -> tuple[float, float, float, float]:
    """Returns bottom, top, slope and centre of the best curve, with bottom <= top.

    Args:
        x: places (N,).
        y: responses (N,).
        start_from: responses from which the start is found, if others than ``y``.
        scale: spread of the responses, for a fit by Cauchy's loss, which outliers hardly move.
    """
    steps = x[np.isfinite(x)]
    margin = np.ptp(steps) / 4
    centers = np.linspace(steps.min() - margin, steps.max() + margin, _MIDPOINTS)
    slopes = _slopes(x)
    rest, base, end = _grid(x, y if start_from is None else start_from, centers, slopes)
    m, s = np.unravel_index(int(rest.argmin()), rest.shape)
    # The unit of the plateaus is the spread of the responses, so that all four parameters are about 1.
    unit = float(np.ptp(y))

    def residuals(p: Floats) -> Floats:
        return (y - _response(x, p[0] * unit, p[1] * unit, np.exp(p[3]), p[2])) / unit

    bounds = (
        [-np.inf, -np.inf, centers[0], np.log(slopes[0] / 2)],
        [np.inf, np.inf, centers[-1], np.log(slopes[-1] * 2)],
    )
    start = [base[m, s] / unit, end[m, s] / unit, centers[m], np.log(slopes[s])]
    found = scipy.optimize.least_squares(
        residuals,
        start,
        bounds=bounds,
        loss="linear" if scale is None else "cauchy",
        f_scale=1.0 if scale is None else max(scale / unit, 1e-9),
    ).x
    first, last, center, slope = found[0] * unit, found[1] * unit, float(found[2]), float(np.exp(found[3]))
    if first <= last:
        return float(first), float(last), slope, center
    return float(last), float(first), -slope, center


def _outliers(x: Floats, y: Floats) -> npt.NDArray[np.bool_]:
    """Returns which wells (N,) lie too far from a robust curve, at a false discovery rate of 1 %."""
    none = np.zeros(len(y), bool)
    free = len(y) - _PARAMETERS
    if len(y) < _FEWEST_FOR_OUTLIERS:
        return none
    medians = np.empty(len(y))
    for place in np.unique(x):
        medians[x == place] = np.median(y[x == place])
    scale = float(np.percentile(np.abs(y - medians), 68)) or float(np.ptp(y)) / 10
    far = np.abs(y - _response(x, *_least_squares(x, y, start_from=medians, scale=scale)))
    robust_sd = float(np.percentile(far, 68.27)) * len(y) / free
    if robust_sd <= 1e-9 * np.ptp(y):
        return none
    p = 2 * scipy.stats.t.sf(far / robust_sd, free)
    ranked = np.argsort(p)
    passed = np.flatnonzero(p[ranked] <= _OUTLIER_RATE * np.arange(1, len(p) + 1) / len(p))
    found = none.copy()
    if len(passed):
        found[ranked[: passed[-1] + 1]] = True
    left = np.unique(x[~found & np.isfinite(x)])
    return found if len(left) >= FEWEST_DOSES and found.sum() <= len(y) // 4 else none


def _interval(x: Floats, y: Floats, rest: float, steps: Floats) -> tuple[float, float]:
    """Returns the ends of the midpoint's interval; infinite where the profile stays below the limit."""
    free = len(y) - _PARAMETERS
    limit = rest * (1 + scipy.stats.f.ppf(CONFIDENCE, 1, free) / free)
    span = np.ptp(steps)
    slopes = np.geomspace(_slopes(x)[0] / 2, _slopes(x)[-1] * 2, 2 * _SLOPES)
    lowest, highest = steps[0] - span, steps[-1] + span
    ends = lowest, highest
    for _ in range(3):  # the second and third pass look closely at the part that the first one found
        centers = np.linspace(*ends, _MIDPOINTS)
        profile = _grid(x, y, centers, slopes)[0].min(axis=1)
        below = np.flatnonzero(profile <= limit)
        if not len(below):
            nearest = int(profile.argmin())
            below = np.array([nearest])
        left, right = max(below[0] - 1, 0), min(below[-1] + 1, len(centers) - 1)
        ends = float(centers[left]), float(centers[right])
    low = -np.inf if ends[0] <= lowest else _crossing(centers, profile, limit, left)
    high = np.inf if ends[1] >= highest else _crossing(centers, profile, limit, right - 1)
    return low, high


def _crossing(centers: Floats, profile: Floats, limit: float, index: int) -> float:
    """Returns where the profile crosses the limit between two neighbouring centres."""
    first, second = profile[index], profile[index + 1]
    share = 0.5 if first == second else float(np.clip((limit - first) / (second - first), 0, 1))
    return float(centers[index] + share * (centers[index + 1] - centers[index]))
