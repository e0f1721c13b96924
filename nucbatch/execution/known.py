"""What is known of an image before its nuclei are: constants, quality, display windows.

The decision owned here: the grey levels of each channel are counted once, for all three.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from nucbatch.features.quality import edges_of, field_quality, figures_of
from nucbatch.greylevels import GreyLevels, countable
from nucbatch.inference.normalise import Constants, constants_of, find_constants
from nucbatch.settings import NormaliseSettings
from nucbatch.store.display import window, window_of
from nucbatch.tiles import Box


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
    seen = image if channel is None else image[channel]
    grey = seen if channel is not None else image.mean(axis=0).astype(image.dtype)
    if not countable(image.dtype):
        windows = [window(plane) for plane in image]
        return Known(find_constants(seen, settings), field_quality(grey), windows)
    levels = [GreyLevels.of(plane) for plane in image]
    if channel is None:
        all_levels, grey_levels = sum(levels, GreyLevels.none(image.dtype)), GreyLevels.of(grey)
    else:
        all_levels = grey_levels = levels[channel]
    edges = edges_of(grey, Box(0, 0, *grey.shape))
    windows = [window_of(one) for one in levels]
    return Known(constants_of(all_levels, settings), figures_of(grey_levels, edges), windows)
