"""Positions and shapes of synthetic nuclei: the truth of a field, before any optics.

Each nucleus is an ellipse whose radius is modulated by a few low harmonics. A pixel belongs to the nucleus
with the smallest scaled radius there, so that neighbours meet along a line and labels touch without overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SMALLEST_PX = 18.0
LARGEST_PX = 34.0
_MARGIN_PX = 6.0
_TRIES = 40
_HARMONICS = (2, 3, 4, 5)


@dataclass(frozen=True, slots=True)
class Nucleus:
    """One nucleus. The diameter is that of the circle of equal area in px; angles are in radians."""

    y: float
    x: float
    diameter_px: float
    aspect: float
    angle: float
    amplitudes: tuple[float, ...]
    phases: tuple[float, ...]

    @property
    def radius_px(self) -> float:
        """Radius of the circle of equal area."""
        return self.diameter_px / 2

    def window(self, height_px: int, width_px: int) -> tuple[slice, slice]:
        """The part of the image that the nucleus can cover."""
        reach = self.radius_px * self.aspect**0.5 * 1.35 + 2
        return (
            slice(max(0, int(self.y - reach)), min(height_px, int(self.y + reach) + 2)),
            slice(max(0, int(self.x - reach)), min(width_px, int(self.x + reach) + 2)),
        )

    def scaled_radius(self, window: tuple[slice, slice]) -> NDArray[np.float32]:
        """Distance from the centre relative to the outline's in that direction: (Y, X), below 1 inside."""
        rows, columns = window
        dy = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(self.y)
        dx = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - np.float32(self.x)
        cosine, sine = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        stretch = np.float32(self.aspect**0.5)
        along, across = (dx * cosine + dy * sine) / stretch, (dy * cosine - dx * sine) * stretch
        theta = np.arctan2(across, along)
        outline = np.ones_like(theta)
        for harmonic, amplitude, phase in zip(_HARMONICS, self.amplitudes, self.phases, strict=True):
            outline += np.float32(amplitude) * np.cos(np.float32(harmonic) * theta + np.float32(phase))
        return np.asarray(np.hypot(along, across) / (self.radius_px * outline), np.float32)


def place_nuclei(
    height_px: int, width_px: int, count: int, rng: np.random.Generator, *, touching: float
) -> list[Nucleus]:
    """Places up to ``count`` nuclei; a share ``touching`` of them is placed against an earlier one.

    There are fewer if the field is full. Centres keep 6 px from the border, so that nuclei cut by it are
    still large enough to count.
    """
    placed: list[Nucleus] = []
    where = np.empty((count, 3))
    for _ in range(count):
        shape = _shape(rng)
        beside = placed and rng.random() < touching
        for _attempt in range(_TRIES):
            if beside:
                host = where[rng.integers(len(placed))]
                angle, share = rng.uniform(0, 2 * np.pi), rng.uniform(0.86, 0.98)
                reach = (host[2] + shape.radius_px) * share
                y, x, gap = host[0] + reach * np.sin(angle), host[1] + reach * np.cos(angle), 0.85
            else:
                y, x, gap = rng.uniform(0, height_px), rng.uniform(0, width_px), 1.25
            if not (_MARGIN_PX <= y <= height_px - _MARGIN_PX and _MARGIN_PX <= x <= width_px - _MARGIN_PX):
                continue
            others = where[: len(placed)]
            clear = np.hypot(others[:, 0] - y, others[:, 1] - x) >= gap * (others[:, 2] + shape.radius_px)
            if bool(clear.all()):
                where[len(placed)] = y, x, shape.radius_px
                placed.append(
                    Nucleus(
                        y, x, shape.diameter_px, shape.aspect, shape.angle, shape.amplitudes, shape.phases
                    )
                )
                break
    return placed


def paint_labels(
    height_px: int, width_px: int, nuclei: list[Nucleus]
) -> tuple[NDArray[np.uint16], NDArray[np.float32], list[int]]:
    """Draws labels of nuclei.

    Returns:
        labels (Y, X) uint16: 1..N in raster order of their first pixel, each 4-connected; the scaled radius
        of each pixel's own nucleus (Y, X) float32, infinite outside nuclei; the index into ``nuclei`` of
        label 1, 2, ...
    """
    nearest = np.full((height_px, width_px), np.inf, np.float32)
    owner = np.zeros((height_px, width_px), np.uint16)
    for number, nucleus in enumerate(nuclei, start=1):
        window = nucleus.window(height_px, width_px)
        radius = nucleus.scaled_radius(window)
        mine = (radius < 1) & (radius < nearest[window])
        nearest[window][mine] = radius[mine]
        owner[window][mine] = number
    for number, nucleus in enumerate(nuclei, start=1):
        window = nucleus.window(height_px, width_px)
        pieces, found = ndimage.label(owner[window] == number)
        if found > 1:
            largest = 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
            stray = (pieces > 0) & (pieces != largest)
            owner[window][stray] = 0
            nearest[window][stray] = np.inf
    first_seen = [int(number) for number in dict.fromkeys(owner[owner > 0].tolist())]
    renumber = np.zeros(len(nuclei) + 1, np.uint16)
    renumber[first_seen] = np.arange(1, len(first_seen) + 1)
    return renumber[owner], nearest, [number - 1 for number in first_seen]


def _shape(rng: np.random.Generator) -> Nucleus:
    """A nucleus at the origin; diameters are distributed around 25 px, and few nuclei are elongated."""
    diameter_px = float(np.clip(rng.normal(25.0, 3.4), SMALLEST_PX, LARGEST_PX))
    aspect = 1.0 + min(abs(rng.normal(0.12, 0.2)), 0.7)
    # Higher harmonics have smaller amplitudes: outlines are smooth, and a few nuclei are bean-shaped.
    amplitudes = tuple(float(rng.normal(0.0, 0.095 / harmonic)) for harmonic in _HARMONICS)
    phases = tuple(float(rng.uniform(0, 2 * np.pi)) for _ in _HARMONICS)
    return Nucleus(0.0, 0.0, diameter_px, aspect, float(rng.uniform(0, np.pi)), amplitudes, phases)
