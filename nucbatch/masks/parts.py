"""Divides the foreground into parts of bounded size, so that no label depends on distant pixels.

A block of a large image must compute the same nuclei as its neighbours. So a label may depend only on
pixels within a fixed distance:

- A component of the foreground that spans at most ``LARGEST_PART_PX`` is one part.
- A larger one (confluent tissue) is divided into the components of its interior. Nuclei found there grow
  back over the foreground by up to ``GROWTH_PX``.
- A component of the interior that is larger still is an oversized object. It is never split, and its holes
  stay open.

Where the image continues beyond a window, components that touch the window's edge are cut and count as too
large. This is right for all components within ``SUPPORT_PX`` of the centre of a window with that margin;
:mod:`nucbatch.masks.block` relies on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import edt
import numpy as np
from numpy.typing import NDArray

from nucbatch.core.tiles import LARGEST_PART_PX
from nucbatch.masks.components import Components, components_of

_CORE_DEPTH_PX = 4  # distance to the outline at which the interior begins, for networks that don't predict it
_SMALLEST_CORE_PX = 4

Open = tuple[bool, bool, bool, bool]
"""Whether the image continues beyond a window's top, left, bottom and right side."""

CLOSED: Open = (False, False, False, False)


@dataclass(frozen=True, slots=True)
class Parts:
    """The divided foreground of a window.

    ``labels`` (Y, X) uint32: parts numbered from 1; 0 is background, or foreground without a part.
    ``oversized`` (N + 1,) bool: which parts are oversized objects. ``regrown`` (Y, X) bool: the foreground
    over which parts grow back; None where no component is too large.
    """

    labels: NDArray[np.uint32]
    oversized: NDArray[np.bool_]
    regrown: NDArray[np.bool_] | None


def too_large(components: Components, beyond: Open, inset_px: int = 0) -> NDArray[np.bool_]:
    """Returns which components (N + 1,) bool span more than LARGEST_PART_PX or are cut by the window.

    ``inset_px``: how many pixels of the window at each open side hold no component, because there it isn't
    known.
    """
    top, left, bottom, right = components.boxes.T
    height, width = components.labels.shape
    large = np.maximum(bottom - top, right - left) > LARGEST_PART_PX
    ends = (top <= inset_px, left <= inset_px, bottom >= height - inset_px, right >= width - inset_px)
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
    """Divides components into parts.

    Args:
        interior: (Y, X) uint8; None for a network that predicts none.
        threshold: a component that is too large is divided at this value of the interior (0..255).
        beyond: the sides at which the image continues.
    """
    large = too_large(components, beyond)
    if not large.any():
        return Parts(components.labels, np.zeros(len(large), np.bool_), None)
    regrown = large[components.labels]
    if interior is None:
        depth = edt.edt(np.ascontiguousarray(components.labels != 0), black_border=False, parallel=1)
        # Background just beyond an open side is out of view, so depth isn't known there.
        inset_px = _CORE_DEPTH_PX - 1
        cores = components_of(_inside(beyond, inset_px, regrown & (depth >= _CORE_DEPTH_PX)))
    else:
        inset_px = 0
        cores = components_of(regrown & (interior >= threshold))
    kept = np.bincount(cores.labels.ravel()) >= _SMALLEST_CORE_PX
    kept[0] = False
    oversized = too_large(cores, beyond, inset_px) & kept
    count = components.count
    numbers = np.where(kept, np.arange(len(kept)) + count, 0).astype(np.uint32)
    labels = np.where(regrown, numbers[cores.labels], components.labels)
    return Parts(labels, np.concatenate([np.zeros(count, np.bool_), oversized]), regrown)


def _inside(beyond: Open, inset_px: int, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Clears the pixels of a mask (Y, X) nearer than ``inset_px`` to an open side, in place."""
    top, left, bottom, right = beyond
    height, width = mask.shape
    mask[: inset_px * top] = False
    mask[:, : inset_px * left] = False
    mask[height - inset_px * bottom :] = False
    mask[:, width - inset_px * right :] = False
    return mask
