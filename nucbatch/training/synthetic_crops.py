"""Draws crops with synthetic nuclei of kinds that are rare in labelled images.

These are very large, small, elongated, lobed and crowded nuclei. Each crop is drawn from the step's random
generator and normalised like any image. Specks, haze and nuclei out of focus are drawn too, and belong to the
background.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from nucbatch.core.settings import NormaliseSettings
from nucbatch.inference.normalise import find_constants, normalise
from nucbatch.synthetic.shapes import Nucleus, paint_labels
from nucbatch.training.targets import NucleusGeometry, geometry_of

Picture = NDArray[np.float32]

_HARMONICS = 4
_TRIES = 8


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of synthetic field.

    ``chance`` is the probability of the kind. ``diameters_px`` and ``aspects`` are ranges. ``lobes`` is the
    largest relative deviation of an outline from an ellipse. ``cover`` is the range of the share of the field
    under nuclei. ``touching`` is the share of nuclei placed beside another one, at ``gap`` (from, to) times
    the distance at which the two would just touch. ``texture`` is the strength of the chromatin texture,
    ``specks`` the probability of specks.
    """

    chance: float
    diameters_px: tuple[float, float]
    aspects: tuple[float, float]
    lobes: float
    cover: tuple[float, float]
    touching: float
    gap: tuple[float, float] = (0.88, 1.02)
    texture: float = 0.2
    specks: float = 0.4


_KINDS = (
    _Kind(0.28, (50.0, 150.0), (1.0, 1.9), 0.10, (0.1, 0.6), 0.4, texture=0.35),
    _Kind(0.12, (40.0, 110.0), (1.0, 1.5), 0.16, (0.1, 0.5), 0.3, texture=0.3),
    _Kind(0.24, (16.0, 48.0), (1.8, 3.6), 0.05, (0.05, 0.5), 0.6),
    _Kind(0.10, (6.0, 12.0), (1.0, 1.6), 0.04, (0.02, 0.4), 0.4, specks=0.0),
    _Kind(0.14, (16.0, 40.0), (1.0, 1.8), 0.08, (0.4, 0.9), 0.8, (0.6, 1.0)),
    _Kind(0.12, (16.0, 60.0), (1.0, 1.8), 0.08, (0.0, 0.02), 0.3, specks=0.8),
)


def synthetic_crop(
    rng: np.random.Generator, size_px: int, settings: NormaliseSettings
) -> tuple[Picture, NDArray[np.int32], NucleusGeometry]:
    """A normalised image (3, size_px, size_px) float32 in [0, 1], its labels, and the geometry of its nuclei.

    Nuclei may be cut by the crop's border; their centres and radii are those of the whole nuclei.
    """
    kind = _KINDS[int(rng.choice(len(_KINDS), p=[one.chance for one in _KINDS]))]
    typical = math.exp(rng.uniform(*np.log(kind.diameters_px)))
    margin = int(0.6 * typical) + 4
    side = size_px + 2 * margin
    placed = _place(rng, kind, typical, side)
    labels, radius, order = paint_labels(side, side, placed)
    counts = _picture(rng, kind, typical, labels, radius, len(order))
    image = normalise(counts, find_constants(counts, settings))
    nuclei = geometry_of(labels.astype(np.int32))
    inner = slice(margin, margin + size_px)
    moved = NucleusGeometry(
        nuclei.centre_px - np.float32(margin), nuclei.depth_px, nuclei.radius_px
    )  # in the crop's own pixels
    return np.array(image[:, inner, inner]), labels[inner, inner].astype(np.int32), moved


def _place(rng: np.random.Generator, kind: _Kind, typical: float, side: int) -> list[Nucleus]:
    """Places nuclei in a square field: some alone, some in groups whose members lie side by side."""
    cover, spread = rng.uniform(*kind.cover), rng.uniform(0.05, 0.3)
    wanted = max(int(cover * side * side / (math.pi / 4 * typical**2)), int(rng.integers(0, 3)))
    placed: list[Nucleus] = []
    for _ in range(wanted):
        diameter = typical * math.exp(rng.normal(0, spread))
        aspect = rng.uniform(*kind.aspects)
        host = placed[rng.integers(len(placed))] if placed and rng.random() < kind.touching else None
        for _ in range(_TRIES):
            angle = rng.uniform(0, math.pi)
            if host is None:
                y, x = rng.uniform(0, side, 2)
                closest = 1.05
            else:
                angle = host.angle + rng.normal(0, 0.35)
                way = rng.uniform(0, 2 * math.pi)
                share = rng.uniform(*kind.gap)
                reach = share * (_reach(host, way) + _reach_of(diameter, aspect, angle, way))
                y, x = host.y + reach * math.sin(way), host.x + reach * math.cos(way)
                closest = share * 0.97
            if not (0 <= y < side and 0 <= x < side):
                continue
            nucleus = _nucleus(rng, y, x, diameter, aspect, angle, kind.lobes)
            if all(_apart(nucleus, other) >= closest for other in placed):
                placed.append(nucleus)
                break
    return placed


def _nucleus(
    rng: np.random.Generator, y: float, x: float, diameter: float, aspect: float, angle: float, lobes: float
) -> Nucleus:
    amplitudes = rng.uniform(0, lobes, _HARMONICS) / np.arange(1, _HARMONICS + 1) ** 0.5
    phases = rng.uniform(0, 2 * math.pi, _HARMONICS)
    return Nucleus(y, x, diameter, aspect, angle, tuple(amplitudes.tolist()), tuple(phases.tolist()))


