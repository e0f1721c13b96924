"""Neighbours of nuclei: how many lie within a distance, and how far the closest one is.

The definitions are those of CellProfiler's MeasureObjectNeighbors: a neighbour is another nucleus with a
pixel at most ``NEIGHBOR_PX`` from one of the nucleus' pixels, and the closest nucleus is the one whose
centroid is nearest. The closest is looked for up to ``CLOSEST_PX``, so that a large image never needs to be
known as a whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from nucbatch.core.jit import kernel
from nucbatch.core.measure_settings import MeasureSettings
from nucbatch.features.contract import Columns
from nucbatch.features.measured_objects import Objects

NEIGHBOR_PX, CLOSEST_PX = 10, 500
CLOSEST = f"Nuclei_Neighbors_FirstClosestDistance_{NEIGHBOR_PX}"
_COUNT = f"Nuclei_Neighbors_NumberOfNeighbors_{NEIGHBOR_PX}"

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Neighbors:
    """Number of nuclei nearby; the distance of the closest is added once all centroids are known."""

    name = "Neighbors"

    def margin_px(self, settings: MeasureSettings, pixel_size_um: float | None) -> int:
        """The distance within which neighbours count."""
        return NEIGHBOR_PX

    def measure(self, objects: Objects, image: npt.NDArray[Any], channels: tuple[str, ...]) -> Columns:
        """``Nuclei_Neighbors_NumberOfNeighbors_10`` (N,) int64."""
        runs, order = objects.edges.runs, np.argsort(objects.boxes[:, 0], kind="stable")
        begins = objects.edges.begins
        places = _places(
            runs.begin, runs.end, objects.edges.owner, objects.labels.shape[1], begins, int(begins[-1])
        )
        return {_COUNT: _neighbors(objects.boxes, order, begins, places, NEIGHBOR_PX)}


def closest_distance(centers: Floats, among: Floats) -> Floats:
    """Distance in px from each of some centroids (n, 2) to the nearest other one of all; NaN without any.

    Args:
        centers: some of the nuclei.
        among: all nuclei (m, 2) at most CLOSEST_PX away from these, and these too.
    """
    if not len(centers) or len(among) < 2:
        return np.full(len(centers), np.nan)
    # Each nucleus is its own nearest.
    far = cKDTree(among).query(centers, k=2, distance_upper_bound=np.nextafter(CLOSEST_PX, np.inf))[0][:, 1]
    return np.where(np.isfinite(far), far, np.nan)


@kernel
def _places(
    begin: Ints, end: Ints, owner: Ints, width: int, begins: Ints, total: int
) -> Ints:  # pragma: no cover (compiled)
    """Row and column of each object's edge pixels, object by object (total, 2)."""
    places = np.empty((total, 2), np.int64)
    filled = begins[:-1].copy()
    for run in range(len(begin)):
        for pixel in range(begin[run], end[run]):
            to = filled[owner[run]]
            places[to, 0], places[to, 1] = pixel // width, pixel % width
            filled[owner[run]] += 1
    return places


@kernel
def _neighbors(
    boxes: Ints, order: Ints, begins: Ints, places: Ints, reach: int
) -> Ints:  # pragma: no cover (compiled)
    """Number of other objects with a pixel within ``reach`` of each object (N,); ``order``: by first row."""
    count = np.zeros(len(boxes), np.int64)
    for i in range(len(order)):
        one = order[i]
        for j in range(i + 1, len(order)):
            other = order[j]
            if boxes[other, 0] > boxes[one, 2] - 1 + reach:
                break
            if boxes[other, 1] > boxes[one, 3] - 1 + reach or boxes[one, 1] > boxes[other, 3] - 1 + reach:
                continue
            if _near(
                places[begins[one] : begins[one + 1]],
                places[begins[other] : begins[other + 1]],
                boxes[other],
                reach,
            ):
                count[one] += 1
                count[other] += 1
    return count


@kernel
def _near(one: Ints, other: Ints, box: Ints, reach: int) -> bool:  # pragma: no cover (compiled)
    """Whether two of the edge pixels are at most ``reach`` apart; ``box``: that of the second object."""
    for a in range(len(one)):
        y, x = one[a, 0], one[a, 1]
        if y < box[0] - reach or y >= box[2] + reach or x < box[1] - reach or x >= box[3] + reach:
            continue
        for b in range(len(other)):
            dy, dx = other[b, 0] - y, other[b, 1] - x
            if dy * dy + dx * dx <= reach * reach:
                return True
    return False
