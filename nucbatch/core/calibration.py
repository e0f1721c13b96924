"""Calibration of a model: functions that turn what a run sees into probabilities and intervals.

They are fitted to validation images, are a few kB in size, and are part of the model's card. A model without
a calibration gives neither confidences nor intervals.
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from nucbatch.core.familiarity import FIGURES, Familiarity

_CLIP = 3.0
_DECIMALS = 4

Floats = npt.NDArray[np.float64]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Standardised(_Frozen):
    """Figures by name, each with the mean and the spread that it had where the model was calibrated.

    Attributes:
        names: of the figures.
        means: of each.
        spreads: standard deviation of each, above 0.
    """

    names: tuple[str, ...] = Field(min_length=1, max_length=100)
    means: tuple[float, ...]
    spreads: tuple[float, ...]

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if not len(self.names) == len(self.means) == len(self.spreads):
            raise ValueError(f"{len(self.names)} names, {len(self.means)} means, {len(self.spreads)} spreads")
        if min(self.spreads) <= 0:
            raise ValueError("spreads must be above 0")
        return self

    @classmethod
    def of(cls, names: tuple[str, ...], values: Floats) -> Self:
        """Measures mean and spread of figures (N, names)."""
        spreads = np.maximum(values.std(axis=0), 1e-6)
        return cls(names=names, means=plain(values.mean(axis=0)), spreads=plain(spreads))

    def scaled(self, values: Floats, clip: float = _CLIP) -> Floats:
        """Returns figures (N, names) in spreads from the mean, at most ``clip`` from it."""
        scaled: Floats = np.clip((values - np.array(self.means)) / np.array(self.spreads), -clip, clip)
        return scaled


class ConfidenceModel(_Frozen):
    """A logistic function of an object's evidence and its squares.

    Attributes:
        evidence: what it is computed from; see :data:`nucbatch.features.confidence.EVIDENCE`.
        linear: weight of each figure.
        square: weight of the square of each.
        constant: added to them.
    """

    evidence: Standardised
    linear: tuple[float, ...]
    square: tuple[float, ...]
    constant: float

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if not len(self.evidence.names) == len(self.linear) == len(self.square):
            raise ValueError("linear and square must have a weight for each evidence")
        return self

    def terms(self, evidence: Floats) -> Floats:
        """Returns the terms (N, 2 x evidence) that are weighted."""
        scaled = self.evidence.scaled(evidence)
        return np.concatenate([scaled, scaled**2], axis=1)

    def confidences(self, evidence: Floats) -> Floats:
        """Returns the probability (N,) of each object, from its evidence (N, evidence).

        Terms are added in a fixed order and the result is rounded, so that it doesn't depend on the number of
        objects.
        """
        total = np.full(len(evidence), self.constant)
        for term, weight in zip(self.terms(evidence).T, (*self.linear, *self.square), strict=True):
            total += weight * term
        rounded: Floats = np.round(1 / (1 + np.exp(-total)), _DECIMALS)
        return rounded


DOUBTS = ("log_doubt", "log_border")
"""Figures that the width of an interval depends on; see :meth:`IntervalModel.figures`."""


class IntervalModel(_Frozen):
    """A conformal interval of the true number of nuclei in a field.

    The scale of a field's error is an exponential function of its figures. The interval is the count, moved
    by ``shift`` scales, and ``factor`` scales to either side.

    Attributes:
        level: fraction of images whose true number lies in their interval.
        doubts: the figures.
        weights: of each figure in the logarithm of the scale.
        constant: added to them.
        shift: in scales: by how much the model counts too few nuclei.
        factor: in scales: half of the width.
        shared: fraction of the error's variance that fields of one well, slide or plate have in common.
        largest: count up to which the scale is known. The error of a larger field grows in proportion.
    """

    level: float = Field(gt=0, lt=1)
    doubts: Standardised
    weights: tuple[float, ...]
    constant: float
    shift: float
    factor: float = Field(gt=0)
    shared: float = Field(ge=0, le=1)
    largest: float = Field(gt=0)
    clip: ClassVar[float] = 2.5

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if self.doubts.names != DOUBTS or len(self.weights) != len(DOUBTS):
            raise ValueError(f"doubts must be {', '.join(DOUBTS)}, each with a weight")
        return self

    @staticmethod
    def figures(doubt: Floats, at_border: Floats) -> Floats:
        """Returns the figures (N, 2) of fields.

        Args:
            doubt: (N,) expected number of objects that are no nuclei: the sum of 1 - confidence.
            at_border: (N,) number of objects that touch the border of the image.
        """
        return np.stack([np.log(doubt + 0.2), np.log(at_border + 1)], axis=1)

    def log_scales(self, figures: Floats) -> Floats:
        """Returns the logarithm of the scale (N,) of fields with these figures (N, 2)."""
        scaled = self.doubts.scaled(figures, self.clip)
        logs: Floats = self.constant + self.weights[0] * scaled[:, 0] + self.weights[1] * scaled[:, 1]
        return logs

    def spans(self, count: Floats, doubt: Floats, at_border: Floats) -> tuple[Floats, Floats]:
        """Returns the centre and half the width of each field's interval, (N,) each.

        Args:
            count: (N,) number of nuclei that were found; other arguments as for :meth:`figures`.
        """
        times = np.maximum(1, count / self.largest)
        scale = times * np.exp(self.log_scales(self.figures(doubt / times, at_border / times)))
        return count + self.shift * scale, self.factor * scale


class Calibration(_Frozen):
    """Confidence, interval of counts and familiarity, as fitted to a model's validation images.

    Attributes:
        images: number of the images.
        groups: number of the mosaics, slides or plates that they were cut from.
        confidence: of each object.
        interval: of the count of a field or well; None if it could not be fitted.
        familiarity: what the images were like that the model was made with; None if it could not be fitted.
    """

    images: int = Field(ge=1)
    groups: int = Field(ge=1)
    confidence: ConfidenceModel
    interval: IntervalModel | None = None
    familiarity: Familiarity | None = None

    @field_validator("familiarity", mode="before")
    @classmethod
    def _of_these_figures(cls, value: Any) -> Any:
        """Drops what was fitted to figures of an earlier version; ``models calibrate`` fits it anew."""
        is_older = isinstance(value, dict) and len(value.get("spreads", FIGURES)) != len(FIGURES)
        return None if is_older else value

    def digest(self) -> str:
        """Returns the SHA-256 (hex) of all values."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def plain(values: Floats) -> tuple[float, ...]:
    """Returns floats of six significant digits, enough for any figure and short in a card."""
    return tuple(float(f"{value:.6g}") for value in values)