def _reach_of(diameter: float, aspect: float, angle: float, way: float) -> float:
    """Distance in px from an ellipse's centre to its outline in a direction."""
    along, across = diameter / 2 * aspect**0.5, diameter / 2 / aspect**0.5
    turn = way - angle
    return float(along * across / math.hypot(across * math.cos(turn), along * math.sin(turn)))


def _reach(nucleus: Nucleus, way: float) -> float:
    return _reach_of(nucleus.diameter_px, nucleus.aspect, nucleus.angle, way)


def _apart(one: Nucleus, other: Nucleus) -> float:
    """Distance of two centres, relative to the distance at which their ellipses touch."""
    dy, dx = other.y - one.y, other.x - one.x
    way = math.atan2(dy, dx)
    return math.hypot(dy, dx) / max(_reach(one, way) + _reach(other, way), 1e-6)


def _picture(
    rng: np.random.Generator,
    kind: _Kind,
    typical: float,
    labels: NDArray[np.uint16],
    radius: Picture,
    count: int,
) -> NDArray[np.uint16]:
    """Simulates a camera image: counts (Y, X) uint16."""
    side = len(labels)
    level = math.exp(rng.uniform(math.log(15), math.log(1500)))  # electrons of a typical nucleus
    levels = level * rng.lognormal(0, rng.uniform(0.1, 0.5), count)
    edge = rng.uniform(2, 8)
    lens = 1 - rng.uniform(0.2, 1.0) * np.clip(np.where(labels > 0, radius, 1), 0, 1) ** edge
    grain = _cloud(rng, side, max(0.8, typical / rng.uniform(8, 30)))
    grain += _cloud(rng, side, max(1.0, typical / rng.uniform(3, 8)))
    chromatin = np.exp(rng.uniform(0, kind.texture) * grain)
    sharp = np.append(0, levels).astype(np.float32)[labels] * np.maximum(lens, 0.05) * chromatin
    seen = gaussian_filter(np.asarray(sharp, np.float32), rng.uniform(0.5, 1.0 + typical / 40))
    if rng.random() < 0.5:  # light from above and below
        seen += rng.uniform(0.02, 0.25) * _wide(
            np.asarray(sharp, np.float32), rng.uniform(0.2, 0.8) * typical
        )
    if rng.random() < 0.35:  # other nuclei, far out of focus
        ghosts = np.roll(sharp, tuple(rng.integers(0, side, 2)), (0, 1))[:: rng.choice([-1, 1])]
        seen += rng.uniform(0.1, 0.6) * _wide(
            np.asarray(ghosts, np.float32), rng.uniform(0.35, 1.0) * typical
        )
    if rng.random() < 0.3:  # haze
        seen += (
            level * rng.uniform(0.02, 0.4) * np.clip(_cloud(rng, side, side / rng.uniform(3, 8)) + 1, 0, None)
        )
    if rng.random() < kind.specks:
        seen += _specks(rng, side, typical, level)
    ground = level * rng.uniform(0.01, 0.6)
    noise = rng.uniform(0.5, 3)
    electrons = rng.poisson(np.clip(seen + ground, 0, None)) + rng.normal(0, noise, seen.shape)
    gain = rng.uniform(0.5, 8)
    return np.asarray(np.clip(np.rint(100 + gain * electrons), 0, 65535), np.uint16)


def _specks(rng: np.random.Generator, side: int, typical: float, level: float) -> Picture:
    """Bright specks much smaller than nuclei, such as dust and debris, more or less in focus."""
    picture = np.zeros((side, side), np.float32)
    for _ in range(int(rng.integers(1, 15))):
        y, x = rng.integers(0, side, 2)
        picture[y, x] += level * rng.uniform(0.3, 6)
    sigma = min(rng.uniform(0.6, 2.2), typical / 12)
    return np.asarray(gaussian_filter(picture, sigma) * (2 * math.pi * sigma**2), np.float32)


def _cloud(rng: np.random.Generator, side: int, scale_px: float) -> Picture:
    """Smooth random texture (side, side) with mean 0 and standard deviation 1.

    Coarse texture is made small and enlarged.
    """
    shrink = max(1.0, scale_px / 2)
    small = max(4, math.ceil(side / shrink) + 1)
    texture = gaussian_filter(rng.standard_normal((small, small), dtype=np.float32), scale_px / shrink)
    texture = zoom(texture, side / small, order=1) if small != side else texture
    texture = texture[:side, :side]
    return np.asarray((texture - texture.mean()) / max(float(texture.std()), 1e-6), np.float32)


def _wide(picture: Picture, sigma_px: float) -> Picture:
    """A wide Gaussian blur, computed on a smaller image."""
    shrink = max(1, int(sigma_px / 3))
    if shrink == 1:
        return np.asarray(gaussian_filter(picture, sigma_px), np.float32)
    side = len(picture)
    padded = np.pad(picture, (0, -side % shrink), mode="edge")
    parts = len(padded) // shrink
    small = padded.reshape(parts, shrink, parts, shrink).mean(axis=(1, 3))
    return np.asarray(
        zoom(gaussian_filter(small, sigma_px / shrink), len(padded) / parts, order=1)[:side, :side],
        np.float32,
    )
