"""Draws the dim bodies of cells around labelled nuclei, which belong to the background.

Many nuclear stains and reporters light up the cytoplasm faintly too. Where the bodies of two cells overlap,
or one lies out of focus beside a nucleus, a patch as large as a nucleus stands out, which is none. Few public
data sets show this.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, gaussian_filter
from torch import Tensor, from_numpy

from nucbatch.synthetic.shapes import Nucleus

_HARMONICS = 4
_LEAST_CONTRAST = 0.1
"""Least difference of nuclei and ground, in the range 0 to 1 of a normalised image."""
_MOST_COLOUR = 0.02
_MOST_BODIES = 80
_BRIGHTEST = 0.5
"""Brightest body, in units of the contrast of a nucleus."""


def add_cell_bodies(rng: np.random.Generator, image: Tensor, labels: NDArray[np.int32]) -> Tensor:
    """A copy of a crop whose cells have faintly lit bodies.

    Images in colour, images whose nuclei are not brighter than the ground, and images without nuclei are
    returned as they are.

    Args:
        rng: decides on shapes and brightness.
        image: (3, H, W) float32 in [0, 1].
        labels: (H, W), 0 for background.
    """
    pixels = image.numpy()
    inside = labels > 0
    if (pixels.max(axis=0) - pixels.min(axis=0)).max() > _MOST_COLOUR or not inside.any() or inside.all():
        return image
    above = pixels[0] - np.median(pixels[0][~inside])
    contrast = float(np.median(above[inside]))
    if contrast < _LEAST_CONTRAST:
        return image
    layer, diameter = _bodies(rng, above / contrast, labels)
    grain = gaussian_filter(rng.standard_normal(labels.shape).astype(np.float32), max(diameter / 8, 0.7))
    layer *= 1 + rng.uniform(0, 0.4) * grain / max(float(grain.std()), 1e-6)
    layer[inside] *= rng.uniform(0, 1)  # above and below the nucleus there is less of the body
    lit = pixels + np.float32(contrast) * layer.clip(0, _BRIGHTEST)
    return from_numpy((lit / max(1.0, float(np.quantile(lit[:, inside], 0.9)))).clip(0, 1).astype(np.float32))


def _bodies(
    rng: np.random.Generator, brightness: NDArray[np.float32], labels: NDArray[np.int32]
) -> tuple[NDArray[np.float32], float]:
    """Brightness (H, W) of all bodies, and the typical diameter of the nuclei in px.

    Both brightnesses are 0 for the ground, 1 for the typical nucleus. Bodies of dim nuclei are dimmer.
    """
    layer = np.zeros(labels.shape, np.float32)
    typical = math.exp(rng.uniform(math.log(0.06), math.log(0.4)))
    alone = rng.uniform(0, 0.3)  # the share of nuclei with a patch beside them
    nuclei = [(number, box) for number, box in enumerate(find_objects(labels), 1) if box is not None]
    diameters = []
    for place in rng.permutation(len(nuclei))[:_MOST_BODIES]:
        number, box = nuclei[place]
        rows, columns = np.nonzero(labels[box] == number)
        y, x = rows.mean() + box[0].start, columns.mean() + box[1].start
        diameter = math.sqrt(4 * len(rows) / math.pi)
        diameters.append(diameter)
        level = typical * float(np.median(brightness[box][rows, columns]).clip(0.1, 1))
        angle = _orientation(rows, columns) + rng.normal(0, 0.3)
        if rng.random() < 0.9:
            shift = rng.normal(0, 0.25 * diameter, 2)
            size = diameter * rng.uniform(1.3, 2.8)
            body = _shape(rng, y + shift[0], x + shift[1], size, rng.uniform(1, 2.6), angle)
            _add(layer, body, level * rng.lognormal(0, 0.5), rng.uniform(0.05, 0.5))
        if rng.random() < alone:
            way, size = rng.uniform(0, 2 * math.pi), diameter * rng.uniform(0.5, 1.1)
            away = (diameter + size) / 2 * rng.uniform(0.8, 1.3)
            patch = _shape(
                rng, y + away * math.sin(way), x + away * math.cos(way), size, rng.uniform(1, 2), angle
            )
            _add(layer, patch, level * rng.uniform(0.5, 1.5), rng.uniform(0.05, 0.4))
    return layer, float(np.median(diameters))


def _orientation(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> float:
    """Angle of the long axis of a nucleus, in radians from the x axis towards y."""
    if len(rows) < 3:
        return 0.0
    spread = np.cov(columns, rows)
    return 0.5 * math.atan2(2 * spread[0, 1], spread[0, 0] - spread[1, 1])


def _shape(
    rng: np.random.Generator, y: float, x: float, diameter: float, aspect: float, angle: float
) -> Nucleus:
    amplitudes = rng.uniform(0, 0.15, _HARMONICS) / np.arange(1, _HARMONICS + 1) ** 0.5
    phases = rng.uniform(0, 2 * math.pi, _HARMONICS)
    return Nucleus(y, x, diameter, aspect, angle, tuple(amplitudes.tolist()), tuple(phases.tolist()))


def _add(layer: NDArray[np.float32], shape: Nucleus, level: float, softness: float) -> None:
    """Adds a shape whose brightness rises to ``level`` over the outer share ``softness`` of its radius."""
    window = shape.window(*layer.shape)
    if window[0].start < window[0].stop and window[1].start < window[1].stop:
        layer[window] += np.float32(level) * ((1 - shape.scaled_radius(window)) / softness).clip(0, 1)
