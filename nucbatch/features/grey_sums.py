"""Sums over the grey levels of each object's pixels in one channel, in one pass.

Integer images up to 16 bits are summed exactly in int64, others in float64 over the object's own pixels in
raster order. Either way the sums don't depend on the window in which an object was seen. Deviations are taken
from the object's first pixel, which avoids cancellation of large numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.jit import frozen, kernel
from nucbatch.features.regions import Region

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GreySums:
    """Figures (N,) of a region in one channel; NaN for objects without pixels.

    ``grouped``: the values, object by object, each in raster order. ``brightest`` (N,): linear index in the
    plane of the first of the brightest pixels. ``broken`` (N,): whether a value is not finite.
    """

    total: Floats
    mean: Floats
    deviation: Floats
    smallest: Floats
    largest: Floats
    grouped: npt.NDArray[Any]
    brightest: npt.NDArray[np.int64]
    broken: npt.NDArray[np.bool_]


def plain_pixels(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The image as the kernels take it: contiguous, uint8, uint16 or float64."""
    return frozen(image, image.dtype if image.dtype in (np.uint8, np.uint16) else np.float64)


def grey_sums(region: Region, pixels: npt.NDArray[Any]) -> GreySums:
    """Sums a plane (Y, X) of :func:`plain_pixels` over a region."""
    exact = pixels.dtype != np.float64
    begins = region.begins
    grouped = np.empty(int(begins[-1]), pixels.dtype)
    sums = np.zeros((region.count, 2), np.int64 if exact else np.float64)
    extremes = np.zeros((region.count, 3), pixels.dtype)
    brightest = np.zeros(region.count, np.int64)
    runs = region.runs
    _gather(runs.begin, runs.end, region.owner, pixels.ravel(), begins, grouped, sums, extremes, brightest)
    area = np.where(region.areas_px > 0, region.areas_px.astype(np.float64), np.nan)
    first = extremes[:, 0].astype(sums.dtype)
    total = (first * region.areas_px + sums[:, 0]).astype(np.float64)
    shift = sums[:, 0] / area
    variance = np.maximum(sums[:, 1] / area - shift * shift, 0.0)
    broken = ~np.isfinite(total)
    missing = broken | np.isnan(area)

    def known(values: npt.NDArray[Any]) -> Floats:
        return np.where(missing, np.nan, values.astype(np.float64))

    return GreySums(
        known(total),
        known(total / area),
        known(np.sqrt(variance)),
        known(extremes[:, 1]),
        known(extremes[:, 2]),
        grouped,
        brightest,
        broken,
    )


@kernel
def _gather(
    begin: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    owner: npt.NDArray[np.int64],
    pixels: npt.NDArray[Any],
    begins: npt.NDArray[np.int64],
    grouped: npt.NDArray[Any],
    sums: npt.NDArray[Any],
    extremes: npt.NDArray[Any],
    brightest: npt.NDArray[np.int64],
) -> None:  # pragma: no cover (compiled)
    """Copies each object's pixels to ``grouped`` in raster order, and sums them.

    ``sums`` (N, 2): of the deviations from the object's first pixel, and of their squares. ``extremes`` (N,
    3): first, smallest and largest value.
    """
    filled = begins[:-1].copy()
    for run in range(len(begin)):
        at = owner[run]
        to, source, length = filled[at], begin[run], end[run] - begin[run]
        if to == begins[at]:
            extremes[at, 0] = extremes[at, 1] = extremes[at, 2] = pixels[source]
            brightest[at] = source
        # Both are widened before the subtraction, because unsigned pixels would wrap around.
        base = sums.dtype.type(extremes[at, 0])
        smallest, largest = extremes[at, 1], extremes[at, 2]
        total, squares = sums[at, 0], sums[at, 1]
        for pixel in range(length):
            value = pixels[source + pixel]
            grouped[to + pixel] = value
            if value < smallest:
                smallest = value
            if value > largest:
                largest = value
                brightest[at] = source + pixel
            deviation = sums.dtype.type(value) - base
            total += deviation
            squares += deviation * deviation
        extremes[at, 1], extremes[at, 2] = smallest, largest
        sums[at, 0], sums[at, 1] = total, squares
        filled[at] = to + length
