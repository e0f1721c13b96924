"""Fits the interval of a field's count to validation images: conformal, with a scale that depends on doubts.

The scale is the 0.9 quantile of the error's size as a function of the figures, fitted by linear programming
(Koenker and Bassett, Econometrica 46, 1978). Scores of images are made with scales that were fitted without
their group, and the interval holds as many scores as its level asks (Romano et al., Conformalized quantile
regression, 2019). A group of many images counts by the square root of their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from nucbatch.core.calibration import DOUBTS, IntervalModel, Standardised, plain

LEVEL = 0.9
FEWEST_GROUPS = 20
"""With fewer groups of images there is no interval: nine of ten could not be told from ten of ten."""

_FOLDS = 10
_PENALTY = 0.01
_LEAST_ERROR = 0.5  # nuclei, so that an image without an error has a logarithm
_FEWEST_PAIRS = 20
_LEAST_SHARED = 0.5
_LARGEST = 0.9  # quantile of the counts up to which the scale is known

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CountedImage:
    """A validation image: its group, the numbers of nuclei found and true, and what is doubtful in it.

    ``doubt``: sum of 1 - confidence, with confidences fitted without the image's group. ``at_border``: number
    of objects that touch the border.
    """

    group: str
    found: int
    true: int
    doubt: float
    at_border: int


def interval_model(images: Sequence[CountedImage]) -> IntervalModel | None:
    """Fits the interval; None with too few groups."""
    names, group = np.unique([one.group for one in images], return_inverse=True)
    if len(names) < FEWEST_GROUPS:
        return None
    weight = 1 / np.sqrt(np.bincount(group)[group])
    found = np.array([one.found for one in images], np.float64)
    error = np.array([one.true for one in images]) - found
    doubt, border = (
        np.array([getattr(one, name) for one in images], np.float64) for name in ("doubt", "at_border")
    )
    figures = IntervalModel.figures(doubt, border)
    doubts = Standardised.of(DOUBTS, figures)
    blank = IntervalModel(
        level=LEVEL,
        doubts=doubts,
        weights=(0.0,) * len(DOUBTS),
        constant=0.0,
        shift=0.0,
        factor=1.0,
        shared=1.0,
        largest=max(1.0, float(np.quantile(found, _LARGEST))),
    )
    size = np.log(np.abs(error) + _LEAST_ERROR)

    def fitted(chosen: NDArray[np.bool_]) -> IntervalModel:
        terms = doubts.scaled(figures[chosen], blank.clip)
        constant, *weights = plain(_quantile(terms, size[chosen], weight[chosen]))
        return blank.model_copy(update={"constant": constant, "weights": tuple(weights)})

    logs = np.zeros(len(images))
    for fold in range(_FOLDS):
        held = group % _FOLDS == fold
        logs[held] = fitted(~held).log_scales(figures[held])
    score = error / np.exp(logs)
    shift = _weighted(score, weight, 0.5)
    factor = _weighted(np.abs(score - shift), weight, min(1.0, LEVEL * (1 + 1 / len(names))))
    final = {"shift": shift, "factor": max(factor, 1e-3), "shared": _shared(score - shift, group)}
    rounded = dict(zip(final, plain(np.array(list(final.values()))), strict=True))
    return fitted(np.ones(len(images), np.bool_)).model_copy(update=rounded)


def folds_of(groups: Sequence[str]) -> NDArray[np.int64]:
    """Returns the fold (N,) of each image, the same for all of a group."""
    return np.asarray(np.unique(groups, return_inverse=True)[1] % _FOLDS, np.int64)


def _quantile(terms: Floats, values: Floats, weight: Floats) -> Floats:
    """Returns constant and weights of the linear function of terms (N, T) above 0.9 of the values (N,)."""
    count, width = terms.shape
    # constant and weights as differences of positive numbers; excess above and below the function
    cost = np.concatenate(
        [
            [0.0, 0.0],
            np.full(2 * width, _PENALTY * weight.sum()),
            LEVEL * weight,
            (1 - LEVEL) * weight,
        ]
    )
    ones = np.ones((count, 1))
    equal = np.concatenate([ones, -ones, terms, -terms, np.eye(count), -np.eye(count)], axis=1)
    solved = linprog(cost, A_eq=equal, b_eq=values, method="highs").x
    constant = solved[0] - solved[1]
    return np.array([constant, *(solved[2 : 2 + width] - solved[2 + width : 2 + 2 * width])])


def _weighted(values: Floats, weight: Floats, fraction: float) -> float:
    """Returns the smallest value below or at which this fraction of the weight lies."""
    order = np.argsort(values)
    running = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][min(int(np.searchsorted(running, fraction - 1e-12)), len(values) - 1)])


def _shared(score: Floats, group: NDArray[np.int64]) -> float:
    """Returns the correlation of errors inside groups, at least 0.5; 1 if too few pairs show it."""
    pairs = [
        float(score[one] * score[other])
        for own in range(int(group.max()) + 1)
        for one, other in combinations(np.flatnonzero(group == own), 2)
    ]
    if len(pairs) < _FEWEST_PAIRS:
        return 1.0
    return float(np.clip(np.mean(pairs) / np.mean(score**2), _LEAST_SHARED, 1.0))
