"""Statistics of an image: normalisation constants, quality figures and display windows.

The grey levels of each channel are counted once, for all three.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.grey_levels import GreyLevels, countable
from nucbatch.core.settings import NormaliseSettings
from nucbatch.core.tiles import Box
from nucbatch.features.quality import (
    SATURATED_IN,
    Edges,
    edges_of,
    field_quality,
    figures_of,
    saturated_fraction,
)
from nucbatch.features.quality_sample import Sample, sample_of
from nucbatch.inference.colour_clusters import directions_of
from nucbatch.inference.normalise import Constants, constants_of, find_constants
from nucbatch.store.display import window, window_of

AREA = "Nuclei_AreaShape_Area"
INTEGRATED = "Nuclei_Intensity_IntegratedIntensity_"
"""Sum of the grey levels of a nucleus; the channel's name follows."""


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
    image: NDArray[Any], channel: int | None, settings: NormaliseSettings, names: Sequence[str] = ()
) -> ImageStatistics:
    """Computes the statistics of an image held in memory.

    Args:
        image: all channels (C, Y, X), as read.
        channel: index of the segmented channel; None if all three are segmented as RGB.
        settings: the method of normalisation.
        names: of all channels; those that are not segmented get a figure of saturation of their own.
    """
    seen = image if channel is None else image[channel : channel + 1]
    grey = grey_of(seen)
    if not countable(image.dtype):
        windows = [window(plane) for plane in image]
        return ImageStatistics(find_constants(seen, settings), field_quality(grey), windows)
    levels = [GreyLevels.of(plane) for plane in image]
    grey_levels = GreyLevels.of(grey) if channel is None else levels[channel]
    edges = edges_of(grey, Box(0, 0, *grey.shape))
    colours = colours_of(seen, settings)
    return statistics_of_levels(levels, channel, grey_levels, edges, settings, names, colours)


def colours_of(seen: NDArray[Any], settings: NormaliseSettings) -> GreyLevels | None:
    """Counts the directions of the colours of an image (3, Y, X), if the normalisation clusters them."""
    if settings.method != "lab-kmeans":
        return None
    return GreyLevels.of(directions_of(seen.transpose(1, 2, 0)))


def grey_of(seen: NDArray[Any]) -> NDArray[Any]:
    """Returns the plane (Y, X) for the quality figures of an image (C, Y, X), C 1 or 3; RGB is averaged."""
    return seen[0] if len(seen) == 1 else np.asarray(seen.mean(axis=0).astype(seen.dtype))


def statistics_of_levels(
    levels: list[GreyLevels],
    channel: int | None,
    grey: GreyLevels,
    edges: Edges,
    settings: NormaliseSettings,
    names: Sequence[str] = (),
    colours: GreyLevels | None = None,
) -> ImageStatistics:
    """Computes the statistics of an image from histograms, which may be sums over its blocks.

    Args:
        levels: histogram of each channel.
        channel: index of the segmented channel; None if all are segmented as RGB.
        grey: histogram of the plane for the quality figures: that channel, or the mean of all.
        edges: edge statistics of the same plane.
        settings: the method of normalisation.
        names: as in :func:`image_statistics`.
        colours: :func:`colours_of` the image.
    """
    seen = sum(levels, GreyLevels.none(grey.dtype)) if channel is None else levels[channel]
    windows = [window_of(one) for one in levels]
    others = {
        f"{SATURATED_IN}{name}": saturated_fraction(levels[index])
        for index, name in enumerate(names)
        if channel is not None and index != channel
    }
    constants = constants_of(seen if colours is None else colours, settings)
    return ImageStatistics(constants, figures_of(grey, edges) | others, windows)


def sample_of_image(image: NDArray[Any], channel: int | None) -> Sample:
    """Samples an image (C, Y, X) held in memory for the figures that need its nuclei too."""
    grey = grey_of(image if channel is None else image[channel : channel + 1])
    whole = Box(0, 0, *grey.shape)
    return sample_of(grey, whole, whole, grey.shape)


def mean_in_nuclei(columns: Iterable[Mapping[str, NDArray[Any]]], channel: str | None) -> float | None:
    """Returns the mean grey level of all pixels in nuclei, exact for integers in any order.

    Args:
        columns: measurements of the nuclei, in parts.
        channel: name of the segmented channel; None in RGB.

    Returns:
        None without nuclei, in RGB, or if no family of measurements sums their grey levels.
    """
    name, total, pixels = f"{INTEGRATED}{channel}", 0.0, 0
    for part in columns:
        if name not in part or AREA not in part:
            return None
        total = math.fsum((total, *part[name].tolist()))
        pixels += int(part[AREA].sum())
    return total / pixels if pixels else None
