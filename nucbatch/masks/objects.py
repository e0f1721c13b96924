"""From a field's probability maps to its labels 1..N: threshold, split, grow, fill, drop specks, number.

Maps are uint8 (255 is certain): what is kept on disk for re-thresholding is what was thresholded at first,
and the last bits of a device's floats cannot move an object. How touching nuclei are told apart follows from
the maps there are: by offsets, else by the interior, else by the foreground's own shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import edt
import numpy as np
from numpy.typing import NDArray

from nucbatch.errors import InputError
from nucbatch.jit import kernel
from nucbatch.masks.fill import fill_holes
from nucbatch.masks.flood import grow
from nucbatch.masks.parts import CLOSED, Open, boxes_of, components_of, divide
from nucbatch.masks.sinks import split_by_offsets
from nucbatch.masks.split import split_touching
from nucbatch.settings import ObjectSettings
from nucbatch.tiles import GROWTH_PX

LARGEST_OBJECT_PX = 4096
"""What spans more is no nucleus; to measure it, its whole box has to be read."""

MAPS = ("foreground", "interior", "offset_y", "offset_x")
"""What a network's outputs mean, in order; it may have the first one, two, or all four."""


@dataclass(frozen=True, slots=True)
class Found:
    """Objects of a window: ``labels`` (Y, X) uint32, and which labels (N + 1,) bool are giants.

    Of a giant only what the window holds is known. ``cores`` (Y, X) uint32 has the giants' own pixels, those
    that others didn't grow to, under the same numbers; None where there is no giant.
    """

    labels: NDArray[np.uint32]
    giant: NDArray[np.bool_]
    cores: NDArray[np.uint32] | None


def find_nuclei(maps: NDArray[np.uint8], settings: ObjectSettings) -> NDArray[np.uint32]:
    """Labels (Y, X) uint32, 1..N in raster order of each nucleus' first pixel, 0 is background.

    What spans more than ``LARGEST_OBJECT_PX`` is no nucleus, and background.

    Args:
        maps: (outputs, Y, X) uint8 of a whole image. Foreground: how surely a pixel is inside a nucleus.
            Interior: relative distance to the nucleus' own outline. Offsets: the way to its middle.
        settings: thresholds as fractions, areas in px.

    Raises:
        InputError: not one, two or four maps.
    """
    found = find_in_window(maps, settings)
    labels = found.labels
    if found.giant.any():
        labels = np.where(_beyond_any_nucleus(labels, found.giant)[labels], np.uint32(0), labels)
    return in_raster_order(labels)


def find_in_window(
    maps: NDArray[np.uint8],
    settings: ObjectSettings,
    beyond: Open = CLOSED,
    components: NDArray[np.uint32] | None = None,
) -> Found:
    """The objects of a window on an image, which goes on ``beyond`` its open sides; in no given order.

    Right for whatever keeps a margin of :data:`nucbatch.tiles.SUPPORT_PX` from those sides; see there.
    ``components`` are :func:`foreground_of` the maps, where they are known already. Other arguments and
    errors as for :func:`find_nuclei`.
    """
    if len(maps) not in (1, 2, 4):
        raise InputError(f"{len(maps)} maps: nuclei are made from the first 1, 2 or 4 of {', '.join(MAPS)}.")
    if components is None:
        components = foreground_of(maps, settings)
    if not components.any():
        return Found(components, np.zeros(1, np.bool_), None)
    parts = divide(
        components,
        maps[1] if len(maps) > 1 else None,
        quantised(settings.interior),
        beyond,
    )
    ordinary = parts.labels
    if parts.giant.any():
        ordinary = np.where(parts.giant[parts.labels], np.uint32(0), parts.labels)
    interior = maps[1] if len(maps) > 1 else _roundness(ordinary)
    labels, cores = _split(ordinary, interior, maps[2:], settings), None
    count = int(labels.max())
    giant = np.zeros(count + 1, np.bool_)
    if parts.giant.any():
        numbers = np.where(parts.giant, np.cumsum(parts.giant) + count, 0).astype(np.uint32)
        cores = numbers[parts.labels]
        labels = labels + cores
        giant = np.concatenate([giant, np.ones(int(parts.giant.sum()), np.bool_)])
    if parts.regrown is not None:
        labels = grow(labels, parts.regrown, GROWTH_PX)
    filled = fill_holes(labels, giant)
    areas, certain = _seen(filled, np.ascontiguousarray(interior), len(giant), quantised(settings.peak))
    kept = (areas >= settings.min_area_px) & certain | giant
    if not kept[1:].all():  # a speck inside a ring may have kept a hole open
        filled = fill_holes(_only(filled, kept), giant)
    return Found(filled, giant, cores)


