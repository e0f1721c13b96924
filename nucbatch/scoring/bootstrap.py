"""Intervals of scores, and of differences between two predictions of the same images, by bootstrap.

Images are drawn with replacement and the totals computed anew (Efron and Tibshirani 1993, percentile
intervals). Two predictions are compared on the same draws, because most of the variation lies in the images
and not in the predictions. Images that are not independent, such as parts of one slide or fields of one
plate, are drawn together as a cluster. Fewer than :data:`FEWEST` can't show anything: there the interval is
undefined. The draws depend on the seed and the number of clusters alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError
from nucbatch.labels.pairing import listed
from nucbatch.scoring.table import Figures, ImageScore, ScoreTable

RESAMPLES = 1000
LEVEL = 0.95
FEWEST = 6
"""Fewest images or clusters with intervals. If the better of two predictions were drawn by lot for each
image, it would be the same one for all of five images in 6 % of cases, for all of six in 3 %."""

COMPARED: tuple[tuple[str, str, str], ...] = (
    ("pooled", "pixel_accuracy", "pixel accuracy"),
    ("pooled", "pixel_f1", "pixel F1"),
    ("pooled", "pixel_jaccard", "pixel Jaccard"),
    ("pooled", "pixel_precision", "pixel precision"),
    ("pooled", "pixel_recall", "pixel recall"),
    ("pooled", "object_f1_50", "object F1"),
    ("pooled", "ap_50", "AP at 0.5"),
    ("averaged", "mean_ap", "mean AP"),
    ("pooled", "pq", "PQ"),
    ("averaged", "count_error_relative", "count error"),
    ("averaged", "warping_error", "warping error"),
    ("averaged", "rand_error", "Rand error"),
)
"""Total, figure and heading of what is compared."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its interval; NaN where it is undefined, the bounds also for too few images."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of two predictions of the same images; ``change`` is the second's minus the first's."""

    total: str
    figure: str
    heading: str
    first: float
    second: float
    change: Interval

    @property
    def is_shown(self) -> bool:
        """Whether the interval leaves out 0, so that the images show a difference."""
        return self.change.low > 0 or self.change.high < 0

    @property
    def words(self) -> str:
        """The interval of the difference as text; "none" if it holds 0."""
        if np.isnan(self.change.value):
            return "–"
        if np.isnan(self.change.low):
            return "too few images"
        return f"{self.change.low:+.2g} to {self.change.high:+.2g}" if self.is_shown else "none"


def intervals(
    table: ScoreTable, clusters: Mapping[str, str] | None = None, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[tuple[str, str], Interval]:
    """The interval of each figure in :data:`COMPARED`, by (total, figure).

    Args:
        table: the images' scores.
        clusters: cluster of each image by name; None: each image is one.
        resamples: number of draws.
        seed: of the draws.

    Raises:
        InputError: an image has no cluster.
    """
    weights = _draws(table, clusters, resamples, seed)
    drawn = _resampled(table, weights)
    values = _values(table.totals())
    return {key: _interval(values[key], drawn[:, place]) for place, key in enumerate(values)}


def differences(
    first: ScoreTable,
    second: ScoreTable,
    clusters: Mapping[str, str] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Difference]:
    """Compares two predictions of the same images by the figures in :data:`COMPARED`.

    Arguments as for :func:`intervals`; the order of the images may differ.

    Raises:
        InputError: the tables hold different images, or an image has no cluster.
    """
    by_name = {row.name: row for row in second.rows}
    if by_name.keys() != {row.name for row in first.rows}:
        only = sorted(by_name.keys() ^ {row.name for row in first.rows})
        raise InputError(
            f"two predictions are compared on the same images, but {len(only)} are in one of them alone:\n"
            f"{listed(only)}"
        )
    second = ScoreTable(tuple(by_name[row.name] for row in first.rows))
    weights = _draws(first, clusters, resamples, seed)
    change = _resampled(second, weights) - _resampled(first, weights)
    one, other = _values(first.totals()), _values(second.totals())
    return [
        Difference(
            total,
            figure,
            heading,
            one[total, figure],
            other[total, figure],
            _interval(other[total, figure] - one[total, figure], change[:, place]),
        )
        for place, (total, figure, heading) in enumerate(COMPARED)
    ]


def _draws(
    table: ScoreTable, clusters: Mapping[str, str] | None, resamples: int, seed: int
) -> npt.NDArray[np.float64]:
    """How often each draw holds each image, (resamples, images); no draws of too few images."""
    names = [row.name for row in table.rows]
    if clusters is not None and (missing := [name for name in names if name not in clusters]):
        raise InputError(f"{len(missing)} of {len(names)} images have no cluster:\n{listed(missing)}")
    of_image = np.unique([clusters[name] for name in names] if clusters else names, return_inverse=True)[1]
    count = int(of_image.max()) + 1
    if count < FEWEST:
        return np.empty((0, len(names)))
    rng = np.random.default_rng(seed)
    taken = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return taken[:, of_image].astype(np.float64)


def _resampled(table: ScoreTable, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The figures in :data:`COMPARED` of each draw, (resamples, figures)."""
    counts = np.array([list(_numbers(row)) for row in table.rows])  # (images, counts)
    pooled = [_rebuilt(ImageScore("pooled"), iter(sums.tolist())).figures() for sums in weights @ counts]
    rows = [row.figures() for row in table.rows]
    drawn = np.empty((len(weights), len(COMPARED)))
    for place, (total, figure, _) in enumerate(COMPARED):
        if total == "pooled":
            drawn[:, place] = [one[figure] for one in pooled]
        else:
            values = np.array([row[figure] for row in rows], np.float64)
            defined = np.isfinite(values)
            share = weights[:, defined].sum(axis=1)
            sums = weights[:, defined] @ values[defined]
            drawn[:, place] = np.divide(sums, share, out=np.full(len(sums), np.nan), where=share > 0)
    return drawn


def _values(totals: Mapping[str, Figures]) -> dict[tuple[str, str], float]:
    return {(total, figure): totals[total][figure] for total, figure, _ in COMPARED}


def _interval(value: float, drawn: npt.NDArray[np.float64]) -> Interval:
    """The percentile interval; draws in which the figure is undefined are left out."""
    defined = drawn[np.isfinite(drawn)]
    if not len(defined):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def _numbers(counts: Any) -> Iterator[float]:
    """All counts of a score, in the order of its fields."""
    for field in dataclasses.fields(counts):
        value = getattr(counts, field.name)
        if dataclasses.is_dataclass(value):
            yield from _numbers(value)
        elif isinstance(value, tuple):
            yield from value
        elif not isinstance(value, str):
            yield value


def _rebuilt(like: Any, numbers: Iterator[float]) -> Any:
    """A score of the same structure with other counts; the inverse of :func:`_numbers`."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(like):
        value = getattr(like, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = _rebuilt(value, numbers)
        elif isinstance(value, tuple):
            changes[field.name] = tuple(next(numbers) for _ in value)
        elif not isinstance(value, str):
            changes[field.name] = next(numbers)
    return dataclasses.replace(like, **changes)


def as_records(found: Sequence[Difference]) -> list[dict[str, object]]:
    """Differences as rows for CSV and JSON; undefined values are None."""

    def plain(value: float) -> float | None:
        return None if np.isnan(value) else value

    return [
        {
            "total": one.total,
            "figure": one.figure,
            "first": plain(one.first),
            "second": plain(one.second),
            "difference": plain(one.change.value),
            "low": plain(one.change.low),
            "high": plain(one.change.high),
            "shown": one.is_shown,
        }
        for one in found
    ]
