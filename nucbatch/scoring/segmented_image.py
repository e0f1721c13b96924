"""Mean squared error and peak signal-to-noise ratio of the segmented image.

The segmented image shows each predicted nucleus, and the background, in its own mean colour. It is compared
with the image itself, pixel by pixel. So the figures need no truth: they say how even the segments are, not
whether they are nuclei, and more segments always fit better. Compare them for methods that find about as many
nuclei.

Bora and Gupta judge their method by both figures (arXiv:1506.01710). Their values are on another scale: a
mean squared error of 557,110 exceeds 255².
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError
from nucbatch.scoring.pixel import ratio

PEAK = 255.0
"""Largest value of an image of 8 bits; other images are scaled so that their largest value is this."""


@dataclass(frozen=True, slots=True)
class SquaredErrors:
    """Sum of squared differences between image and segmented image, and their number. Adds over images."""

    total: float = 0.0
    samples: int = 0

    def __add__(self, other: SquaredErrors) -> SquaredErrors:
        return SquaredErrors(self.total + other.total, self.samples + other.samples)

    @property
    def mean(self) -> float:
        """Mean squared error in grey levels² of 8 bits; NaN without an image."""
        return ratio(self.total, self.samples)

    @property
    def psnr_db(self) -> float:
        """10 log10(255² / mean squared error) in dB; NaN without an image or without any difference."""
        return 10 * math.log10(PEAK**2 / self.mean) if self.total > 0 else math.nan


def squared_errors(
    image: npt.NDArray[Any], labels: npt.NDArray[np.integer], void: npt.NDArray[np.bool_] | None = None
) -> SquaredErrors:
    """Squared differences between an image and its segments' means.

    Args:
        image: (Y, X) or (Y, X, 3), any dtype.
        labels: (Y, X) of the same size, 0 is background.
        void: (Y, X), the pixels that don't count; None if all do.

    Raises:
        InputError: image and labels differ in size.
    """
    if image.shape[:2] != labels.shape or image.ndim not in (2, 3):
        raise InputError(
            f"the image has shape {image.shape}, its labels {labels.shape}: they must have one size."
        )
    counted = slice(None) if void is None else ~void
    segments = labels[counted].ravel()
    segments = np.unique(segments, return_inverse=True)[1]
    sizes = np.bincount(segments)
    samples = image.reshape(*labels.shape, -1)[counted].reshape(segments.size, -1)
    scale = 1.0 if image.dtype == np.uint8 else PEAK / max(float(samples.max(initial=0)), 1e-12)
    total = 0.0
    for channel in samples.T:
        values = channel.astype(np.float64) * scale
        means = np.bincount(segments, weights=values) / sizes
        total += float(np.square(values - means[segments]).sum())
    return SquaredErrors(total, samples.size)
