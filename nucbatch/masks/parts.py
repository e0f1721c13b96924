"""What is looked at as a whole when nuclei are told apart: parts of the foreground with a largest size.

The decision owned here: nothing may depend on pixels further away than a fixed distance, or a block of a
large image could not compute what its neighbour computes. A connected component of the foreground that spans
up to LARGEST_PART_PX is one part. Foreground that runs together beyond that (confluent tissue) falls into the
components of its interior, and what they find grows back over the foreground by up to GROWTH_PX. An interior
that spans more is a giant: one object, never split, its holes left open, whatever it is.

A window on an image sees a component cut where the image goes on beyond it; a component that is cut counts as
larger than any. That is right for all components that come within ``SUPPORT_PX`` of the middle of a window
with that margin, which is what :mod:`nucbatch.masks.block` builds on.
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import edt
import numpy as np
from numpy.typing import NDArray

from nucbatch.jit import kernel
from nucbatch.tiles import LARGEST_PART_PX

_CORE_DEPTH_PX = 4  # how far inside an outline the interior begins, of a network that doesn't predict one
_SMALLEST_CORE_PX = 4

Open = tuple[bool, bool, bool, bool]
"""Whether the image goes on beyond a window's top, left, bottom and right."""

CLOSED: Open = (False, False, False, False)


@dataclass(frozen=True, slots=True)
class Parts:
    """The foreground of a window, divided.

    ``labels`` (Y, X) uint32: parts numbered from 1, 0 is background or not yet anybody's. ``giant`` (N + 1,)
    bool: which of them are giants. ``regrown`` (Y, X) bool, or None where no component is too large: the
    foreground over which parts grow.
    """

    labels: NDArray[np.uint32]
    giant: NDArray[np.bool_]
    regrown: NDArray[np.bool_] | None


def components_of(inside: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """4-connected components (Y, X) uint32 of a mask (Y, X), numbered from 1."""
    return np.asarray(cc3d.connected_components(inside, connectivity=4, out_dtype=np.uint32), np.uint32)


def too_large(components: NDArray[np.uint32], beyond: Open) -> NDArray[np.bool_]:
    """Which components (N + 1,) bool span more than LARGEST_PART_PX or are cut by the window."""
    top, left, bottom, right = boxes_of(components).T
    height, width = components.shape
    large = np.maximum(bottom - top, right - left) > LARGEST_PART_PX
    ends = (top == 0, left == 0, bottom == height, right == width)
    for goes_on, at_end in zip(beyond, ends, strict=True):
        if goes_on:
            large |= at_end
    large[0] = False
    return np.asarray(large, np.bool_)


def boxes_of(labels: NDArray[np.uint32]) -> NDArray[np.int64]:
    """The box (y0, x0, y1, x1), half open, of each label (N + 1, 4) int64 in (Y, X); of absent ones 0."""
    return np.asarray(_boxes_of(np.ascontiguousarray(labels), int(labels.max(initial=0)) + 1), np.int64)


@kernel
def _boxes_of(labels: NDArray[np.uint32], count: int) -> NDArray[np.int64]:  # pragma: no cover (compiled)
    boxes = np.zeros((count, 4), np.int64)
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if label == 0:
                continue
            if boxes[label, 2] == 0:
                boxes[label, 0], boxes[label, 1] = y, x
            elif x < boxes[label, 1]:
                boxes[label, 1] = x
            boxes[label, 2] = y + 1
            if x >= boxes[label, 3]:
                boxes[label, 3] = x + 1
    return boxes


def divide(
    components: NDArray[np.uint32],
    interior: NDArray[np.uint8] | None,
    threshold: int,
    beyond: Open = CLOSED,
) -> Parts:
    """The parts of components (Y, X) uint32.

    Args:
        interior: (Y, X) uint8; None of a network that predicts none.
        threshold: interior of at least this value (0..255) holds a component that is too large together.
        beyond: where the image goes on.
    """
    large = too_large(components, beyond)
    if not large.any():
        return Parts(components, np.zeros(len(large), np.bool_), None)
    regrown = large[components]
    if interior is None:
        depth = edt.edt(np.ascontiguousarray(components != 0), black_border=False, parallel=1)
        cores = components_of(regrown & (depth >= _CORE_DEPTH_PX))
    else:
        cores = components_of(regrown & (interior >= threshold))
    kept = np.bincount(cores.ravel()) >= _SMALLEST_CORE_PX
    kept[0] = False
    giants = too_large(cores, beyond) & kept
    count = int(components.max())
    numbers = np.where(kept, np.arange(len(kept)) + count, 0).astype(np.uint32)
    labels = np.where(regrown, numbers[cores], components)
    return Parts(labels, np.concatenate([np.zeros(count, np.bool_), giants]), regrown)
