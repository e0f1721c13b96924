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

import edt
import numpy as np
from numpy.typing import NDArray

from nucbatch.masks.components import Components, components_of
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


def too_large(components: Components, beyond: Open) -> NDArray[np.bool_]:
    """Which components (N + 1,) bool span more than LARGEST_PART_PX or are cut by the window."""
    top, left, bottom, right = components.boxes.T
    height, width = components.labels.shape
    large = np.maximum(bottom - top, right - left) > LARGEST_PART_PX
    ends = (top == 0, left == 0, bottom == height, right == width)
    for goes_on, at_end in zip(beyond, ends, strict=True):
        if goes_on:
            large |= at_end
    large[0] = False
    return np.asarray(large, np.bool_)


def divide(
    components: Components,
    interior: NDArray[np.uint8] | None,
    threshold: int,
    beyond: Open = CLOSED,
) -> Parts:
    """The parts of components.

    Args:
        interior: (Y, X) uint8; None of a network that predicts none.
        threshold: interior of at least this value (0..255) holds a component that is too large together.
        beyond: where the image goes on.
    """
    large = too_large(components, beyond)
    if not large.any():
        return Parts(components.labels, np.zeros(len(large), np.bool_), None)
    regrown = large[components.labels]
    if interior is None:
        depth = edt.edt(np.ascontiguousarray(components.labels != 0), black_border=False, parallel=1)
        cores = components_of(regrown & (depth >= _CORE_DEPTH_PX))
    else:
        cores = components_of(regrown & (interior >= threshold))
    kept = np.bincount(cores.labels.ravel()) >= _SMALLEST_CORE_PX
    kept[0] = False
    giants = too_large(cores, beyond) & kept
    count = components.count
    numbers = np.where(kept, np.arange(len(kept)) + count, 0).astype(np.uint32)
    labels = np.where(regrown, numbers[cores.labels], components.labels)
    return Parts(labels, np.concatenate([np.zeros(count, np.bool_), giants]), regrown)
