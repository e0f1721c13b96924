"""Connected components on runs.

Runs of neighbouring rows belong to one component where they touch: along a side (4-connected, as nuclei
are), or also at a corner (8-connected, as background is). Components are numbered in raster order of their
first pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.jit import kernel
from nucbatch.core.rle import Runs, runs_of
from nucbatch.core.tiles import Box
from nucbatch.masks.union_find import number, unite


@dataclass(frozen=True, slots=True)
class Components:
    """Connected components of a mask, or a selection of them.

    ``labels`` (Y, X) uint32, contiguous: 1..N, 0 is background. ``boxes`` (N + 1, 4) int64: y0, x0, y1, x1 of
    each, half open; entry 0 is 0. ``runs``: their pixels.
    """

    labels: NDArray[np.uint32]
    boxes: NDArray[np.int64]
    runs: Runs

    @property
    def count(self) -> int:
        """N, the number of components."""
        return len(self.boxes) - 1


def components_of(inside: NDArray[np.bool_]) -> Components:
    """Finds the 4-connected components of a mask (Y, X)."""
    height, width = inside.shape
    runs = runs_of(inside)
    component, count = classes_of(runs.begin, runs.end, width, 0)
    return _numbered(runs, component, count, (height, width))


def reach(components: Components, chosen: NDArray[np.bool_], box: Box) -> bool:
    """Returns whether any of the chosen components (N + 1,) has a pixel inside a box."""
    begin, end, width = components.runs.begin, components.runs.end, components.labels.shape[1]
    of_chosen = chosen[components.labels.ravel()[begin]]
    y, x = np.divmod(begin[of_chosen], width)
    x_end = x + (end - begin)[of_chosen]
    here = (y >= box.y0) & (y < box.y1) & (np.maximum(x, box.x0) < np.minimum(x_end, box.x1))
    return bool(here.any())


def without(components: Components, dropped: NDArray[np.bool_]) -> Components:
    """Removes components (N + 1,) and renumbers the others in the same order."""
    if not dropped.any():
        return components
    own = components.labels.ravel()[components.runs.begin]
    stays = ~dropped[own]
    runs = Runs(components.runs.begin[stays], components.runs.end[stays])
    place = (np.cumsum(~dropped[1:]) - 1).astype(np.uint32)
    height, width = components.labels.shape
    return _numbered(runs, place[own[stays] - 1], int((~dropped[1:]).sum()), (height, width))


def _numbered(runs: Runs, component: NDArray[np.uint32], count: int, shape: tuple[int, int]) -> Components:
    """Builds components from the number 0..N - 1 of each run's component."""
    labels = np.zeros(shape, np.uint32)
    boxes = np.zeros((count + 1, 4), np.int64)
    _write(runs.begin, runs.end, component, shape[1], labels.ravel(), boxes)
    return Components(labels, boxes, runs)


@kernel
def classes_of(
    begin: NDArray[np.int64], end: NDArray[np.int64], width: int, corner: int
) -> tuple[NDArray[np.uint32], int]:  # pragma: no cover (compiled)
    """Returns the component 0..C - 1 of each run, and C; ``corner``: 1 if corners connect, else 0."""
    component = np.arange(len(begin)).astype(np.uint32)
    above, row = 0, 0  # the first run of the row above that ends at or after the begin of this run
    for run in range(len(begin)):
        while begin[run] >= row + width:
            row += width
        while begin[above] < row - width or (
            begin[above] < row and end[above] + width + corner <= begin[run]
        ):
            above += 1
        beside = above
        while beside < run and begin[beside] < row and begin[beside] + width < end[run] + corner:
            unite(component, beside, run)
            beside += 1
    return component, number(component, 0, len(component))


@kernel
def _write(
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    component: NDArray[np.uint32],
    width: int,
    labels: NDArray[np.uint32],
    boxes: NDArray[np.int64],
) -> None:  # pragma: no cover (compiled)
    """Writes labels into an empty image, and finds their bounding boxes."""
    y, row = 0, 0
    for run in range(len(begin)):
        while begin[run] >= row + width:
            y, row = y + 1, row + width
        label = np.int64(component[run]) + 1
        labels[begin[run] : end[run]] = label
        x0, x1 = begin[run] - row, end[run] - row
        if boxes[label, 2] == 0:
            boxes[label, 0], boxes[label, 1] = y, x0
        boxes[label, 1] = min(boxes[label, 1], x0)
        boxes[label, 2] = y + 1
        boxes[label, 3] = max(boxes[label, 3], x1)
