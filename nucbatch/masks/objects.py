"""Converts probability maps to labels 1..N: threshold, split, grow, fill holes, drop small objects, number.

Maps are uint8 (255 is probability 1). They are kept on disk at this resolution, so that other thresholds
give the same objects as a new run, and the last bits of a device's floats can't change an object. Touching
nuclei are split by offset maps if the network predicts them, else by the interior map, else by the shape of
the foreground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import edt
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from nucbatch.core.errors import InputError
from nucbatch.core.jit import kernel
from nucbatch.core.rle import Runs, runs_of
from nucbatch.core.settings import MAPS, ObjectSettings
from nucbatch.core.tiles import GROWTH_PX
from nucbatch.masks.components import Components, components_of
from nucbatch.masks.fill import fill_holes
from nucbatch.masks.flood import grow
from nucbatch.masks.flow_endpoints import split_by_offsets
from nucbatch.masks.merge import merge_cut_nuclei
from nucbatch.masks.parts import CLOSED, Open, divide
from nucbatch.masks.small_objects import drop_small_objects
from nucbatch.masks.split import split_touching

LARGEST_OBJECT_PX = 4096
"""An object that spans more is no nucleus. To measure an object, its whole bounding box is read."""


@dataclass(frozen=True, slots=True)
class Found:
    """Objects of a window.

    ``labels`` (Y, X) uint32. ``oversized`` (N + 1,) bool: which labels are oversized objects; the window may
    hold only a part of them. ``cores`` (Y, X) uint32: their pixels before growth, under the same numbers;
    None where there are none. ``runs``: the pixels of all labels. ``micronuclei`` (K,) int64: linear index of
    the first pixel of each object left out as a micronucleus.
    """

    labels: NDArray[np.uint32]
    oversized: NDArray[np.bool_]
    cores: NDArray[np.uint32] | None
    runs: Runs
    micronuclei: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Nuclei:
    """Nuclei of an image.

    ``labels`` (Y, X) uint32: 1..N in raster order of first pixels, 0 is background. ``runs``: their pixels.
    ``areas_px`` (N,) int64. ``micronuclei``: number of objects left out as micronuclei.
    """

    labels: NDArray[np.uint32]
    runs: Runs
    areas_px: NDArray[np.int64]
    micronuclei: int


def find_nuclei(maps: NDArray[np.uint8], settings: ObjectSettings) -> NDArray[np.uint32]:
    """Finds nuclei; returns labels (Y, X) uint32, 1..N in raster order of first pixels, 0 is background.

    Objects that span more than ``LARGEST_OBJECT_PX`` become background.

    Args:
        maps: (outputs, Y, X) uint8 of a whole image. Foreground: probability of a nucleus. Interior: relative
            distance to the nucleus' outline. Offsets: vector to its centre.
        settings: thresholds as fractions, areas in px.

    Raises:
        InputError: not one, two or four maps.
    """
    return find_in_image(maps, settings).labels


def find_in_image(maps: NDArray[np.uint8], settings: ObjectSettings, least_nucleus_px: int = 0) -> Nuclei:
    """Finds nuclei as :func:`find_nuclei`, and counts the objects left out as micronuclei.

    Args:
        maps: as for :func:`find_nuclei`, which has the errors too.
        settings: thresholds as fractions, areas in px.
        least_nucleus_px: objects of a smaller area are micronuclei; 0: there are none.
    """
    found = find_in_window(maps, settings, least_nucleus_px=least_nucleus_px)
    if not found.oversized.any():
        labels, areas_px = _numbered(found.labels, found.runs, len(found.oversized) - 1)
        return Nuclei(labels, found.runs, areas_px, len(found.micronuclei))
    beyond = _beyond_any_nucleus(found.labels, found.oversized)
    nuclei = np.where(beyond[found.labels], np.uint32(0), found.labels)
    runs = runs_of(nuclei != 0)
    labels, areas_px = _numbered(nuclei, runs, len(found.oversized) - 1)
    return Nuclei(labels, runs, areas_px, len(found.micronuclei))


def find_in_window(
    maps: NDArray[np.uint8],
    settings: ObjectSettings,
    beyond: Open = CLOSED,
    components: Components | None = None,
    least_nucleus_px: int = 0,
) -> Found:
    """Finds the objects of a window of an image that continues ``beyond`` some of its sides, in any order.

    Exact for objects at least :data:`nucbatch.core.tiles.SUPPORT_PX` away from those sides. ``components``:
    :func:`foreground_of` the maps, if already computed. Other arguments and errors as for
    :func:`find_in_image`.
    """
    if len(maps) not in (1, 2, 4):
        raise InputError(f"{len(maps)} maps: nuclei are made from the first 1, 2 or 4 of {', '.join(MAPS)}.")
    if components is None:
        components = foreground_of(maps, settings)
    if not components.count:
        none = np.zeros(0, np.int64)
        return Found(components.labels, np.zeros(1, np.bool_), None, components.runs, none)
    parts = divide(
        components,
        maps[1] if len(maps) > 1 else None,
        quantised(settings.interior),
        beyond,
    )
    ordinary, runs = parts.labels, components.runs
    if parts.regrown is not None:
        ordinary = np.where(parts.oversized[parts.labels], np.uint32(0), parts.labels)
        runs = runs_of(ordinary != 0)
    interior = maps[1] if len(maps) > 1 else _roundness(ordinary)
    labels, cores = _split(ordinary, interior, maps[2:], runs, settings), None
    count = runs.highest(labels)
    oversized = np.zeros(count + 1, np.bool_)
    if parts.oversized.any():
        numbers = np.where(parts.oversized, np.cumsum(parts.oversized) + count, 0).astype(np.uint32)
        cores = numbers[parts.labels]
        labels = labels + cores
        oversized = np.concatenate([oversized, np.ones(int(parts.oversized.sum()), np.bool_)])
    if parts.regrown is not None:
        labels = grow(labels, parts.regrown, GROWTH_PX)
        runs = runs_of(labels != 0)
    runs = fill_holes(labels, runs, oversized)
    rest, micronuclei = drop_small_objects(
        labels, runs, interior, oversized, settings.min_area_px, quantised(settings.peak), least_nucleus_px
    )
    if rest is not runs:  # a small object inside a ring may have kept a hole open
        rest = fill_holes(labels, rest, oversized)
    return Found(labels, oversized, cores, rest, micronuclei)


def foreground_of(maps: NDArray[np.uint8], settings: ObjectSettings) -> Components:
    """Finds the foreground's 4-connected components in maps (outputs, Y, X)."""
    return components_of(maps[0] >= quantised(settings.foreground))


