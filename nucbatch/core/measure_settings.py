"""Settings of the measurements: the ring around each nucleus, and the optional families.

A ring in micrometres needs the image's pixel size, so it is converted for each image.
"""

from __future__ import annotations

import math
import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nucbatch.core.errors import InputError

LARGEST_RING_PX = 250
_RING = re.compile(r"([0-9.]+)\s*(px|um|µm|μm)?\s*:\s*([0-9.]+)\s*(px|um|µm|μm)?")


class Ring(BaseModel):
    """The ring of pixels around a nucleus, in which its cytoplasm is measured.

    Attributes:
        inner: pixels up to this distance from the nucleus are left out, because its edge is blurred.
        outer: pixels beyond this distance are left out.
        unit: "px" or "um".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    inner: float = Field(default=1, ge=0)
    outer: float = Field(default=6, gt=0, le=LARGEST_RING_PX)
    unit: Literal["px", "um"] = "px"

    @model_validator(mode="after")
    def _inner_is_inside(self) -> Self:
        if self.inner >= self.outer:
            raise ValueError(f"inner {self.inner:g} must be below outer {self.outer:g}")
        return self

    def in_px(self, pixel_size_um: float | None) -> tuple[float, float]:
        """Returns the inner and outer distance in pixels.

        Raises:
            InputError: the ring is in micrometres and the pixel size is unknown, or it is wider than
                LARGEST_RING_PX or narrower than a pixel.
        """
        if self.unit == "px":
            return self.inner, self.outer
        if not pixel_size_um:
            raise InputError(
                f"a ring of {self.inner:g} to {self.outer:g} µm needs the images' pixel size, which is not "
                "known: give it with --pixel-size, or the ring in pixels, such as --ring 1:6."
            )
        inner, outer = self.inner / pixel_size_um, self.outer / pixel_size_um
        if not 1 <= outer <= LARGEST_RING_PX:
            raise InputError(
                f"a ring up to {self.outer:g} µm is {outer:.3g} px wide at {pixel_size_um:g} µm per pixel: "
                f"it must be 1 to {LARGEST_RING_PX} px."
            )
        return inner, outer


class MeasureSettings(BaseModel):
    """What is measured of each nucleus.

    Attributes:
        ring: where the cytoplasm is measured. "auto": 1 to 6 px, in images of at least two channels. "none":
            not at all.
        features: optional families of measurements, by the names of their entry points.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    ring: Ring | Literal["auto", "none"] = "auto"
    features: tuple[str, ...] = ()

    def ring_px(self, pixel_size_um: float | None = None) -> tuple[float, float] | None:
        """Returns the ring's inner and outer distance in px, or None without a ring.

        >>> MeasureSettings().ring_px(), MeasureSettings(ring="none").ring_px()
        ((1.0, 6.0), None)
        >>> MeasureSettings(ring=Ring(inner=1, outer=4, unit="um")).ring_px(0.5)
        (2.0, 8.0)

        Raises:
            InputError: as :meth:`Ring.in_px`.
        """
        if self.ring == "none":
            return None
        inner, outer = (Ring() if self.ring == "auto" else self.ring).in_px(pixel_size_um)
        return float(inner), float(outer)

    def has_cytoplasm(self, channels: int) -> bool:
        """Returns whether images with this number of channels have measurements of the ring as cytoplasm."""
        return self.ring != "none" and (self.ring != "auto" or channels > 1)

    def reach_px(self, pixel_size_um: float | None = None) -> int:
        """Returns the largest distance in px at which a pixel can belong to a nucleus' ring; 0 without ring.

        Raises:
            InputError: as :meth:`Ring.in_px`.
        """
        ring = self.ring_px(pixel_size_um)
        return 0 if ring is None else math.floor(ring[1])


DEFAULTS = MeasureSettings()


class CountSettings(BaseModel):
    """Which measured nuclei count. The others stay in the table, with the reason.

    Attributes:
        min_area_px: smallest area in px; None for any.
        max_area_px: largest area in px; None for any.
        drop_border: whether nuclei that touch the border of their image are left out.
        min_confidence: smallest confidence; None for any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min_area_px: int | None = Field(default=None, ge=1)
    max_area_px: int | None = Field(default=None, ge=1)
    drop_border: bool = False
    min_confidence: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _smallest_is_below_largest(self) -> Self:
        if self.min_area_px and self.max_area_px and self.min_area_px > self.max_area_px:
            raise ValueError(f"min_area {self.min_area_px} px is above max_area {self.max_area_px} px")
        return self

    @property
    def leaves_out(self) -> bool:
        """Whether any nucleus can be left out."""
        limits = self.min_area_px, self.max_area_px, self.min_confidence
        return self.drop_border or any(limit is not None for limit in limits)


EVERY_NUCLEUS = CountSettings()


def features_asked(text: str) -> tuple[str, ...]:
    """Returns the optional families that ``--features`` asks for, each once, in alphabetical order.

    >>> features_asked("texture, granularity"), features_asked("")
    (('granularity', 'texture'), ())
    """
    return tuple(sorted({name.strip() for name in text.split(",")} - {""}))


def ring_asked(text: str | None) -> dict[str, object] | str:
    """Returns the setting that ``--ring`` asks for.

    >>> ring_asked("1:6"), ring_asked("0.5um:3um"), ring_asked("none"), ring_asked(None)
    ({'inner': 1.0, 'outer': 6.0, 'unit': 'px'}, {'inner': 0.5, 'outer': 3.0, 'unit': 'um'}, 'none', 'auto')

    Raises:
        InputError: it is neither two distances, the smaller one first, nor "none" nor "auto".
    """
    if text is None or text in ("auto", "none"):
        return text or "auto"
    found = _RING.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        inner, outer = float(found[1]), float(found[3])
    except ValueError:
        raise InputError(
            f"--ring {text} is no ring: give two distances from the nucleus such as 1:6 (px) or 0.5um:3um, "
            "or none."
        ) from None
    units = {"um" if unit and unit != "px" else "px" for unit in (found[2] or found[4], found[4])}
    if len(units) > 1:
        raise InputError(f"--ring {text} mixes pixels and micrometres: give both distances in one unit.")
    if not inner < outer <= LARGEST_RING_PX:
        raise InputError(
            f"--ring {text}: the first distance must be smaller than the second, and that at most "
            f"{LARGEST_RING_PX}."
        )
    return {"inner": inner, "outer": outer, "unit": units.pop()}
