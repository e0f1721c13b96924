"""Detects RGB pictures that are merged fluorescence, from a sample of fields before a run.

The model reads RGB as one stained picture, in which every bright nucleus of any stain is a nucleus. In a
merge of fluorescence channels only one is the nuclear stain, mostly blue. A merge has a dark background and
bright pixels of pure colours. None of 157 real pictures of stained tissue is mistaken for one: less than 5 %
of their pixels are darker than 0.55 of their white level.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import not_
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.plate import RGB_CHANNELS, Channel, Field, Plate
from nucbatch.core.tiles import Box
from nucbatch.readers.pixels import FieldReader

_MOST_LOOKED_AT = 8
_SIDE_PX = 1024
_GROUND_PERCENT, _DARKEST_GROUND = 10, 0.35
"""Background: percentile of the brightest samples, and fraction of white up to which it is dark."""
_PUREST_TISSUE = 0.55
"""Largest mean difference of strongest and weakest colour in bright pixels of tissue, relative to white."""
_LEAST_SIGNAL = 0.2


@dataclass(frozen=True, slots=True)
class MergedColours:
    """Result of the detection.

    Attributes:
        looked_at: number of RGB fields examined.
        dark: number of them that look like merged fluorescence.
        channels: channels that may show their nuclei.
    """

    looked_at: int
    dark: int
    channels: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Warning for the user; empty if no field looks like a merge."""
        if not self.dark:
            return ""
        options = " or ".join(f"--channel {name}" for name in self.channels)
        return (
            f"dark ground: {options}? {self.dark} of {self.looked_at} RGB images looked at are bright "
            "colours on black, as merged fluorescence is; without --channel the network sees them as one "
            "stained picture"
        )


def detect_merged_colours(plate: Plate) -> MergedColours:
    """Examines the centre of up to eight RGB fields; unreadable ones are skipped."""
    fields = plate.fields.where("problem", not_)
    samples = fields.of_parts("planes", "samples")
    coloured = [place for place, of_field in enumerate(samples) if (3,) in of_field]
    step = max(1, -(-len(coloured) // _MOST_LOOKED_AT))
    channels = tuple(Channel(name, index) for index, name in enumerate(RGB_CHANNELS))
    looked_at, found = 0, []
    for picture in _middles(plate, map(fields.__getitem__, coloured[::step]), channels):
        looked_at += 1
        names = merged_channels(picture)
        if names:
            found.append(names)
    named = {name for names in found for name in names}
    best = ("Blue",) if "Blue" in named else tuple(name for name in RGB_CHANNELS if name in named)
    return MergedColours(looked_at, len(found), best)


def merged_channels(picture: NDArray[Any]) -> tuple[str, ...]:
    """Returns the colours with signal in a merge (3, Y, X) of fluorescence; empty for other pictures."""
    white = float(np.percentile(picture, 99.8))
    if white <= 0:
        return ()
    strongest = picture.max(axis=0)
    if float(np.percentile(strongest, _GROUND_PERCENT)) > _DARKEST_GROUND * white:
        return ()
    bright = strongest > white / 2
    purity = (
        (strongest[bright].astype(float) - picture.min(axis=0)[bright]).mean() / white if bright.any() else 0
    )
    if purity < _PUREST_TISSUE:
        return ()
    shown = [float(np.percentile(plane, 99.8)) >= _LEAST_SIGNAL * white for plane in picture]
    return tuple(name for name, is_shown in zip(RGB_CHANNELS, shown, strict=True) if is_shown)


def _middles(plate: Plate, fields: Iterable[Field], channels: tuple[Channel, ...]) -> Iterator[NDArray[Any]]:
    """Yields the centre of each field (3, Y, X)."""
    reader = FieldReader.of(plate)
    for field in fields:
        top, left = max(0, field.height_px - _SIDE_PX) // 2, max(0, field.width_px - _SIDE_PX) // 2
        bottom, right = min(field.height_px, top + _SIDE_PX), min(field.width_px, left + _SIDE_PX)
        try:
            yield reader.read_box(field, channels, Box(top, left, bottom, right))
        except UnreadableImage:
            continue  # the run reads it again and reports the reason
