"""Drops objects that are too small or too uncertain to be nuclei.

An object is kept if it has at least ``min_area_px`` pixels and the interior reaches ``peak`` in one of
them. If it is smaller than a nucleus all the same, it is a micronucleus, which is dropped and noted.
Oversized objects are always kept here, because a window may hold only a part of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.jit import kernel
from nucbatch.core.rle import Runs


def drop_small_objects(
    labels: NDArray[np.uint32],
    runs: Runs,
    interior: NDArray[np.uint8],
    oversized: NDArray[np.bool_],
    min_area_px: int,
    peak: int,
    least_nucleus_px: int = 0,
) -> tuple[Runs, NDArray[np.int64]]:
    """Removes labels that are not kept, in place.

    Args:
        labels: (Y, X), contiguous, up to N.
        runs: of the labels' pixels.
        interior: (Y, X) uint8; a nucleus has a pixel of at least ``peak``.
        oversized: (N + 1,) labels that are always kept.
        min_area_px: smallest area of an object.
        peak: least value of the interior that an object reaches.
        least_nucleus_px: smallest area of a nucleus; smaller objects are micronuclei.

    Returns:
        The runs of the remaining pixels, and the linear index of the first pixel of each micronucleus.
    """
    areas, certain, first = _seen(
        runs.begin, runs.end, labels.ravel(), np.ravel(interior), len(oversized), peak
    )
    objects = (areas >= min_area_px) & certain
    kept = objects & (areas >= least_nucleus_px) | oversized
    micronuclei = first[objects & ~kept]
    if kept[1:].all():
        return runs, micronuclei
    return Runs(*_clear(runs.begin, runs.end, labels.ravel(), kept)), micronuclei


@kernel
def _seen(
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    labels: NDArray[np.uint32],
    interior: NDArray[np.uint8],
    count: int,
    peak: int,
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:  # pragma: no cover (compiled)
    """Returns the area of each label (count,), whether the interior reaches ``peak``, and its first pixel."""
    areas = np.zeros(count, np.int64)
    first = np.zeros(count, np.int64)
    certain = np.zeros(count, np.bool_)
    for run in range(len(begin)):
        for pixel in range(begin[run], end[run]):
            label = labels[pixel]
            if areas[label] == 0:
                first[label] = pixel
            areas[label] += 1
            if interior[pixel] >= peak:
                certain[label] = True
    return areas, certain, first


@kernel
def _clear(
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    labels: NDArray[np.uint32],
    kept: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # pragma: no cover (compiled)
    """Sets labels that are not kept to 0; returns begins and ends of the remaining runs."""
    most = (end - begin).sum()
    begins, ends = np.empty(most, np.int64), np.empty(most, np.int64)
    count = 0
    for run in range(len(begin)):
        pixel, stop = begin[run], end[run]
        while pixel < stop:
            if not kept[labels[pixel]]:
                labels[pixel] = 0
                pixel += 1
                continue
            begins[count] = pixel
            while pixel < stop and kept[labels[pixel]]:
                pixel += 1
            ends[count] = pixel
            count += 1
    return begins[:count], ends[:count]
