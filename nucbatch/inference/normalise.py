"""Normalisation: pixel values of a whole image → [0, 1] for the network. Training and inference share it.

Two constants for each image or for a whole plate. They come from an exact histogram where pixels are
integers, so that no tile, box, order or library version can move them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.grey_levels import GreyLevels, countable
from nucbatch.core.settings import NormaliseSettings
from nucbatch.inference.foreground import limits


@dataclass(frozen=True, slots=True)
class Constants:
    """The pixel values that become 0 and 1. ``blank``: the image has one value only, hence no nuclei."""

    low: float
    high: float

    @property
    def blank(self) -> bool:
        return not self.high > self.low


def find_constants(image: NDArray[np.generic], settings: NormaliseSettings) -> Constants:
    """The constants of a whole image of any shape, uint8, uint16 or float; all samples of RGB count alike.

    Where the high value falls on the low one (a few bright pixels on an even ground), the maximum takes its
    place; if that is the same too, the image is blank.
    """
    if countable(image.dtype):
        return constants_of(GreyLevels.of(image), settings)
    given = _given(settings)
    if given is not None:
        return given
    if settings.method == "foreground":
        levels, counts = np.unique(image, return_counts=True)
        return Constants(*limits(levels.astype(np.float64), counts.astype(np.int64)))
    places = [_rank(percent, image.size) - 1 for percent in (settings.low_percent, settings.high_percent)]
    ordered = np.partition(image.ravel(), [*places, image.size - 1])
    low_value, high_value = float(ordered[places[0]]), float(ordered[places[1]])
    return Constants(low_value, high_value if high_value > low_value else float(ordered[-1]))


def constants_of(levels: GreyLevels, settings: NormaliseSettings) -> Constants:
    """The constants of pixels that are counted: of an image in one piece or box by box, or of many images.

    Raises:
        InputError: there are no pixels.
    """
    given = _given(settings)
    if given is not None:
        return given
    if settings.method == "foreground":
        levels.at_rank(1)  # refuses what has no pixels
        found = np.flatnonzero(levels.counts)
        return Constants(*limits(found.astype(np.float64), levels.counts[found]))
    low, high = (
        levels.at_rank(_rank(percent, levels.size))
        for percent in (settings.low_percent, settings.high_percent)
    )
    return Constants(float(low), float(high if high > low else levels.maximum))


def _given(settings: NormaliseSettings) -> Constants | None:
    """The constants that the settings hold themselves: fixed ones, or a plate's."""
    if settings.low is None or settings.high is None:
        return None
    return Constants(settings.low, settings.high)


def normalise(image: NDArray[np.generic], constants: Constants) -> NDArray[np.float32]:
    """Image (Y, X) or (Y, X, 3) → network input (3, Y, X) float32 in [0, 1]. A blank image becomes all zeros.

    Of a grey image there is one channel, seen three times: read-only.
    """
    if constants.blank:
        return np.broadcast_to(np.float32(0), (3, *image.shape[:2]))
    scaled = image.astype(np.float32)
    scaled -= np.float32(constants.low)
    scaled /= np.float32(constants.high - constants.low)
    np.clip(scaled, 0, 1, out=scaled)
    if scaled.ndim == 2:
        return np.broadcast_to(scaled, (3, *scaled.shape))
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def _rank(percent: float, count: int) -> int:
    """Nearest rank from 1: the smallest rank that at least ``percent`` of the values do not exceed."""
    return min(count, max(1, int(np.ceil(percent / 100 * count))))
