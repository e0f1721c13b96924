"""Chooses the resolution level of a pyramid to read.

The full resolution is the default. For a requested pixel size the coarsest level is chosen whose pixels are
at most a third larger, so that nothing is enlarged by more than 4/3. If there is none, the full resolution is
read. For levels a factor of two or more apart this is also the nearest level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nucbatch.core.errors import InputError

_LARGEST_ENLARGEMENT = 4 / 3


@dataclass(frozen=True, slots=True)
class Level:
    """Resolution level of a pyramid.

    Attributes:
        index: 0 is the full resolution.
        height_px: height of the level.
        width_px: width of the level.
        downsample: side of a pixel of this level in pixels of the full resolution.
        pixel_size_um: None if unknown.
    """

    index: int
    height_px: int
    width_px: int
    downsample: float
    pixel_size_um: float | None = None


def pyramid_levels(sizes: Sequence[tuple[int, int]], pixel_size_um: float | None) -> tuple[Level, ...]:
    """Builds the levels from their (height, width), the first being the full resolution."""
    height, width = sizes[0]
    levels = []
    for index, (tall, wide) in enumerate(sizes):
        # The longer side has the smaller rounding error.
        downsample = height / tall if height > width else width / wide
        size = None if pixel_size_um is None else pixel_size_um * downsample
        levels.append(Level(index, tall, wide, downsample, size))
    return tuple(levels)


def level_for_pixel_size(levels: Sequence[Level], wanted_um: float) -> Level:
    """Chooses the level for pixels of about ``wanted_um`` micrometres.

    Raises:
        InputError: the size is not positive, or the image's own is unknown.
    """
    if levels[0].pixel_size_um is None:
        raise InputError(
            f"a level for pixels of {wanted_um} µm can't be chosen: the image does not record its pixel "
            "size. Give it with --pixel-size."
        )
    return _coarsest(levels, wanted_um / levels[0].pixel_size_um, f"a pixel size of {wanted_um} µm")


def level_for_diameter(levels: Sequence[Level], diameter_px: float, wanted_px: float) -> Level:
    """Chooses the level at which nuclei of ``diameter_px`` at full resolution measure about ``wanted_px``.

    Raises:
        InputError: one of the two is not positive.
    """
    return _coarsest(
        levels, diameter_px / wanted_px if wanted_px else math.nan, f"{diameter_px} px for {wanted_px} px"
    )


def _coarsest(levels: Sequence[Level], downsample: float, shown: str) -> Level:
    if not (math.isfinite(downsample) and downsample > 0):
        raise InputError(f"{shown} is invalid: give numbers above 0.")
    fitting = [level for level in levels if level.downsample <= downsample * _LARGEST_ENLARGEMENT]
    return max(fitting, key=lambda level: level.downsample, default=levels[0])
