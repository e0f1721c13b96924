"""Correlation of each pair of channels within nucleus and ring."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.jit import frozen, kernel
from nucbatch.core.measure_settings import MeasureSettings
from nucbatch.features.contract import Columns
from nucbatch.features.grey_sums import Floats, plain_pixels
from nucbatch.features.measured_objects import Objects
from nucbatch.features.regions import Region


class Correlation:
    """Pearson's coefficient per pair of channels; NaN where a channel is constant or not finite."""

    name = "Correlation"

    def margin_px(self, settings: MeasureSettings, pixel_size_um: float | None) -> int:
        """As for the intensity of the ring."""
        return 2 * settings.reach_px(pixel_size_um)

    def measure(self, objects: Objects, image: npt.NDArray[Any], channels: tuple[str, ...]) -> Columns:
        """``Nuclei_Correlation_Correlation_<C1>_<C2>``, and the same of ``Cytoplasm_``."""
        pixels = plain_pixels(image)
        columns: Columns = {}
        cytoplasm = objects.cytoplasm(len(channels))
        for one, other in combinations(range(len(channels)), 2):
            name = f"Correlation_Correlation_{channels[one]}_{channels[other]}"
            columns[f"Nuclei_{name}"] = _pearson(objects, objects.nuclei, pixels, (one, other))
            if cytoplasm is not None:
                columns[f"Cytoplasm_{name}"] = _pearson(objects, cytoplasm, pixels, (one, other))
        return columns


def _pearson(objects: Objects, region: Region, pixels: npt.NDArray[Any], channels: tuple[int, int]) -> Floats:
    """Pearson's coefficient (N,) of two channels of an image (C, Y, X)."""
    exact = pixels.dtype != np.float64
    sums = np.zeros((region.count, 7), np.int64 if exact else np.float64)
    if exact:  # in any order; so the values are read that are listed object by object already
        owner, begins = np.flatnonzero(region.areas_px), region.begins
        begin, end = begins[owner], begins[owner + 1]
        one, other = (
            frozen(objects.grey(region, channel, pixels[channel]).grouped, pixels.dtype)
            for channel in channels
        )
    else:
        begin, end, owner = region.runs.begin, region.runs.end, region.owner
        one, other = (pixels[channel].ravel() for channel in channels)
    _products(begin, end, owner, one, other, sums)
    n = region.areas_px.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_one, mean_other = sums[:, 2] / n, sums[:, 3] / n
        spread_one = sums[:, 4] / n - mean_one * mean_one
        spread_other = sums[:, 5] / n - mean_other * mean_other
        together = sums[:, 6] / n - mean_one * mean_other
        found = together / np.sqrt(spread_one * spread_other)
    constant = ~((spread_one > 0) & (spread_other > 0))
    return np.where(constant | ~np.isfinite(found), np.nan, np.clip(found, -1.0, 1.0))


@kernel
def _products(
    begin: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    owner: npt.NDArray[np.int64],
    one: npt.NDArray[Any],
    other: npt.NDArray[Any],
    sums: npt.NDArray[Any],
) -> None:  # pragma: no cover (compiled)
    """First values of both channels, sums of deviations from them, of their squares and products (N, 7)."""
    started = np.zeros(len(sums), np.bool_)
    for run in range(len(begin)):
        at = owner[run]
        if not started[at]:
            started[at] = True
            sums[at, 0], sums[at, 1] = one[begin[run]], other[begin[run]]
        first_one, first_other = sums[at, 0], sums[at, 1]
        s1, s2, s11, s22, s12 = sums[at, 2], sums[at, 3], sums[at, 4], sums[at, 5], sums[at, 6]
        for pixel in range(begin[run], end[run]):
            d1 = sums.dtype.type(one[pixel]) - first_one
            d2 = sums.dtype.type(other[pixel]) - first_other
            s1 += d1
            s2 += d2
            s11 += d1 * d1
            s22 += d2 * d2
            s12 += d1 * d2
        sums[at, 2], sums[at, 3], sums[at, 4], sums[at, 5], sums[at, 6] = s1, s2, s11, s22, s12
