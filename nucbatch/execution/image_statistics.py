"""What is known of an image before its nuclei are: constants, quality, display windows.

The decision owned here: the grey levels of each channel are counted once, for all three.
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
class Known:
    """The constants of the normalisation, quality figures, and a display window (start, end) per channel."""

    constants: Constants
    quality: dict[str, float]
    windows: list[tuple[float, float]]


def look_at(image: NDArray[Any], channel: int | None, settings: NormaliseSettings) -> Known:
    """What is known of a field in one piece.

    Args:
        image: all channels (C, Y, X), as read.
        channel: the one that the network sees; None if it sees all three as RGB.
    """
    seen = image if channel is None else image[channel : channel + 1]
    grey = grey_of(seen)
    if not countable(image.dtype):
        windows = [window(plane) for plane in image]
        return Known(find_constants(seen, settings), field_quality(grey), windows)
    levels = [GreyLevels.of(plane) for plane in image]
    grey_levels = GreyLevels.of(grey) if channel is None else levels[channel]
    return known_of(levels, channel, grey_levels, edges_of(grey, Box(0, 0, *grey.shape)), settings)


def grey_of(seen: NDArray[Any]) -> NDArray[Any]:
    """The plane (Y, X) whose quality is judged, of what the network sees (C', Y, X), C' 1 or 3."""
    return seen[0] if len(seen) == 1 else np.asarray(seen.mean(axis=0).astype(seen.dtype))


def known_of(
    levels: list[GreyLevels],
    channel: int | None,
    grey: GreyLevels,
    edges: Edges,
    settings: NormaliseSettings,
) -> Known:
    """What is known of an image whose pixels are counted, in one piece or part by part.

    Args:
        levels: of each channel.
        channel: the one that the network sees; None if it sees all of them as RGB.
        grey: of the plane whose quality is judged: that channel, or the mean of all.
        edges: of the same plane.
    """
    seen = sum(levels, GreyLevels.none(grey.dtype)) if channel is None else levels[channel]
    return Known(constants_of(seen, settings), figures_of(grey, edges), [window_of(one) for one in levels])
