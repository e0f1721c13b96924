"""Flat-field correction: divides pixels by the illumination of their channel, a polynomial over the image.

The illumination is normalised to a mean of 1 over the whole image, so that grey levels keep their scale. Each
pixel is computed by the same sequence of float64 operations from its own coordinates, so the result does not
depend on the box in which it is read. Integers are rounded to the nearest (ties to even) and clipped to the
type's range. A saturated integer (the type's maximum) stays saturated, because its true value is unknown.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.tiles import Box

LEAST_GAIN = 0.02
"""Least illumination, relative to its mean, that is corrected; below it an image shows noise alone."""
_STRIPE_PX = 1 << 15  # pixels computed at once, which fit into a processor's cache


@dataclass(frozen=True, slots=True)
class FlatField:
    """Illumination of a channel.

    >>> flat = FlatField(((1.0,), (0.5, 0.0)), (3, 2), (1.0, 0.5), (1.0, 1.0))  # 1 + 0.5 (x - 1)
    >>> flat.gain(Box(0, 0, 2, 3))
    array([[0.5, 1. , 1.5],
           [0.5, 1. , 1.5]])
    >>> pixels = np.array([[10, 10, 10], [100, 100, 65535]], np.uint16)
    >>> flat.correct(pixels, Box(0, 0, 2, 3))
    >>> pixels
    array([[   20,    10,     7],
           [  200,   100, 65535]], dtype=uint16)

    Attributes:
        coefficients: position m of row n is the coefficient of x**(n - m) * y**m.
        size_px: (width, height) of the image.
        origin_px: column where x is 0, and row where y is 0.
        scale: x per column, and y per row.
    """

    coefficients: tuple[tuple[float, ...], ...]
    size_px: tuple[int, int]
    origin_px: tuple[float, float]
    scale: tuple[float, float]

    @classmethod
    def of(cls, values: Sequence[Any]) -> FlatField:
        """Builds a flat field from its attributes as lists, as JSON gives them."""
        coefficients, size, origin, scale = values
        rows = tuple(tuple(float(value) for value in row) for row in coefficients)
        (wide, high), (x, y), (per_x, per_y) = size, origin, scale
        return cls(rows, (int(wide), int(high)), (float(x), float(y)), (float(per_x), float(per_y)))

    def values(self) -> list[Any]:
        """Returns the attributes for :meth:`of`."""
        return [self.coefficients, self.size_px, self.origin_px, self.scale]

    def digest(self) -> str:
        """Returns 64 bits (hex) that identify the values."""
        return hashlib.sha256(json.dumps(self.values()).encode()).hexdigest()[:16]

    def gain(self, box: Box) -> NDArray[np.float64]:
        """Returns the illumination of a box, relative to the mean of the image."""
        x, y = (
            self._coordinates(np.arange(box.x0, box.x1), 0),
            self._coordinates(np.arange(box.y0, box.y1), 1),
        )
        return _evaluated(self._terms(x), y[:, None])

    def least_gain(self) -> float:
        """Returns the least illumination of the image; not a number if its mean is not positive."""
        if not _mean(self) > 0:
            return math.nan
        width, height = self.size_px
        return min(float(self.gain(Box(y, 0, y + 1, width)).min()) for y in range(height))

    def correct(self, pixels: NDArray[Any], box: Box) -> None:
        """Divides the pixels (Y, X) of a box of the image by the illumination, in place."""
        terms = self._terms(self._coordinates(np.arange(box.x0, box.x1), 0))
        y = self._coordinates(np.arange(box.y0, box.y1), 1)
        step = max(1, _STRIPE_PX // max(box.shape[1], 1))
        whole = np.iinfo(pixels.dtype) if pixels.dtype.kind in "ui" else None
        for top in range(0, box.shape[0], step):
            stripe = pixels[top : top + step]
            values = stripe / _evaluated(terms, y[top : top + step, None])
            if whole:
                np.rint(values, out=values)
                np.clip(values, whole.min, whole.max, out=values)
                values[stripe == whole.max] = whole.max
            stripe[:] = values

    def _coordinates(self, pixels: NDArray[Any], axis: int) -> NDArray[np.float64]:
        return np.asarray((pixels - self.origin_px[axis]) * self.scale[axis], np.float64)

    def _terms(self, x: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Returns the polynomial in x that belongs to each power of y, divided by the mean."""
        mean = _mean(self)
        orders = len(self.coefficients)
        terms = []
        for m in range(orders):
            term = np.zeros_like(x)
            for n in range(orders - 1, m - 1, -1):
                term = term * x + self.coefficients[n][m] / mean
            terms.append(term)
        return terms


def _evaluated(terms: list[NDArray[np.float64]], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the sum of terms[m] * y**m by Horner's rule: separate multiplications and additions."""
    value = np.repeat(terms[-1][None], len(y), axis=0)
    for term in terms[-2::-1]:
        value *= y
        value += term
    return value


@lru_cache(maxsize=64)
def _mean(flat: FlatField) -> float:
    """Returns the mean of the polynomial over the image."""
    powers: list[list[float]] = []
    for axis, length in enumerate(flat.size_px):
        place = flat._coordinates(np.arange(length), axis)
        power, means = np.ones_like(place), []
        for _ in flat.coefficients:
            means.append(math.fsum(power) / length)
            power = power * place
        powers.append(means)
    return math.fsum(
        value * powers[0][n - m] * powers[1][m]
        for n, row in enumerate(flat.coefficients)
        for m, value in enumerate(row)
    )
