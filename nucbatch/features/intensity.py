"""Intensity of nuclei, their edges and their rings in each channel, in grey levels of the file.

Grey levels are neither normalised nor rescaled. (CellProfiler divides by the range of the pixel type; its
values are these over 255 or 65535.) The definitions are those of CellProfiler's MeasureObjectIntensity. The
standard deviation is that of a population. The background around a nucleus is the median of its ring; for a
nuclear stain the nucleus' intensity less this background measures its DNA. The ratio of nucleus to cytoplasm
is that of the means; it has no value where the ring is empty or 0. Its logarithm spreads alike at all levels,
so its mean over a well is less disturbed by a few bright nuclei.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.jit import kernel
from nucbatch.core.measure_settings import MeasureSettings
from nucbatch.features.contract import Columns
from nucbatch.features.grey_sums import Floats, GreySums, grey_sums, plain_pixels
from nucbatch.features.measured_objects import Objects
from nucbatch.features.order_statistics import order_statistics
from nucbatch.features.regions import Region


class Intensity:
    """Grey levels of nucleus, edge and ring, all float64; NaN if a pixel is not finite or none is there."""

    name = "Intensity"

    def margin_px(self, settings: MeasureSettings, pixel_size_um: float | None) -> int:
        """Twice the ring's reach, because a pixel of the ring may be nearer to another nucleus."""
        return max(1, 2 * settings.reach_px(pixel_size_um))

    def measure(self, objects: Objects, image: npt.NDArray[Any], channels: tuple[str, ...]) -> Columns:
        """Sum, mean, spread, extremes and quartiles, then positions of mass and maximum, per channel."""
        columns: Columns = {}
        cytoplasm = objects.cytoplasm(len(channels))
        for index, (channel, plane) in enumerate(zip(channels, plain_pixels(image), strict=True)):
            sums = objects.grey(objects.nuclei, index, plane)
            figures = _figures(objects.nuclei, sums) | _edge(objects.edges, plane)
            places = _places(objects, plane, sums)
            figures["MassDisplacement"] = places.pop("MassDisplacement")
            if objects.ring is not None:
                around = objects.grey(objects.ring, index, plane)
                of_ring = _figures(objects.ring, around)
                background = of_ring["MedianIntensity"]
                corrected = sums.mean - background
                figures["BackgroundCorrectedMeanIntensity"] = corrected
                figures["BackgroundCorrectedIntegratedIntensity"] = corrected * objects.areas_px
            columns |= {f"Nuclei_Intensity_{name}_{channel}": values for name, values in figures.items()}
            columns |= {
                f"Metadata_Nuclei_Location_{name}_{channel}": values for name, values in places.items()
            }
            if cytoplasm is not None:
                columns |= {f"Cytoplasm_Intensity_{name}_{channel}": own for name, own in of_ring.items()}
                ratio = sums.mean / np.where(around.mean == 0, np.nan, around.mean)
                columns[f"Nuclei_Math_NucleusCytoplasmRatio_{channel}"] = ratio
                logarithm = np.log2(np.where(ratio > 0, ratio, np.nan))
                columns[f"Nuclei_Math_Log2NucleusCytoplasmRatio_{channel}"] = logarithm
        return columns


def _figures(region: Region, sums: GreySums) -> dict[str, Floats]:
    """Figures (N,) of a region's grey levels."""
    ordered = order_statistics(sums.grouped, region.begins)
    ordered[sums.broken] = np.nan
    return {
        "IntegratedIntensity": sums.total,
        "MeanIntensity": sums.mean,
        "StdIntensity": sums.deviation,
        "MinIntensity": sums.smallest,
        "MaxIntensity": sums.largest,
        "LowerQuartileIntensity": ordered[:, 0],
        "MedianIntensity": ordered[:, 1],
        "UpperQuartileIntensity": ordered[:, 2],
        "MADIntensity": ordered[:, 3],
    }


def _edge(edges: Region, plane: npt.NDArray[Any]) -> dict[str, Floats]:
    sums = grey_sums(edges, plane)
    return {
        "IntegratedIntensityEdge": sums.total,
        "MeanIntensityEdge": sums.mean,
        "StdIntensityEdge": sums.deviation,
        "MinIntensityEdge": sums.smallest,
        "MaxIntensityEdge": sums.largest,
    }


def _places(objects: Objects, plane: npt.NDArray[Any], sums: GreySums) -> dict[str, Floats]:
    """Centre of mass of the grey levels and position of the brightest pixel, in px of the image."""
    runs, boxes = objects.runs, objects.boxes
    exact = plane.dtype != np.float64
    weighted = np.zeros((objects.count, 4), np.int64 if exact else np.float64)
    # Grouped values are still in the cache, but floats among them may have been reordered.
    grouped = sums.grouped if exact else grey_sums(objects.nuclei, plane).grouped
    brightest = np.full(objects.count, -1, np.int64)
    missing = np.isnan(sums.total)
    largest = np.where(missing, 0, sums.largest).astype(plane.dtype)
    _weigh(
        *(runs.begin, runs.end, objects.owner, plane.shape[1], boxes),
        *(grouped, objects.nuclei.begins, largest, weighted, brightest),
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        down, right = weighted[:, 0] / sums.total, weighted[:, 1] / sums.total
    down, right = (np.where(np.isfinite(place), place, np.nan) for place in (down, right))
    from_center = np.hypot(
        down - weighted[:, 2] / objects.areas_px, right - weighted[:, 3] / objects.areas_px
    )
    y, x = np.divmod(brightest, plane.shape[1])
    top, left = objects.origin_px
    return {
        "MassDisplacement": from_center,
        "CenterMassIntensity_X": right + (boxes[:, 1] + left),
        "CenterMassIntensity_Y": down + (boxes[:, 0] + top),
        "MaxIntensity_X": np.where(missing, np.nan, x + left),
        "MaxIntensity_Y": np.where(missing, np.nan, y + top),
    }


@kernel
def _weigh(
    begin: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    owner: npt.NDArray[np.int64],
    width: int,
    boxes: npt.NDArray[np.int64],
    grouped: npt.NDArray[Any],
    begins: npt.NDArray[np.int64],
    largest: npt.NDArray[Any],
    weighted: npt.NDArray[Any],
    brightest: npt.NDArray[np.int64],
) -> None:  # pragma: no cover (compiled)
    """Sums y·grey, x·grey, y and x of each object, relative to its box's corner (N, 4).

    ``brightest`` (N,): -1, becomes the index of the first pixel whose value is the ``largest`` one.
    """
    y, row = 0, 0
    done = begins.copy()
    for run in range(len(begin)):
        while begin[run] >= row + width:
            y, row = y + 1, row + width
        at, length = owner[run], end[run] - begin[run]
        first = done[at]
        done[at] = first + length
        down, left = y - boxes[at, 0], begin[run] - row - boxes[at, 1]
        own, across = weighted[at, 0] * 0, weighted[at, 1]
        for pixel in range(length):
            value = weighted.dtype.type(grouped[np.uint64(first + pixel)])
            own += value
            across += value * (left + pixel)
        weighted[at, 0] += own * down
        weighted[at, 1] = across
        weighted[at, 2] += down * length
        weighted[at, 3] += left * length + length * (length - 1) // 2
        if brightest[at] < 0:
            for pixel in range(length):
                if grouped[np.uint64(first + pixel)] == largest[at]:
                    brightest[at] = begin[run] + pixel
                    break
