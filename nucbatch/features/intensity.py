"""Intensity of nuclei in each channel, in the grey levels of the file, neither normalised nor rescaled.

(CellProfiler divides by the range of the pixel type; its values are these over 255 or 65535.) Integer images
up to 16 bits are summed exactly in int64, others in float64 over the object's own pixels in raster order.
Either way the figures of an object don't depend on the window in which it was seen. Deviations are taken from
the object's first pixel, which avoids cancellation of large numbers. The standard deviation is that of a
population.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.jit import frozen, kernel
from nucbatch.features.contract import Columns
from nucbatch.features.measured_objects import Objects


class Intensity:
    """Six columns per channel, all float64; NaN if an object has a pixel that is not finite."""

    name = "Intensity"

    def measure(self, objects: Objects, image: npt.NDArray[Any], channels: tuple[str, ...]) -> Columns:
        """Integrated, mean, standard deviation, minimum, maximum and median grey level of each object."""
        columns: Columns = {}
        for channel, plane in zip(channels, image, strict=True):
            for figure, values in _of_plane(objects, plane).items():
                columns[f"Nuclei_{self.name}_{figure}_{channel}"] = values
        return columns


def _of_plane(objects: Objects, plane: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float64]]:
    """Figures (N,) float64 of one channel (Y, X)."""
    area = objects.areas_px
    exact = plane.dtype in (np.uint8, np.uint16)
    pixels = frozen(plane, plane.dtype if exact else np.float64)
    begins = np.zeros(objects.count + 1, np.int64)
    np.cumsum(area, out=begins[1:])
    grouped = np.empty(int(begins[-1]), np.uint16 if exact else np.float64)
    sums = np.zeros((objects.count, 2), np.int64 if exact else np.float64)
    extremes = np.zeros((objects.count, 3), grouped.dtype)
    runs = objects.runs
    _gather(runs.begin, runs.end, objects.owner, pixels.ravel(), begins, grouped)
    _sum(grouped, begins, sums, extremes)

    first = extremes[:, 0].astype(sums.dtype)
    total = (first * area + sums[:, 0]).astype(np.float64)
    shift = sums[:, 0] / area
    variance = np.maximum(sums[:, 1] / area - shift * shift, 0.0)
    figures = {
        "IntegratedIntensity": total,
        "MeanIntensity": total / area,
        "StdIntensity": np.sqrt(variance),
        "MinIntensity": extremes[:, 1].astype(np.float64),
        "MaxIntensity": extremes[:, 2].astype(np.float64),
        "MedianIntensity": _medians(grouped, begins),
    }
    if not exact:
        broken = ~np.isfinite(total)
        figures = {name: np.where(broken, np.nan, values) for name, values in figures.items()}
    return figures


@kernel
def _gather(
    begin: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    owner: npt.NDArray[np.int64],
    pixels: npt.NDArray[Any],
    begins: npt.NDArray[np.int64],
    grouped: npt.NDArray[Any],
) -> None:
    """Copies each object's pixels to ``grouped``, in raster order."""
    filled = begins[:-1].copy()
    for run in range(len(begin)):
        to, source, length = filled[owner[run]], begin[run], end[run] - begin[run]
        for pixel in range(length):
            grouped[to + pixel] = pixels[source + pixel]
        filled[owner[run]] += length


@kernel
def _sum(
    grouped: npt.NDArray[Any],
    begins: npt.NDArray[np.int64],
    sums: npt.NDArray[Any],
    extremes: npt.NDArray[Any],
) -> None:
    """Sums the values of each object in order.

    ``sums`` (N, 2): of the deviations from the object's first pixel, and of their squares. ``extremes`` (N,
    3): first, smallest and largest value.
    """
    for at in range(len(sums)):
        own = grouped[begins[at] : begins[at + 1]]
        first = smallest = largest = own[0]
        # Both are widened before the subtraction, because unsigned pixels would wrap around.
        base = sums.dtype.type(first)
        total, squares = sums[at, 0], sums[at, 1]
        for value in own:
            smallest = value if value < smallest else smallest
            largest = value if value > largest else largest
            deviation = sums.dtype.type(value) - base
            total += deviation
            squares += deviation * deviation
        extremes[at, 0], extremes[at, 1], extremes[at, 2] = first, smallest, largest
        sums[at, 0], sums[at, 1] = total, squares


@kernel
def _medians(grouped: npt.NDArray[Any], begins: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Median of each object's values, by selection (Hoare's FIND); reorders ``grouped``."""
    medians = np.empty(len(begins) - 1, np.float64)
    for at in range(len(medians)):
        begin, end = begins[at], begins[at + 1]
        middle = begin + (end - begin - 1) // 2
        low, high = begin, end - 1
        while low < high:
            pivot = grouped[(low + high) // 2]
            i, j = low, high
            while i <= j:
                while grouped[i] < pivot:
                    i += 1
                while grouped[j] > pivot:
                    j -= 1
                if i <= j:
                    grouped[i], grouped[j] = grouped[j], grouped[i]
                    i += 1
                    j -= 1
            if j < middle:
                low = i
            if middle < i:
                high = j
        medians[at] = grouped[middle]
        if (end - begin) % 2 == 0:
            above = grouped[middle + 1]
            for k in range(middle + 2, end):
                above = min(above, grouped[k])
            medians[at] = (medians[at] + above) / 2
    return medians
