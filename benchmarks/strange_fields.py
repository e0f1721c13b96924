"""Draws fields of kinds that the model was not made with: tissue, phase contrast, debris, enlarged nuclei."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage
from scipy.ndimage import gaussian_filter

from nucbatch.synthetic.field import make_field
from nucbatch.synthetic.shapes import paint_labels, place_nuclei

SIDE_PX = 512


def drawn_tissue(rng: np.random.Generator) -> np.ndarray:
    """Stained tissue as flat colours: violet nuclei on pink fibres and glass, (Y, X, 3) uint8."""
    count = int(rng.integers(100, 250))
    labels, *_ = paint_labels(SIDE_PX, SIDE_PX, place_nuclei(SIDE_PX, SIDE_PX, count, rng, touching=0.3))
    angle, grid = rng.uniform(0, np.pi), np.mgrid[:SIDE_PX, :SIDE_PX]
    bend = 20 * _cloud(rng, 40)
    fibres = np.sin((grid[0] * np.cos(angle) + grid[1] * np.sin(angle) + bend) / rng.uniform(3, 9))
    stroma = np.clip(0.45 + 0.15 * fibres + 0.3 * _cloud(rng, 50), 0, 1)
    nuclei = gaussian_filter((labels > 0) * (0.8 + 0.15 * _cloud(rng, 2)), 1.0)
    eosin, haematoxylin = np.array([0.1, 0.7, 0.3]), np.array([0.7, 0.8, 0.3])  # absorbances (R, G, B)
    absorbed = stroma[..., np.newaxis] * eosin + 1.2 * nuclei[..., np.newaxis] * haematoxylin
    light = 240 * np.exp(-np.clip(absorbed, 0, None)) + rng.normal(0, 3, (SIDE_PX, SIDE_PX, 3))
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def phase_like(rng: np.random.Generator) -> np.ndarray:
    """Phase contrast: grey cells with bright halos, dark bodies and granules, (Y, X) uint16."""
    count = int(rng.integers(20, 90))
    placed = place_nuclei(SIDE_PX, SIDE_PX, count, rng, touching=0.3)
    labels, *_ = paint_labels(SIDE_PX, SIDE_PX, placed)
    bodies = gaussian_filter(ndimage.grey_dilation(labels, size=9).astype(bool).astype(float), 2)
    bodies *= 1 + 0.3 * _cloud(rng, 3)
    halo = gaussian_filter(bodies, 1.5) - 1.2 * gaussian_filter(bodies, 7)
    nuclei = gaussian_filter((labels > 0).astype(float), 1)
    membranes = nuclei - gaussian_filter(nuclei, 2)
    light = 1 - rng.uniform(0.3, 0.7) * halo - 0.3 * membranes + 0.05 * _cloud(rng, 120)
    return np.clip(20_000 * light + rng.normal(0, 300, light.shape), 0, 65535).astype(np.uint16)


def debris(rng: np.random.Generator) -> np.ndarray:
    """Fluorescent fibres, clumps and specks without a nucleus, (Y, X) uint16."""
    picture = np.zeros((SIDE_PX, SIDE_PX))
    grid = np.mgrid[:SIDE_PX, :SIDE_PX]
    for _ in range(int(rng.integers(3, 15))):  # fibres
        angle, wave, at = rng.uniform(0, np.pi), rng.uniform(20, 90), rng.uniform(0, SIDE_PX, 2)
        along = (grid[0] - at[0]) * np.cos(angle) + (grid[1] - at[1]) * np.sin(angle)
        across = (grid[1] - at[1]) * np.cos(angle) - (grid[0] - at[0]) * np.sin(angle)
        curve = rng.uniform(2, 15) * np.sin(along / wave)
        inside = np.abs(along) < rng.uniform(20, 200)
        picture += inside * rng.uniform(0.3, 1.5) * np.exp(-(((across - curve) / rng.uniform(1, 4)) ** 2))
    for _ in range(int(rng.integers(5, 25))):  # ragged clumps
        size = rng.uniform(4, 40)
        distance = np.hypot(*(grid - rng.uniform(0, SIDE_PX, 2)[:, np.newaxis, np.newaxis]))
        picture += rng.uniform(0.3, 2) * (distance < size * (1 + 0.7 * _cloud(rng, max(1.5, size / 5))))
    specks = rng.random(picture.shape) < rng.uniform(0.0002, 0.002)
    picture += gaussian_filter(specks * rng.uniform(5, 60), rng.uniform(0.7, 1.5))
    electrons = rng.poisson(np.clip(150 * gaussian_filter(picture, 0.8) + 20 + 5 * _cloud(rng, 60), 0, None))
    return np.clip(100 + 4 * electrons, 0, 65535).astype(np.uint16)


def enlarged(image: np.ndarray, times: int = 4) -> np.ndarray:
    """The middle of an image, so many times as large, (Y, X)."""
    side = [min(length, SIDE_PX // 2) for length in image.shape[:2]]
    begin = [(length - own) // 2 for length, own in zip(image.shape[:2], side, strict=True)]
    middle = image[begin[0] : begin[0] + side[0], begin[1] : begin[1] + side[1]]
    return np.asarray(ndimage.zoom(middle, times, order=1))


def ordinary(rng: np.random.Generator) -> np.ndarray:
    """A drawn field of ordinary nuclei, (Y, X) uint16."""
    return np.asarray(make_field(SIDE_PX, rng, nuclei=int(rng.integers(20, 120)), channels=1)[0][0])


DRAWN: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "drawn tissue": drawn_tissue,
    "phase-like": phase_like,
    "debris": debris,
}


def _cloud(rng: np.random.Generator, scale_px: float) -> np.ndarray:
    """Smooth random texture with mean 0 and standard deviation 1."""
    shrink = max(1, int(scale_px / 2))
    small = rng.standard_normal((SIDE_PX // shrink + 4,) * 2)
    texture = ndimage.zoom(gaussian_filter(small, scale_px / shrink), shrink, order=1)[:SIDE_PX, :SIDE_PX]
    return np.asarray((texture - texture.mean()) / texture.std())
