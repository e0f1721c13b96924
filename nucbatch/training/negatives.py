"""Training images without nuclei, from which the network learns to find none.

Empty, constant, noisy, unevenly lit and saturated fields are normalised to the full range like any other. A
network that never saw such images would take their noise for nuclei.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from nucbatch.core.settings import NormaliseSettings
from nucbatch.inference.normalise import find_constants, normalise


def empty_field(rng: np.random.Generator, size_px: int, settings: NormaliseSettings) -> NDArray[np.float32]:
    """A field without nuclei, as network input (3, size_px, size_px) float32 in [0, 1]."""
    kind = rng.integers(4)
    level = rng.uniform(0, 40000)
    if kind == 0:  # constant, sometimes saturated
        image = np.full((size_px, size_px), rng.choice([0.0, level, 65535.0]))
    else:
        spread = rng.uniform(0.5, 2000)
        noise = rng.normal(0, 1, (size_px, size_px))
        if rng.random() < 0.5:  # noise of cameras and compression is correlated over short distances
            noise = gaussian_filter(noise, rng.uniform(0.3, 1.2))
            noise /= noise.std()
        image = level + spread * noise
        if kind >= 2:  # uneven light and out-of-focus haze: broad shapes without an edge
            broad = gaussian_filter(
                rng.normal(0, 1, (size_px, size_px)), size_px / rng.uniform(3, 8), mode="wrap"
            )
            image += spread * rng.uniform(0.5, 8) * broad / broad.std()
        if kind == 3 and rng.random() < 0.5:  # hot pixels
            where = rng.random((size_px, size_px)) < 10 ** rng.uniform(-5, -3)
            image[where] += spread * rng.uniform(10, 100)
    pixels = np.clip(np.rint(image), 0, 65535).astype(np.uint16)
    return np.array(normalise(pixels, find_constants(pixels, settings)))  # a writable copy


def defocused(rng: np.random.Generator, image: Tensor, diameter_px: float) -> Tensor:
    """The image (3, H, W) in [0, 1] of nuclei far out of focus, made from an image of the same shape.

    The haze is stretched to the full range, as normalisation does, and noise is added. ``diameter_px`` is the
    typical diameter of the nuclei in the image.
    """
    sigma = diameter_px * rng.uniform(0.6, 2.5)
    haze = gaussian_filter(image.numpy(), (0, sigma, sigma), mode="reflect")
    haze = (haze - haze.min()) / max(float(haze.max() - haze.min()), 1e-6)
    haze += rng.uniform(0, 0.05) * rng.standard_normal((1, *haze.shape[1:]))
    return torch.from_numpy(haze.clip(0, 1).astype(np.float32))
