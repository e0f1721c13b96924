"""Normalises pixel values to [0, 1] for the network, with two constants per image or per plate.

Training and inference share this code. For integer pixels the constants come from an exact histogram, so
they do not depend on tiles, blocks, their order or library versions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.grey_levels import GreyLevels, countable
from nucbatch.core.settings import NormaliseSettings
from nucbatch.inference.colour_clusters import clusters, directions_of, in_first_cluster
from nucbatch.inference.foreground import limits
from nucbatch.inference.histogram_statistics import interpolated_percentiles, mean_and_deviation
from nucbatch.inference.histogram_thresholds import around_threshold


@dataclass(frozen=True, slots=True)
class Constants:
    """The pixel values that become 0 (``low``) and 1 (``high``).

    ``centres``: with *lab-kmeans*, the clusters of colours, the nuclei's first; ``low`` and ``high`` are 0
    and 1. ``clips``: whether values beyond ``low`` and ``high`` become 0 and 1. ``blank``: whether the image
    has one value only, or no stain, and so no nuclei.
    """

    low: float
    high: float
    centres: tuple[tuple[float, float, float], ...] = ()
    clips: bool = True

    @property
    def blank(self) -> bool:
        return not self.high > self.low


def find_constants(image: NDArray[np.generic], settings: NormaliseSettings) -> Constants:
    """Finds the constants of a whole image.

    If both constants are equal (a few bright pixels on an even background), the maximum becomes the upper
    one. If that is equal too, the image is blank.

    Args:
        image: pixels of any shape, uint8, uint16 or float; all RGB samples count alike. With *lab-kmeans*
            (Y, X, 3) uint8 or uint16.
        settings: the method and its parameters.

    Raises:
        InputError: *lab-kmeans*, and the image is not RGB of 8 or 16 bits.
    """
    if settings.method == "lab-kmeans":
        return constants_of(GreyLevels.of(directions_of(image)), settings)
    if countable(image.dtype):
        return constants_of(GreyLevels.of(image), settings)
    given = _given(settings)
    if given is not None:
        return given
    if settings.method != "percentiles":
        levels, counts = np.unique(image, return_counts=True)
        return _from_histogram(levels.astype(np.float64), counts.astype(np.int64), settings)
    places = [_rank(percent, image.size) - 1 for percent in (settings.low_percent, settings.high_percent)]
    ordered = np.partition(image.ravel(), [*places, image.size - 1])
    low_value, high_value = float(ordered[places[0]]), float(ordered[places[1]])
    return Constants(low_value, high_value if high_value > low_value else float(ordered[-1]))


def constants_of(levels: GreyLevels, settings: NormaliseSettings) -> Constants:
    """Finds the constants from a histogram, which may cover an image, its blocks or many images.

    With *lab-kmeans* it is the histogram of :func:`directions_of`.

    Raises:
        InputError: the histogram is empty.
    """
    if settings.method == "lab-kmeans":
        centres = clusters(levels)
        return Constants(0.0, 1.0 if centres else 0.0, centres)
    given = _given(settings)
    if given is not None:
        return given
    if settings.method != "percentiles":
        levels.at_rank(1)  # raises if there are no pixels
        found = np.flatnonzero(levels.counts)
        return _from_histogram(found.astype(np.float64), levels.counts[found], settings)
    low, high = (
        levels.at_rank(_rank(percent, levels.size))
        for percent in (settings.low_percent, settings.high_percent)
    )
    return Constants(float(low), float(high if high > low else levels.maximum))


def _from_histogram(
    levels: NDArray[np.float64], counts: NDArray[np.int64], settings: NormaliseSettings
) -> Constants:
    """Finds the constants from the levels that occur, (L,) ascending, and their numbers of pixels (L,)."""
    if settings.method == "otsu" or settings.method == "kmeans":
        return Constants(*around_threshold(levels, counts, settings.method))
    if settings.method == "standardise":
        return Constants(*mean_and_deviation(levels, counts), clips=False)
    if settings.method == "scale_range":
        percent = settings.low_percent, settings.high_percent
        return Constants(*interpolated_percentiles(levels, counts, percent), clips=False)
    return Constants(*limits(levels, counts))


def _given(settings: NormaliseSettings) -> Constants | None:
    """Returns the constants that the settings contain: fixed ones or a plate's; otherwise None."""
    if settings.low is None or settings.high is None:
        return None
    return Constants(settings.low, settings.high, clips=settings.clips)


def normalise(image: NDArray[np.generic], constants: Constants) -> NDArray[np.float32]:
    """Converts an image (Y, X) or (Y, X, 3) to the network's input (3, Y, X) float32.

    It is in [0, 1] unless the constants don't clip.

    A blank image becomes all zeros. For a grey image, and with clusters of colours, the result is a read-only
    view of one channel.
    """
    if constants.blank:
        return np.broadcast_to(np.float32(0), (3, *image.shape[:2]))
    if constants.centres:
        return np.broadcast_to(in_first_cluster(image, constants.centres), (3, *image.shape[:2]))
    scaled = image.astype(np.float32)
    scaled -= np.float32(constants.low)
    scaled /= np.float32(constants.high - constants.low)
    if constants.clips:
        np.clip(scaled, 0, 1, out=scaled)
    if scaled.ndim == 2:
        return np.broadcast_to(scaled, (3, *scaled.shape))
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def _rank(percent: float, count: int) -> int:
    """Returns the nearest rank, from 1 to ``count``: the smallest with ``percent`` of the values up to it."""
    return min(count, max(1, int(np.ceil(percent / 100 * count))))
