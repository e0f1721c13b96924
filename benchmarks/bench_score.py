"""Sparse matching and complete scores of one large image, compared with dense matching.

    python -m benchmarks.bench_score [--side PX] [--nuclei N] [--rounds N]

*Dense* is the obvious way: a table of every true against every predicted label, made by scikit-image or by
counting pairs of labels in NumPy, and all its IoUs. Times are CPU seconds of one process, repeated in turn;
the table has the best of each and its ratio to nucbatch's matching.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from nucbatch.scoring import THRESHOLDS
from nucbatch.scoring.detection import counts_of
from nucbatch.scoring.match import overlaps
from nucbatch.scoring.table import score_image
from nucbatch.scoring.warping import warping_counts

Labels = NDArray[np.int32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--nuclei", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    truth, pred = draw(arguments.side, arguments.nuclei)
    score_image("warm", truth[:64, :64], pred[:64, :64])  # kernels are compiled or loaded before the clock
    stations: dict[str, Callable[[Labels, Labels], object]] = {
        "matching, sparse (nucbatch)": sparse,
        "matching, dense table in NumPy": dense,
        "matching, scikit-image's contingency table": scikit_image,
        "warping error alone (nucbatch)": warping_counts,
        "every figure (nucbatch)": lambda one, other: score_image("x", one, other),
    }
    seconds: dict[str, list[float]] = {name: [] for name in stations}
    results: dict[str, object] = {}
    for _ in range(arguments.rounds):
        for name, station in stations.items():
            began = time.process_time()
            results[name] = station(truth, pred)
            seconds[name].append(time.process_time() - began)
    first, *others = list(stations)[:3]
    if any(results[name] != results[first] for name in others):
        raise SystemExit(f"the matchings disagree: {results}")
    table = Table(title=f"{arguments.side} × {arguments.side} px, {len(np.unique(truth)) - 1:,} nuclei")
    table.add_column("station")
    for column in ("CPU s", "ratio to sparse"):
        table.add_column(column, justify="right")
    for name, taken in seconds.items():
        table.add_row(name, f"{min(taken):.2f}", f"{min(taken) / min(seconds[first]):.1f}")
    Console().print(table)


def sparse(truth: Labels, pred: Labels) -> tuple[int, ...]:
    """Matches at each threshold."""
    return counts_of(overlaps(truth, pred)).tp


def dense(truth: Labels, pred: Labels) -> tuple[int, ...]:
    """The same with a table of all pairs of labels."""
    columns = int(pred.max()) + 1
    size = (int(truth.max()) + 1) * columns
    shared = np.bincount(truth.ravel().astype(np.int64) * columns + pred.ravel(), minlength=size)
    return _matched(shared.reshape(-1, columns))


def scikit_image(truth: Labels, pred: Labels) -> tuple[int, ...]:
    """The same with scikit-image's table, made dense for the IoUs."""
    from skimage.metrics import contingency_table

    return _matched(contingency_table(truth, pred).toarray().astype(np.int64))


def _matched(shared: NDArray[np.int64]) -> tuple[int, ...]:
    union = shared.sum(axis=1)[1:, None] + shared.sum(axis=0)[None, 1:] - shared[1:, 1:]
    quality = shared[1:, 1:] / np.maximum(union, 1)
    return tuple(int(np.count_nonzero(quality > threshold)) for threshold in THRESHOLDS)


def draw(side_px: int, nuclei: int) -> tuple[Labels, Labels]:
    """Ellipses on a jittered grid, and a prediction of other sizes displaced by a pixel or two."""
    rng = np.random.default_rng(0)
    truth, pred = np.zeros((2, side_px, side_px), np.int32)
    across = int(np.ceil(np.sqrt(nuclei)))
    reach = int(side_px / across * 0.42)
    for number in range(nuclei):
        at = (np.array(divmod(number, across)) + 0.5) * side_px / across
        radii = rng.uniform(0.6, 1.0, 2) * reach
        _ellipse(truth, at, radii, number + 1)
        _ellipse(pred, at + rng.integers(-2, 3, 2), radii * rng.uniform(0.85, 1.1, 2), number + 1)
    return truth, pred


def _ellipse(labels: Labels, at: NDArray[np.float64], radii: NDArray[np.float64], number: int) -> None:
    top, left = np.maximum(np.floor(at - radii).astype(int), 0)
    bottom, right = np.ceil(at + radii).astype(int) + 1
    window = labels[top:bottom, left:right]
    rows, columns = np.ogrid[top : top + window.shape[0], left : left + window.shape[1]]
    window[((rows - at[0]) / radii[0]) ** 2 + ((columns - at[1]) / radii[1]) ** 2 <= 1] = number


if __name__ == "__main__":
    main()
