"""Calibration of a model: functions that turn what a run sees into probabilities and intervals.

They are fitted to validation images, are a few kB in size, and are part of the model's card. A model without
a calibration gives neither confidences nor intervals.
"""

from __future__ import annotations

import hashlib
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

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


class Calibration(_Frozen):
    """What is known of a model from validation images.

    Attributes:
        images: number of the images.
        groups: number of the mosaics, slides or plates that they were cut from.
        confidence: of each object.
    """

    images: int = Field(ge=1)
    groups: int = Field(ge=1)
    confidence: ConfidenceModel

    def digest(self) -> str:
        """Returns the SHA-256 (hex) of all values."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def plain(values: Floats) -> tuple[float, ...]:
    """Returns floats of six significant digits, enough for any figure and short in a card."""
    return tuple(float(f"{value:.6g}") for value in values)
