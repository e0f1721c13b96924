"""A run's settings: validated once, frozen, hashed. What changes a pixel or a number is in the hash.

Only *what* is computed stands here. *Where* it is computed (scheduler, workers) is the driver's business
and never part of the hash, because results may not depend on it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nucbatch.core.errors import InputError

Precision = Literal["fp32", "bf16", "fp16"]
"""In which numbers the network computes: 32 bits, or 16 with 8 (bfloat16) or 11 for the fraction."""

MAPS = ("foreground", "interior", "offset_y", "offset_x")
"""The maps that a network may predict, in order; it has the first 1, 2 or 4 of them."""

_MOST_PROBLEMS, _LONGEST_SHOWN = 10, 100


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NormaliseSettings(_Frozen):
    """Which pixel values of an image become 0 and 1.

    ``method``: *foreground* finds the ground and the levels of what stands out from it, so that one nucleus
    and a thousand are scaled alike (:mod:`nucbatch.inference.foreground`); *percentiles* takes those named,
    of all pixels; *fixed* takes ``low`` and ``high`` themselves, in grey levels.
    ``over``: one pair of values for each field, or one for the whole plate, found in a sample of its fields.
    A run writes the plate's values into ``low`` and ``high``, and keeps them when it goes on.
    """

    method: Literal["foreground", "percentiles", "fixed"] = "foreground"
    over: Literal["field", "plate"] = "field"
    low_percent: float = Field(default=1.0, ge=0, lt=100)
    high_percent: float = Field(default=99.8, gt=0, le=100)
    low: float | None = Field(default=None, allow_inf_nan=False)
    high: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        given = [value for value in (self.low, self.high) if value is not None]
        if len(given) == 1 or (self.method == "fixed" and not given):
            raise ValueError(f"low is {self.low} and high is {self.high}: give both, in grey levels")
        if given and self.method != "fixed" and self.over != "plate":
            raise ValueError(
                f"low {self.low:g} and high {self.high:g} are not used by method {self.method}, which finds "
                "its own in every field: use method fixed, or leave them out"
            )
        if given and self.method == "fixed" and not given[0] < given[1]:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        return self

    @model_validator(mode="after")
    def _low_is_below_high(self) -> NormaliseSettings:
        if self.low_percent >= self.high_percent:
            raise ValueError(f"low_percent {self.low_percent} must be below high_percent {self.high_percent}")
        return self


class ObjectSettings(_Frozen):
    """How probabilities become nuclei. Areas in pixels of the image, thresholds are probabilities.

    ``foreground``: a pixel belongs to a nucleus at or above it. ``join``: of a model with offsets, middles
    nearer than this part of their nucleus' radius are one. ``interior``: of a model without, connected
    interior pixels at or above it are one nucleus' marker. ``peak``: an object whose interior never reaches
    it is debris and dropped. ``min_area_px``: smaller objects are specks and dropped. ``min_marker_px``:
    smaller markers, or middles that fewer pixels point to, don't split an object.
    """

    foreground: float = Field(default=0.5, gt=0, lt=1)
    join: float = Field(default=0.9, ge=0, le=2)
    interior: float = Field(default=0.5, gt=0, lt=1)
    peak: float = Field(default=0.45, ge=0, lt=1)
    min_area_px: int = Field(default=25, ge=1, le=1_000_000_000)
    min_marker_px: int = Field(default=4, ge=1, le=1_000_000_000)


class RunSettings(_Frozen):
    """Everything that decides a run's results, besides the images and the weights.

    ``diameter_px`` is what nuclei typically measure in these images, where it is far from what the model was
    trained on; the images are then scaled for the network. None: they are seen as they are.
    ``measurements`` are the families of measurements by name, each with the package that it is from; None
    where a run has not settled them yet.
    """

    channel: str = ""
    model: str = "default"
    model_hash: str = ""
    normalise: NormaliseSettings = NormaliseSettings()
    objects: ObjectSettings = ObjectSettings()
    precision: Precision = "fp32"
    pixel_size_um: float | None = Field(default=None, gt=0)
    diameter_px: float | None = Field(default=None, ge=4, le=2000)
    labels: Literal["zarr", "tiff", "both"] = "zarr"
    measurements: dict[str, str] | None = None

    def digest(self) -> str:
        """SHA-256 (hex) of the settings' canonical JSON: equal digests mean equal results."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def differences(self, other: RunSettings) -> list[str]:
        """One line per setting that differs, as ``objects.foreground: 0.5 → 0.6`` (other → self)."""
        mine, theirs = _flatten(self.model_dump(mode="json")), _flatten(other.model_dump(mode="json"))
        both = [*mine, *(key for key in theirs if key not in mine)]
        return [
            f"{key}: {theirs.get(key, 'none')} → {mine.get(key, 'none')}"
            for key in both
            if mine.get(key) != theirs.get(key)
        ]


def validated(values: dict[str, object]) -> RunSettings:
    """Settings from plain values.

    Raises:
        InputError: a value is out of range or unknown; the message names each and what is allowed.
    """
    try:
        return RunSettings.model_validate(values)
    except ValidationError as error:
        raise InputError(f"Settings can't be used. {problems_of(error)}") from error


def problems_of(error: ValidationError) -> str:
    """What is wrong with values that were validated: each one's name, value, and what is allowed."""
    problems = error.errors()
    told = [
        f"{_short('.'.join(map(str, problem['loc'])) or 'the whole')} = {_short(repr(problem['input']))}: "
        f"{problem['msg']}"
        for problem in problems[:_MOST_PROBLEMS]
    ]
    more = len(problems) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def _short(text: str) -> str:
    """A text that may come from a stranger's file, as far as a message needs it."""
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def _flatten(values: dict[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
