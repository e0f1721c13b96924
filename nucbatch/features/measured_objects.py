"""The objects of a label image, with areas, boxes, pixel runs, edges and rings, for all measurements.

They are computed once per image, as integers, so that families can crop, allocate and divide without a pass
of their own, and can skip the background. Labels must be 1..N without gaps: a gap means that an object was
removed and its row kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError
from nucbatch.core.jit import frozen, kernel
from nucbatch.core.measure_settings import DEFAULTS, MeasureSettings
from nucbatch.core.rle import Runs, runs_of
from nucbatch.features.grey_sums import GreySums, grey_sums
from nucbatch.features.regions import Region
from nucbatch.features.surroundings import edge_of, ring_of


@dataclass(frozen=True)
class Objects:
    """The objects of one image or window.

    A window also holds neighbours of the objects that are measured, and may cut these neighbours; their rows
    are removed later.

    ``labels`` (Y, X) uint32, contiguous, read-only: 0 background, 1..N objects. ``areas_px`` (N,) int64.
    ``boxes`` (N, 4) int64: y0, x0, y1, x1, half open, in the window's pixels. ``runs``: R runs along rows in
    raster order, each of one object, which together hold all pixels of objects. ``owner`` (R,) int64: index
    of each run's object, 0..N - 1. ``origin_px``: (y, x) of the window's first pixel in its image; add it to
    report positions. ``settings``: what the user wants to be measured. ``pixel_size_um``: None if unknown.
    ``whole_px``: (Y, X) of the image, if the labels are a window of it.
    """

    labels: npt.NDArray[np.uint32]
    areas_px: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.int64]
    runs: Runs
    owner: npt.NDArray[np.int64]
    origin_px: tuple[int, int] = (0, 0)
    settings: MeasureSettings = DEFAULTS
    pixel_size_um: float | None = None
    whole_px: tuple[int, int] | None = None

    @property
    def image_shape(self) -> tuple[int, int]:
        """(Y, X) of the whole image, of which the labels may be a window."""
        return self.whole_px or (self.labels.shape[0], self.labels.shape[1])

    @property
    def count(self) -> int:
        """N, the number of objects."""
        return len(self.areas_px)

    @cached_property
    def nuclei(self) -> Region:
        """The objects' own pixels."""
        return Region(self.areas_px, self.runs, self.owner)

    @cached_property
    def edges(self) -> Region:
        """The objects' own pixels beside other objects or background."""
        return edge_of((self.labels.shape[0], self.labels.shape[1]), self.nuclei)

    @cached_property
    def closed_edges(self) -> Region:
        """The edges, and the objects' pixels at the border of the labels."""
        height, width = self.labels.shape
        top, left, bottom, right = self.boxes.T
        if not ((top == 0) | (left == 0) | (bottom == height) | (right == width)).any():
            return self.edges
        return edge_of((height, width), self.nuclei, closed=True)

    @cached_property
    def ring(self) -> Region | None:
        """The background around each object; None if the user wants no ring."""
        distances = self.settings.ring_px(self.pixel_size_um)
        return None if distances is None else ring_of(self.labels, self.count, *distances)

    def grey(self, region: Region, channel: int, plane: npt.NDArray[Any]) -> GreySums:
        """Sums over one of these regions in a channel (Y, X), computed once for all families.

        Its ``grouped`` values of floats may have been reordered within each object since.
        """
        place = id(region), channel
        if place not in self._grey:
            self._grey[place] = grey_sums(region, plane)
        return self._grey[place]

    @cached_property
    def _grey(self) -> dict[tuple[int, int], GreySums]:
        return {}

    def cytoplasm(self, channels: int) -> Region | None:
        """Returns the ring if it is measured as cytoplasm in images of this number of channels, else None."""
        return self.ring if self.settings.has_cytoplasm(channels) else None


def objects_of(
    labels: npt.NDArray[np.integer],
    origin_px: tuple[int, int] = (0, 0),
    settings: MeasureSettings = DEFAULTS,
    pixel_size_um: float | None = None,
    whole_px: tuple[int, int] | None = None,
    runs: Runs | None = None,
) -> Objects:
    """Areas, boxes and runs of the objects of a label image.

    Args:
        labels: (Y, X), any integer dtype, values 0..N.
        origin_px: (y, x) of the window's first pixel in its image.
        settings: what is measured.
        pixel_size_um: needed for a ring in micrometres.
        whole_px: (Y, X) of the image, if the labels are a window of it.
        runs: of the labels' pixels, if they are known; the labels are uint32 then.

    Raises:
        InputError: the array is not a label image, or its labels are not 1..N without gaps.
    """
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise InputError(
            f"labels of shape {labels.shape} and type {labels.dtype} can't be measured: they must be (Y, X) "
            "integers."
        )
    if runs is None:
        lowest, highest = int(labels.min(initial=0)), int(labels.max(initial=0))
        if lowest < 0 or highest > labels.size:
            raise InputError(
                f"labels from {lowest} to {highest} can't be measured: they must be 1..N without gaps."
            )
    plain = frozen(labels, np.uint32)
    inside = runs_of(plain != 0) if runs is None else runs
    highest = inside.highest(plain)
    begin, end, owner = _cut(plain.ravel(), inside.begin, inside.end)
    areas, boxes = _areas_and_boxes(begin, end, owner, plain.shape[1], highest)
    if areas.size and areas.min() == 0:
        gap = int(np.flatnonzero(areas == 0)[0]) + 1
        raise InputError(
            f"label {gap} of {highest} has no pixel: labels must be 1..N without gaps; renumber them."
        )
    return Objects(plain, areas, boxes, Runs(begin, end), owner, origin_px, settings, pixel_size_um, whole_px)


@kernel
def _cut(
    labels: npt.NDArray[np.uint32], begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
) -> tuple[
    npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]
]:  # pragma: no cover (compiled)
    """Splits runs where one object follows another, and gives the object of each part."""
    most = (end - begin).sum()
    begins, ends, owner = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    count = 0
    for run in range(len(begin)):
        pixel, stop = begin[run], end[run]
        while pixel < stop:
            label = labels[pixel]
            begins[count], owner[count] = pixel, np.int64(label) - 1
            pixel += 1
            while pixel < stop and labels[pixel] == label:
                pixel += 1
            ends[count] = pixel
            count += 1
    return begins[:count], ends[:count], owner[:count]


@kernel
def _areas_and_boxes(
    begin: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    owner: npt.NDArray[np.int64],
    width: int,
    count: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:  # pragma: no cover (compiled)
    areas = np.zeros(count, np.int64)
    boxes = np.zeros((count, 4), np.int64)
    y, row = 0, 0
    for run in range(len(begin)):
        while begin[run] >= row + width:
            y, row = y + 1, row + width
        x, length = begin[run] - row, end[run] - begin[run]
        at = owner[run]
        if areas[at] == 0:
            boxes[at, 0], boxes[at, 1] = y, x
        boxes[at, 1] = min(boxes[at, 1], x)
        boxes[at, 2] = y + 1
        boxes[at, 3] = max(boxes[at, 3], x + length)
        areas[at] += length
    return areas, boxes
