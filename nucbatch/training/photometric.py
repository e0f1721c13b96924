"""Photometric augmentation: intensities and colours as other lamps, cameras and stains would give."""

from __future__ import annotations

import numpy as np
import torch
from kornia.filters import gaussian_blur2d
from numpy.typing import NDArray
from torch import Tensor


def augment_intensities(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Changes intensities and colours of images (N, 3, H, W) in [0, 1].

    Changed are gamma, blur, contrast, colour, illumination and noise; some images are inverted.
    """
    count, _, height, width = images.shape

    def some(values: NDArray[np.float64], chance: float, neutral: float) -> Tensor:
        drawn = np.where(rng.random(count) < chance, values, neutral)
        return torch.from_numpy(drawn).float()[:, None, None, None]

    def uniform(low: float, high: float) -> NDArray[np.float64]:
        return rng.uniform(low, high, count)

    coloured = (images.amax(dim=1) - images.amin(dim=1)).amax(dim=(1, 2)) > 0.02  # (N,)
    images = images.clamp(0, 1) ** torch.exp(some(uniform(-0.6, 0.6), 0.6, 0.0))
    blurred = some(uniform(0.4, 1.8), 0.2, 0.05)
    images = gaussian_blur2d(images, (7, 7), blurred.flatten()[:, None].repeat(1, 2))
    # Nuclei are dim beside brighter ones or debris, and saturated beside dimmer ones.
    gain = some(np.exp(uniform(np.log(0.15), np.log(1.8))), 0.4, 1.0)
    images = images * gain + some(uniform(0.0, 0.25), 0.3, 0.0)
    images = _recolour(images, coloured, rng)
    ramp_y = torch.linspace(-1, 1, height)[None, None, :, None]
    ramp_x = torch.linspace(-1, 1, width)[None, None, None, :]
    slope_y, slope_x = some(uniform(-0.25, 0.25), 0.2, 0.0), some(uniform(-0.25, 0.25), 0.2, 0.0)
    images = images * (1 + slope_y * ramp_y + slope_x * ramp_x)
    sigma = some(uniform(0.0, 0.12), 0.5, 0.0) * gain.clamp(max=1)
    images = (images + sigma * _grain(images, rng)).clamp(0, 1)
    flipped = torch.from_numpy(rng.random(count) < 0.05)[:, None, None, None]
    return torch.where(flipped, 1 - images, images)


def _grain(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Noise (N, 1, H, W) as cameras, processing and chromatin make it, in units of the camera's noise.

    A camera's noise differs from pixel to pixel. Where images were resampled, denoised, deconvolved or
    compressed, the noise of neighbours is alike, up to a few pixels away. Shot noise grows with the square
    root of the light, and the grains of chromatin in proportion to it.
    """
    count, _, height, width = images.shape
    grain = torch.from_numpy(rng.standard_normal((count, 1, height, width), dtype=np.float32))
    reach = np.where(rng.random(count) < 0.5, np.exp(rng.uniform(np.log(0.5), np.log(2.5), count)), 0.05)
    grain = gaussian_blur2d(grain, (13, 13), torch.from_numpy(reach).float()[:, None].repeat(1, 2))
    grain = grain / grain.std(dim=(1, 2, 3), keepdim=True)
    power = torch.from_numpy(rng.choice([0.0, 0.5, 1.0], count, p=[0.55, 0.25, 0.2])).float()
    light = images.mean(dim=1, keepdim=True).clamp(min=0)
    noise: Tensor = grain * (4 * light) ** power[:, None, None, None]
    return noise


def _recolour(images: Tensor, coloured: Tensor, rng: np.random.Generator) -> Tensor:
    """Shifts and mixes stains, turns colour to grey, and shows grey fluorescence in one colour."""
    count = len(images)
    mix = np.eye(3) + rng.normal(0, 0.12, (count, 3, 3)) * (rng.random((count, 1, 1)) < 0.6)
    shift = rng.uniform(-0.1, 0.1, (count, 3)) * (rng.random((count, 1)) < 0.5)
    order = np.stack([rng.permutation(3) for _ in range(count)])  # swapped channels, as of an unknown stain
    swapped = rng.random(count) < 0.1
    mix[swapped] = np.take_along_axis(mix, order[:, :, np.newaxis], axis=1)[swapped]
    to_grey = rng.random(count) < 0.12
    mix[to_grey], shift[to_grey] = np.full((3, 3), 1 / 3), 0
    stained = torch.einsum("nij,njhw->nihw", torch.from_numpy(mix).float(), images)
    stained = stained + torch.from_numpy(shift).float()[:, :, None, None]
    lamp = rng.uniform(0, 1, (count, 3)) ** 2
    lamp[np.arange(count), rng.integers(0, 3, count)] = 1
    lamp[rng.random(count) >= 0.04] = 1
    lit = images * torch.from_numpy(lamp).float()[:, :, None, None]
    return torch.where(coloured[:, None, None, None], stained, lit)
