"""Statistics of an image: normalisation constants, quality figures and display windows.

The grey levels of each channel are counted once, for all three.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.grey_levels import GreyLevels, countable
from nucbatch.core.settings import NormaliseSettings
from nucbatch.core.tiles import Box
from nucbatch.features.quality import Edges, edges_of, field_quality, figures_of
from nucbatch.inference.normalise import Constants, constants_of, find_constants
from nucbatch.store.display import window, window_of


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """Statistics of one image.

    ``constants``: normalisation constants. ``quality``: quality figures by column name. ``windows``: display
    window (start, end) of each channel, in pixel values.
    """

    constants: Constants
    quality: dict[str, float]
    windows: list[tuple[float, float]]


def image_statistics(
    image: NDArray[Any], channel: int | None, settings: NormaliseSettings
) -> ImageStatistics:
    """Computes the statistics of an image held in memory.

    Args:
        image: all channels (C, Y, X), as read.
        channel: index of the segmented channel; None if all three are segmented as RGB.
        settings: the method of normalisation.
    """
    seen = image if channel is None else image[channel : channel + 1]
    grey = grey_of(seen)
    if not countable(image.dtype):
        windows = [window(plane) for plane in image]
        return ImageStatistics(find_constants(seen, settings), field_quality(grey), windows)
    levels = [GreyLevels.of(plane) for plane in image]
    grey_levels = GreyLevels.of(grey) if channel is None else levels[channel]
    return statistics_of_levels(
        levels, channel, grey_levels, edges_of(grey, Box(0, 0, *grey.shape)), settings
    )


def grey_of(seen: NDArray[Any]) -> NDArray[Any]:
    """Returns the plane (Y, X) for the quality figures of an image (C, Y, X), C 1 or 3; RGB is averaged."""
    return seen[0] if len(seen) == 1 else np.asarray(seen.mean(axis=0).astype(seen.dtype))


def statistics_of_levels(
    levels: list[GreyLevels],
    channel: int | None,
    grey: GreyLevels,
    edges: Edges,
    settings: NormaliseSettings,
) -> ImageStatistics:
    """Computes the statistics of an image from histograms, which may be sums over its blocks.

    Args:
        levels: histogram of each channel.
        channel: index of the segmented channel; None if all are segmented as RGB.
        grey: histogram of the plane for the quality figures: that channel, or the mean of all.
        edges: edge statistics of the same plane.
        settings: the method of normalisation.
    """
    seen = sum(levels, GreyLevels.none(grey.dtype)) if channel is None else levels[channel]
    windows = [window_of(one) for one in levels]
    return ImageStatistics(constants_of(seen, settings), figures_of(grey, edges), windows)