def foreground_of(maps: NDArray[np.uint8], settings: ObjectSettings) -> NDArray[np.uint32]:
    """The foreground's 4-connected components (Y, X) uint32 in maps (outputs, Y, X)."""
    return components_of(maps[0] >= quantised(settings.foreground))


def _split(
    parts: NDArray[np.uint32],
    interior: NDArray[np.uint8],
    offsets: NDArray[np.uint8],
    settings: ObjectSettings,
) -> NDArray[np.uint32]:
    """Labels (Y, X) uint32, one per nucleus of the parts."""
    if not parts.any():
        return parts
    if len(offsets):
        return split_by_offsets(parts, offsets, settings.join, settings.min_marker_px)
    return split_touching(parts, interior, quantised(settings.interior), settings.min_marker_px)


def _beyond_any_nucleus(labels: NDArray[np.uint32], giant: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which labels (N + 1,) span more than LARGEST_OBJECT_PX."""
    boxes = boxes_of(labels)
    spans = np.zeros(len(giant), np.int64)
    spans[: len(boxes)] = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    return np.asarray(giant & (spans > LARGEST_OBJECT_PX), np.bool_)


def quantised(threshold: float) -> int:
    """The smallest uint8 map value that reaches a threshold in [0, 1)."""
    return math.ceil(round(threshold * 255, 6))


def in_raster_order(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The same labels renumbered 1..N by their first pixel, row by row, by a table up to the largest."""
    labels = np.ascontiguousarray(labels)
    return np.asarray(_in_raster_order(labels, int(labels.max(initial=0)) + 1), np.uint32)


def _roundness(components: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Distance to the component's outline as a fraction of its largest, (Y, X) uint8."""
    distance = edt.edt(components, black_border=False, parallel=1)
    distance[~np.isfinite(distance)] = 1  # a component over the whole image has no outline
    largest = np.ones(int(components.max()) + 1, np.float32)
    np.maximum.at(largest, components.ravel(), distance.ravel())
    return np.asarray(np.rint(distance / largest[components] * 255), np.uint8)


@kernel
def _seen(
    labels: NDArray[np.uint32], interior: NDArray[np.uint8], count: int, peak: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:  # pragma: no cover (compiled)
    """Of each label (count,) how many pixels it has, and whether the interior of one is at least ``peak``."""
    height, width = labels.shape
    areas = np.zeros(count, np.int64)
    certain = np.zeros(count, np.bool_)
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if label != 0:
                areas[label] += 1
                if interior[y, x] >= peak:
                    certain[label] = True
    return areas, certain


@kernel
def _only(
    labels: NDArray[np.uint32], kept: NDArray[np.bool_]
) -> NDArray[np.uint32]:  # pragma: no cover (compiled)
    """The labels that are kept, a new array."""
    height, width = labels.shape
    rest = np.zeros_like(labels)
    for y in range(height):
        for x in range(width):
            if labels[y, x] != 0 and kept[labels[y, x]]:
                rest[y, x] = labels[y, x]
    return rest


@kernel
def _in_raster_order(
    labels: NDArray[np.uint32], count: int
) -> NDArray[np.uint32]:  # pragma: no cover (compiled)
    height, width = labels.shape
    ordered = np.zeros_like(labels)
    numbers = np.zeros(count, np.uint32)
    last = 0
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if label == 0:
                continue
            if numbers[label] == 0:
                last += 1
                numbers[label] = last
            ordered[y, x] = numbers[label]
    return ordered
