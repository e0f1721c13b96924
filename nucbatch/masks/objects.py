"""From a field's probability maps to its labels 1..N: threshold, split, grow, fill, drop specks, number.

Maps are uint8 (255 is certain): what is kept on disk for re-thresholding is what was thresholded at first,
and the last bits of a device's floats cannot move an object. How touching nuclei are told apart follows from
the maps there are: by offsets, else by the interior, else by the foreground's own shape.
"""

from __future__ import annotations

import math

import cc3d
import edt
import fastremap
import numpy as np
from numpy.typing import NDArray

from nucbatch.errors import InputError
from nucbatch.masks.fill import fill_holes
from nucbatch.masks.sinks import split_by_offsets
from nucbatch.masks.split import split_touching
from nucbatch.settings import ObjectSettings

MAPS = ("foreground", "interior", "offset_y", "offset_x")
"""What a network's outputs mean, in order; it may have the first one, two, or all four."""


def find_nuclei(maps: NDArray[np.uint8], settings: ObjectSettings) -> NDArray[np.uint32]:
    """Labels (Y, X) uint32, 1..N in raster order of each nucleus' first pixel, 0 is background.

    Args:
        maps: (outputs, Y, X) uint8. Foreground: how surely a pixel is inside a nucleus. Interior: relative
            distance to the nucleus' own outline. Offsets: the way to its middle.
        settings: thresholds as fractions, areas in px.

    Raises:
        InputError: not one, two or four maps.
    """
    if len(maps) not in (1, 2, 4):
        raise InputError(f"{len(maps)} maps: nuclei are made from the first 1, 2 or 4 of {', '.join(MAPS)}.")
    inside = maps[0] >= quantised(settings.foreground)
    components = cc3d.connected_components(inside, connectivity=4, out_dtype=np.uint32)
    if not components.any():
        return np.zeros(components.shape, np.uint32)
    interior = maps[1] if len(maps) > 1 else _roundness(components)
    if len(maps) == 4:
        labels = split_by_offsets(components, maps[2:], settings.join, settings.min_marker_px)
    else:
        labels = split_touching(components, interior, quantised(settings.interior), settings.min_marker_px)
    filled = fill_holes(labels)
    kept = _large(filled, settings.min_area_px) & _certain(filled, interior, quantised(settings.peak))
    if not kept[1:].all():  # a speck inside a ring may have kept a hole open
        filled = fill_holes(np.where(kept[filled], filled, np.uint32(0)))
    return in_raster_order(filled)


def quantised(threshold: float) -> int:
    """The smallest uint8 map value that reaches a threshold in [0, 1)."""
    return math.ceil(round(threshold * 255, 6))


def in_raster_order(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The same labels renumbered 1..N by their first pixel, row by row."""
    renumbered, _ = fastremap.renumber(np.ascontiguousarray(labels), preserve_zero=True, in_place=False)
    return np.asarray(renumbered, np.uint32)


def _roundness(components: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Distance to the component's outline as a fraction of its largest, (Y, X) uint8."""
    distance = edt.edt(components, black_border=False, parallel=1)
    distance[~np.isfinite(distance)] = 1  # a component over the whole image has no outline
    largest = np.ones(int(components.max()) + 1, np.float32)
    np.maximum.at(largest, components.ravel(), distance.ravel())
    return np.asarray(np.rint(distance / largest[components] * 255), np.uint8)


def _large(labels: NDArray[np.uint32], min_area_px: int) -> NDArray[np.bool_]:
    """Which labels (N + 1,) have that many pixels."""
    return np.bincount(labels.ravel()) >= min_area_px


def _certain(labels: NDArray[np.uint32], interior: NDArray[np.uint8], peak: int) -> NDArray[np.bool_]:
    """Which labels (N + 1,) have a pixel whose interior is at least ``peak``."""
    found = np.zeros(int(labels.max()) + 1, np.bool_)
    found[labels[interior >= peak]] = True
    return found
