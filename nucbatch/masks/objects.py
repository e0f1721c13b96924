"""From a field's probability maps to its labels 1..N: threshold, split, grow, fill, drop specks, number.

Maps are uint8 (255 is certain): what is kept on disk for re-thresholding is what was thresholded at first,
and the last bits of a device's floats cannot move an object.
"""

from __future__ import annotations

import math

import cc3d
import fastremap
import numpy as np
from numpy.typing import NDArray

from nucbatch.masks.fill import fill_holes
from nucbatch.masks.split import split_touching
from nucbatch.settings import ObjectSettings


def find_nuclei(
    foreground: NDArray[np.uint8], interior: NDArray[np.uint8], settings: ObjectSettings
) -> NDArray[np.uint32]:
    """Labels (Y, X) uint32, 1..N in raster order of each nucleus' first pixel, 0 is background.

    Args:
        foreground: (Y, X) uint8, how surely a pixel is inside a nucleus.
        interior: (Y, X) uint8, relative distance to the nucleus' own outline.
        settings: thresholds as fractions, areas in px.
    """
    inside = foreground >= quantised(settings.foreground)
    components = cc3d.connected_components(inside, connectivity=4, out_dtype=np.uint32)
    if not components.any():
        return np.zeros(foreground.shape, np.uint32)
    labels = split_touching(components, interior, quantised(settings.interior), settings.min_marker_px)
    filled = fill_holes(labels)
    kept = _large(filled, settings.min_area_px) & _certain(filled, interior, quantised(settings.peak))
    return in_raster_order(np.where(kept[filled], filled, np.uint32(0)))


def quantised(threshold: float) -> int:
    """The smallest uint8 map value that reaches a threshold in [0, 1)."""
    return math.ceil(round(threshold * 255, 6))


def in_raster_order(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The same labels renumbered 1..N by their first pixel, row by row."""
    renumbered, _ = fastremap.renumber(np.ascontiguousarray(labels), preserve_zero=True, in_place=False)
    return np.asarray(renumbered, np.uint32)


def _large(labels: NDArray[np.uint32], min_area_px: int) -> NDArray[np.bool_]:
    """Which labels (N + 1,) have that many pixels."""
    return np.bincount(labels.ravel()) >= min_area_px


def _certain(labels: NDArray[np.uint32], interior: NDArray[np.uint8], peak: int) -> NDArray[np.bool_]:
    """Which labels (N + 1,) have a pixel whose interior is at least ``peak``."""
    found = np.zeros(int(labels.max()) + 1, np.bool_)
    found[labels[interior >= peak]] = True
    return found
