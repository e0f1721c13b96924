"""Which resolution of a pyramid is read.

Decision owned here: the full resolution, unless a coarser one is asked for; then the coarsest whose pixels
are at most a third larger than asked for (so that nothing has to be enlarged by more than 4/3), and the full
resolution where none is. Between levels a factor of two or more apart that is also the nearest one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nucbatch.core.errors import InputError

_LARGEST_ENLARGEMENT = 4 / 3


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution. ``downsample`` is how many pixels of the full resolution one of its pixels spans."""

    index: int
    height_px: int
    width_px: int
    downsample: float
    pixel_size_um: float | None = None


def measured(sizes: Sequence[tuple[int, int]], pixel_size_um: float | None) -> tuple[Level, ...]:
    """Levels of these (height, width), the first being the full resolution with that pixel size."""
    height, width = sizes[0]
    levels = []
    for index, (tall, wide) in enumerate(sizes):
        # the longer side: its rounding to whole pixels matters least
        downsample = height / tall if height > width else width / wide
        size = None if pixel_size_um is None else pixel_size_um * downsample
        levels.append(Level(index, tall, wide, downsample, size))
    return tuple(levels)


def level_for_pixel_size(levels: Sequence[Level], wanted_um: float) -> Level:
    """The level to read for pixels of about ``wanted_um`` micrometres.

    Raises:
        InputError: the size is no positive number, or the image's own is unknown.
    """
    if levels[0].pixel_size_um is None:
        raise InputError(
            f"a level for pixels of {wanted_um} µm can't be chosen: the image does not tell its pixel size. "
            "Give it with --pixel-size."
        )
    return _coarsest(levels, wanted_um / levels[0].pixel_size_um, f"a pixel size of {wanted_um} µm")


def level_for_diameter(levels: Sequence[Level], diameter_px: float, wanted_px: float) -> Level:
    """The level at which nuclei that measure ``diameter_px`` at full resolution measure about ``wanted_px``.

    Raises:
        InputError: one of the two is no positive number.
    """
    return _coarsest(
        levels, diameter_px / wanted_px if wanted_px else math.nan, f"{diameter_px} px for {wanted_px} px"
    )


def _coarsest(levels: Sequence[Level], downsample: float, shown: str) -> Level:
    if not (math.isfinite(downsample) and downsample > 0):
        raise InputError(f"{shown} can't be: give numbers above 0.")
    fitting = [level for level in levels if level.downsample <= downsample * _LARGEST_ENLARGEMENT]
    return max(fitting, key=lambda level: level.downsample, default=levels[0])