def _split(
    parts: NDArray[np.uint32],
    interior: NDArray[np.uint8],
    offsets: NDArray[np.uint8],
    runs: Runs,
    settings: ObjectSettings,
) -> NDArray[np.uint32]:
    """Splits parts into nuclei; returns new labels (Y, X) uint32."""
    if not runs.pixels:
        return np.zeros_like(parts)
    if len(offsets):
        labels = split_by_offsets(parts, offsets, runs, settings.join, settings.min_marker_px)
        return merge_cut_nuclei(labels, interior, runs, quantised(settings.merge))
    return split_touching(parts, interior, quantised(settings.interior), settings.min_marker_px)


def _beyond_any_nucleus(labels: NDArray[np.uint32], oversized: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns which labels (N + 1,) span more than ``LARGEST_OBJECT_PX``."""
    beyond = np.zeros(len(oversized), np.bool_)
    places = find_objects(labels, max_label=len(oversized) - 1)
    for label in np.flatnonzero(oversized).tolist():
        place = places[label - 1]
        beyond[label] = place is not None and max(s.stop - s.start for s in place) > LARGEST_OBJECT_PX
    return beyond


def quantised(threshold: float) -> int:
    """Returns the smallest uint8 map value that reaches a threshold in [0, 1)."""
    return math.ceil(round(threshold * 255, 6))


def in_raster_order(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Renumbers labels 1..N in raster order of their first pixels."""
    return _numbered(np.ascontiguousarray(labels), runs_of(labels != 0), int(labels.max(initial=0)))[0]


def _numbered(
    labels: NDArray[np.uint32], runs: Runs, highest: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Renumbers labels up to ``highest`` in raster order; returns them and the area (N,) of each."""
    numbers, areas_px = np.zeros(highest + 1, np.uint32), np.zeros(highest + 1, np.int64)
    ordered = np.zeros_like(labels)
    last = _in_raster_order(labels.ravel(), runs.begin, runs.end, numbers, areas_px, ordered.ravel())
    return ordered, areas_px[1 : last + 1]


def _roundness(components: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Returns the distance to the component's outline as a fraction of its largest value, (Y, X) uint8."""
    distance = edt.edt(components, black_border=False, parallel=1)
    distance[~np.isfinite(distance)] = 1  # a component over the whole image has no outline
    largest = np.ones(int(components.max()) + 1, np.float32)
    np.maximum.at(largest, components.ravel(), distance.ravel())
    return np.asarray(np.rint(distance / largest[components] * 255), np.uint8)


@kernel
def _in_raster_order(
    labels: NDArray[np.uint32],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    numbers: NDArray[np.uint32],
    areas_px: NDArray[np.int64],
    ordered: NDArray[np.uint32],
) -> int:  # pragma: no cover (compiled)
    """Writes renumbered labels, fills the table of new ``numbers`` and the areas; returns the last number."""
    last = 0
    for run in range(len(begin)):
        for pixel in range(np.uint64(begin[run]), np.uint64(end[run])):
            label = labels[pixel]
            if numbers[label] == 0:
                last += 1
                numbers[label] = last
            ordered[pixel] = numbers[label]
            areas_px[numbers[label]] += 1
    return last
