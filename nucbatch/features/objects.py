"""What every family of measurements shares: the label image, and each object's area and bounding box.

Found once per image, in whole numbers, so that families can crop, allocate and divide without a pass of
their own. Labels must be 1..N without gaps: a gap means that somebody dropped an object and kept its row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nucbatch.errors import InputError
from nucbatch.jit import frozen, kernel


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of one image or window.

    ``labels`` (Y, X) uint32, contiguous, read-only: 0 background, 1..N objects.
    ``areas_px`` (N,) int64. ``boxes`` (N, 4) int64: y0, x0, y1, x1, half open, in the window's pixels.
    ``origin_px``: (y, x) of the window's first pixel in its image; add it to report positions.
    """

    labels: npt.NDArray[np.uint32]
    areas_px: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.int64]
    origin_px: tuple[int, int] = (0, 0)

    @property
    def count(self) -> int:
        """N, the number of objects."""
        return len(self.areas_px)


def objects_of(labels: npt.NDArray[np.integer], origin_px: tuple[int, int] = (0, 0)) -> Objects:
    """Areas and boxes of the objects of a label image.

    Args:
        labels: (Y, X), any integer dtype, values 0..N.
        origin_px: (y, x) of the window's first pixel in its image.

    Raises:
        InputError: not a label image, or its labels are not 1..N without gaps.
    """
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise InputError(
            f"labels of shape {labels.shape} and type {labels.dtype} can't be measured: they must be (Y, X) "
            "integers."
        )
    lowest, highest = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if lowest < 0 or highest > labels.size:
        raise InputError(
            f"labels from {lowest} to {highest} can't be measured: they must be 1..N without gaps."
        )
    plain = frozen(labels, np.uint32)
    areas, boxes = _areas_and_boxes(plain, highest)
    if areas.size and areas.min() == 0:
        gap = int(np.flatnonzero(areas == 0)[0]) + 1
        raise InputError(
            f"label {gap} of {highest} has no pixel: labels must be 1..N without gaps; renumber them."
        )
    return Objects(plain, areas, boxes, origin_px)


@kernel
def _areas_and_boxes(
    labels: npt.NDArray[np.uint32], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    height, width = labels.shape
    areas = np.zeros(count, np.int64)
    boxes = np.zeros((count, 4), np.int64)
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if label == 0:
                continue
            at = np.int64(label) - 1
            if areas[at] == 0:
                boxes[at, 0], boxes[at, 1] = y, x
                boxes[at, 3] = x + 1
            elif x < boxes[at, 1]:
                boxes[at, 1] = x
            elif x >= boxes[at, 3]:
                boxes[at, 3] = x + 1
            boxes[at, 2] = y + 1
            areas[at] += 1
    return areas, boxes
