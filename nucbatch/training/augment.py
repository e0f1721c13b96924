"""Batches: crops of samples, turned, scaled and re-lit, as a pure function of the seed and the step.

The decision owned here: a step's batch depends on (seed, step) and the data alone. So a run that stops and
resumes sees the same batches, and no generator's state needs saving.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from kornia.filters import gaussian_blur2d
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from nucbatch.settings import NormaliseSettings
from nucbatch.training.data import Sample
from nucbatch.training.negatives import empty_field


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """What a batch is like. Zoom above 1 enlarges nuclei; ``empty_share`` of crops have no nuclei."""

    size: int = 8
    crop_px: int = 192
    zoom: tuple[float, float] = (0.65, 1.6)
    empty_share: float = 0.04


@dataclass(frozen=True, slots=True)
class Batch:
    """Network input (N, 3, H, W) in [0, 1], targets (N, 2, H, W) in [0, 1], weight (N, 1, H, W); float32."""

    images: Tensor
    targets: Tensor
    weight: Tensor


def make_batch(
    samples: Sequence[Sample],
    chances: NDArray[np.float64],
    settings: BatchSettings,
    normalisation: NormaliseSettings,
    *,
    seed: int,
    step: int,
) -> Batch:
    """The batch of a step. ``chances`` (N,) is how often each sample is drawn."""
    rng = np.random.default_rng((seed, step))
    crops = []
    for _ in range(settings.size):
        if rng.random() < settings.empty_share:
            empty = torch.zeros(6, settings.crop_px, settings.crop_px)
            empty[:3] = torch.from_numpy(empty_field(rng, settings.crop_px, normalisation))
            empty[5] = 1
            crops.append(empty)
        else:
            sample = samples[int(rng.choice(len(samples), p=chances))]
            crops.append(_crop(sample.maps, settings, rng))
    maps = torch.stack(crops)
    images = _relight(maps[:, :3], rng)
    foreground = (maps[:, 3:4] >= 0.5).float()
    return Batch(images, torch.cat([foreground, maps[:, 4:5] * foreground], dim=1), maps[:, 5:6].clamp(min=1))


def _crop(maps: Tensor, settings: BatchSettings, rng: np.random.Generator) -> Tensor:
    """A turned, mirrored, scaled window of maps (6, Y, X) uint8 → (6, crop, crop) float32."""
    size = settings.crop_px
    zoom = math.exp(rng.uniform(*np.log(settings.zoom)))
    angle = rng.uniform(0, 2 * math.pi) if rng.random() < 0.5 else rng.integers(4) * math.pi / 2
    mirror = rng.choice([-1.0, 1.0])
    stretch = math.exp(rng.uniform(-0.12, 0.12))
    cosine, sine = math.cos(angle) / zoom, math.sin(angle) / zoom
    turn = np.array([[cosine * stretch, -sine * mirror], [sine * stretch, cosine * mirror]])
    reach = np.abs(turn) @ np.full(2, (size - 1) / 2)  # half the window's extent in the source, (x, y)
    height, width = maps.shape[-2:]
    center = [
        rng.uniform(min(half, side / 2), max(side - half, side / 2))
        for half, side in zip(reach, (width, height), strict=True)
    ]
    x0, y0 = (max(0, int(middle - half) - 2) for middle, half in zip(center, reach, strict=True))
    x1, y1 = (
        min(side, int(middle + half) + 3)
        for middle, half, side in zip(center, reach, (width, height), strict=True)
    )
    source = maps[:, y0:y1, x0:x1].float()
    steps = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    v, u = torch.meshgrid(steps, steps, indexing="ij")
    x = (center[0] - x0 + turn[0, 0] * u + turn[0, 1] * v + 0.5) / (x1 - x0) * 2 - 1
    y = (center[1] - y0 + turn[1, 0] * u + turn[1, 1] * v + 0.5) / (y1 - y0) * 2 - 1
    grid = torch.stack([x, y], dim=-1)[None]
    crop = grid_sample(source[None], grid, mode="bilinear", padding_mode="reflection", align_corners=False)[0]
    return crop / torch.tensor([255.0, 255, 255, 255, 255, 32])[:, None, None]


def _relight(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Gamma, contrast, uneven light, blur, noise and inversion of images (N, 3, H, W) in [0, 1]."""
    count, _, height, width = images.shape

    def draw(low: float, high: float, chance: float, neutral: float) -> Tensor:
        values = np.where(rng.random(count) < chance, rng.uniform(low, high, count), neutral)
        return torch.from_numpy(values).float()[:, None, None, None]

    images = images.clamp(0, 1) ** torch.exp(draw(-0.6, 0.6, 0.7, 0.0))
    blurred = draw(0.4, 1.8, 0.25, 0.05)
    images = gaussian_blur2d(images, (7, 7), blurred.flatten()[:, None].repeat(1, 2))
    images = images * draw(0.4, 1.15, 0.5, 1.0) + draw(0.0, 0.25, 0.4, 0.0)
    tint = torch.from_numpy(rng.uniform(-0.08, 0.08, (count, 3, 1, 1)) * (rng.random((count, 1, 1, 1)) < 0.3))
    coloured = (images.amax(dim=1) - images.amin(dim=1)).amax(dim=(1, 2)) > 0.02
    images = images + tint.float() * coloured[:, None, None, None]
    slope = torch.from_numpy(
        rng.uniform(-0.25, 0.25, (count, 2, 1, 1)) * (rng.random((count, 1, 1, 1)) < 0.3)
    )
    ramp_y = torch.linspace(-1, 1, height)[None, :, None]
    ramp_x = torch.linspace(-1, 1, width)[None, None, :]
    images = images * (1 + slope[:, :1].float() * ramp_y + slope[:, 1:].float() * ramp_x)
    sigma = draw(0.0, 0.08, 0.5, 0.0)
    grain = torch.from_numpy(rng.standard_normal((count, 1, height, width), dtype=np.float32))
    images = (images + sigma * grain).clamp(0, 1)
    flipped = torch.from_numpy(rng.random(count) < 0.05)[:, None, None, None]
    return torch.where(flipped, 1 - images, images)
