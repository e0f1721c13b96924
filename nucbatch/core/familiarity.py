"""How far a field is from the images that a model was made with, and what is unlike them in words.

A field is described by a few figures of its nuclei and its texture. The model keeps some of the images it was
made with as examples, spread evenly over all of them. A field is unfamiliar if it is farther from every
example than nearly all of these images were from images of other groups.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

FIGURES = ("diameter", "cover", "focus", "fine", "coarse", "haze", "colour", "polarity", "structure")
"""Names of the figures; see :func:`figures_of_field`."""

_WORDS = {
    "cover": ("a larger part of the field in nuclei", "a smaller part of the field in nuclei"),
    "focus": ("finer detail or more noise", "less detail"),
    "fine": ("sharper detail", "more blur"),
    "coarse": ("coarser structure", "smoother structure"),
    "haze": ("more haze", "less haze"),
    "polarity": ("nuclei brighter against their background", "nuclei darker against their background"),
    "structure": ("more structure between the nuclei", "less structure between the nuclei"),
}
_COMBINATION = "a combination of size, density and texture that none had"
_MOST = 8.0  # spreads; farther away is not told apart

Floats = npt.NDArray[np.float64]


def figures_of_field(quality: Mapping[str, float], nuclei: int, pixels: int, colour: bool) -> Floats | None:
    """Returns the figures (9,) of a field, NaN where one is undefined; None for a field without nuclei.

    Args:
        quality: the ``QC_`` columns of the field.
        nuclei: number of nuclei.
        pixels: of the field.
        colour: whether it is RGB.
    """
    diameter = quality.get("QC_NuclearDiameter", 0.0)
    if nuclei < 1 or diameter <= 0 or pixels < 1:
        return None
    cover = nuclei * math.pi / 4 * diameter**2 / pixels
    nan = math.nan
    return np.array(
        [
            math.log2(diameter),
            math.log2(cover + 0.003),
            math.log2(quality.get("QC_Focus", 0.0) + 1e-4),
            quality.get("QC_PowerSlope_Fine", nan),
            quality.get("QC_PowerSlope_Coarse", nan),
            math.log2(quality["QC_Haze"] + 0.02) if quality.get("QC_Haze", -1) > -0.02 else nan,
            float(colour),
            quality.get("QC_Polarity", nan),
            math.log2(quality["QC_Structure"] + 0.02) if "QC_Structure" in quality else nan,
        ]
    )


class Familiarity(BaseModel):
    """Figures of the images that a model was made with, to compare others with.

    Attributes:
        spreads: of each figure; distances are in these units.
        lows: smallest value of each figure.
        highs: largest value of each figure.
        examples: figures of some images.
        limit: distance beyond which a field is unfamiliar.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    spreads: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    examples: tuple[tuple[float | None, ...], ...] = Field(min_length=1, max_length=500)
    limit: float = Field(gt=0)

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        lengths = {len(one) for one in (self.spreads, self.lows, self.highs, *self.examples)}
        if lengths != {len(FIGURES)} or min(self.spreads) <= 0:
            raise ValueError(f"each must have {len(FIGURES)} figures, and spreads above 0")
        return self

    def distance(self, figures: Floats) -> float:
        """Returns the distance of a field's figures from the nearest example."""
        return float(distances(figures[np.newaxis], self._examples, np.array(self.spreads)).min())

    @cached_property
    def _examples(self) -> Floats:
        """Figures of the examples (M, figures), NaN where one is undefined."""
        return np.array([[math.nan if one is None else one for one in row] for row in self.examples])

    def reason(self, figures: Floats) -> str:
        """Returns what is unlike the images seen, for a field beyond the limit; empty for any other."""
        if self.distance(figures) <= self.limit:
            return ""
        spreads = np.array(self.spreads)
        above = np.nan_to_num((figures - np.array(self.highs)) / spreads, nan=-1.0)
        below = np.nan_to_num((np.array(self.lows) - figures) / spreads, nan=-1.0)
        which = int(np.maximum(above, below).argmax())
        if max(above[which], below[which]) <= 0.1:
            return _COMBINATION
        name, is_above = FIGURES[which], bool(above[which] > below[which])
        if name == "colour":
            return "RGB, and no image was" if is_above else "not RGB, and all images were"
        if name != "diameter":
            return f"{_WORDS[name][0 if is_above else 1]} than any seen"
        ratio = 2 ** (figures[which] - self.highs[which] if is_above else self.lows[which] - figures[which])
        times = f"{ratio:.0f} times " if ratio >= 1.5 else ""
        return f"nuclei {times}{'larger' if is_above else 'smaller'} than any seen"


def distances(figures: Floats, examples: Floats, spreads: Floats) -> Floats:
    """Returns the distance of each field (N, figures) from each example (M, figures), (N, M).

    It is the root mean square over the figures that both have, times the root of the number of all.
    """
    apart = np.clip((figures[:, np.newaxis] - examples[np.newaxis]) / spreads, -_MOST, _MOST)
    known = np.isfinite(apart)
    squares = np.where(known, apart, 0.0) ** 2
    mean = squares.sum(axis=2) / np.maximum(known.sum(axis=2), 1)
    root: Floats = np.sqrt(mean * figures.shape[1])
    return root
