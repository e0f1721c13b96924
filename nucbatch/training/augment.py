"""Makes training batches: crops of labelled images, rotated, scaled and with altered intensities.

A step's batch is a pure function of the seed, the step and the data. A resumed training therefore sees the
same batches, and no state of a random generator is saved. Labels are rotated and scaled first, and the
targets are computed from the transformed labels, so that outlines stay sharp.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from nucbatch.core.settings import NormaliseSettings
from nucbatch.masks.flows import encoded
from nucbatch.training import targets
from nucbatch.training.cell_bodies import add_cell_bodies
from nucbatch.training.negatives import defocused, empty_field
from nucbatch.training.photometric import augment_intensities
from nucbatch.training.sample import Sample
from nucbatch.training.synthetic_crops import synthetic_crop
from nucbatch.training.targets import NucleusGeometry


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Size of a batch, and the shares of the kinds of crop in it.

    ``empty_share`` of the crops show no nuclei, ``defocused_share`` only the haze of nuclei far out of focus,
    ``drawn_share`` synthetic nuclei. The others are cut from samples and enlarged by a factor within
    ``zoom``, but nuclei of typical size are never made smaller than ``smallest_px``. In ``rescaled_share`` of
    the cut crops the typical nucleus gets a diameter drawn from ``diameters_px`` instead, in ``large_share``
    one from ``large_px``. In ``bodies_share`` of them the cells get dim bodies. ``elastic_px``, ``weights``:
    as in :class:`nucbatch.training.recipe.Recipe`.
    """

    size: int = 8
    crop_px: int = 192
    zoom: tuple[float, float] = (0.75, 1.5)
    smallest_px: float = 9.0
    rescaled_share: float = 0.25
    diameters_px: tuple[float, float] = (9.0, 110.0)
    largest_zoom: float = 4.0
    large_share: float = 0.0
    large_px: tuple[float, float] = (50.0, 150.0)
    largest_zoom_to_large: float = 6.0
    drawn_share: float = 0.0
    bodies_share: float = 0.0
    centred_share: float = 0.6
    empty_share: float = 0.03
    defocused_share: float = 0.04
    elastic_px: float = 0.0
    weights: Literal["gaps", "borders"] = "gaps"


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of crops with their targets, all float32.

    ``images`` (N, 3, H, W) in [0, 1]. ``targets`` (N, 4, H, W) in [0, 1]: foreground, interior, and encoded
    offsets in y and x. ``weight`` (N, 1, H, W): weight of each pixel in the loss. ``radius`` (N, 1, H, W):
    radius in px of the nucleus that a pixel belongs to, 0 outside nuclei.
    """

    images: Tensor
    targets: Tensor
    weight: Tensor
    radius: Tensor


def make_batch(
    samples: Sequence[Sample],
    chances: NDArray[np.float64],
    settings: BatchSettings,
    normalisation: NormaliseSettings,
    *,
    seed: int,
    step: int,
) -> Batch:
    """The batch of a step.

    Args:
        samples: the labelled images.
        chances: (N,) probability with which each sample is drawn; they sum to 1.
        settings: size of the batch and shares of the kinds of crop.
        normalisation: how synthetic and empty crops are normalised; samples are normalised already.
        seed: of the training.
        step: number of the step, from 0.
    """
    rng = np.random.default_rng((seed, step))
    images, learnt = [], []
    for _ in range(settings.size):
        kind = rng.random()
        if kind < settings.empty_share:
            images.append(torch.from_numpy(empty_field(rng, settings.crop_px, normalisation)))
            learnt.append(_empty_maps(settings.crop_px))
            continue
        if kind > 1 - settings.drawn_share:
            picture, maps = _drawn(rng, settings.crop_px, normalisation, settings.weights)
            images.append(picture)
            learnt.append(maps)
            continue
        sample = samples[int(rng.choice(len(samples), p=chances))]
        image, maps, zoom = _crop(sample, settings, rng)
        if kind < settings.empty_share + settings.defocused_share and math.isfinite(sample.diameter_px):
            image, maps = defocused(rng, image, sample.diameter_px * zoom), _empty_maps(settings.crop_px)
        images.append(image)
        learnt.append(maps)
    lit = augment_intensities(torch.stack(images), rng)
    known = torch.from_numpy(np.stack(learnt))  # (N, 6, H, W)
    return Batch(lit, known[:, :4], known[:, 4:5], known[:, 5:6])


def _empty_maps(size: int) -> NDArray[np.float32]:
    maps = np.zeros((6, size, size), np.float32)
    maps[2:4], maps[4] = 0.5, 1
    return maps


def _drawn(
    rng: np.random.Generator, size: int, normalisation: NormaliseSettings, weights: str
) -> tuple[Tensor, NDArray[np.float32]]:
    """A crop with synthetic nuclei: image (3, H, W), maps (6, H, W)."""
    image, labels, nuclei = synthetic_crop(rng, size, normalisation)
    places: NDArray[np.float32] = np.indices(labels.shape, np.float32)
    y, x = places[0], places[1]
    return torch.from_numpy(image), _targets(labels, nuclei, x, y, np.eye(2), 1.0, weights)


def _crop(
    sample: Sample, settings: BatchSettings, rng: np.random.Generator
) -> tuple[Tensor, NDArray[np.float32], float]:
    """A rotated, mirrored and scaled window of a sample, with its maps.

    Returns:
        Image (3, H, W), maps (6, H, W), and the factor by which the sample was enlarged. The maps are
        foreground, interior, two offsets, weight and radius.
    """
    size = settings.crop_px
    zoom = _zoom(sample, settings, rng)
    angle = rng.uniform(0, 2 * math.pi) if rng.random() < 0.5 else rng.integers(4) * math.pi / 2
    mirror = rng.choice([-1.0, 1.0])
    stretch = math.exp(rng.uniform(-0.12, 0.12))
    cosine, sine = math.cos(angle) / zoom, math.sin(angle) / zoom
    turn = np.array([[cosine * stretch, -sine * mirror], [sine * stretch, cosine * mirror]])  # crop → source
    reach = np.abs(turn) @ np.full(2, (size - 1) / 2)  # half the window's extent in the source, (x, y)
    height, width = sample.labels.shape
    center = np.array(
        [
            rng.uniform(min(half, side / 2), max(side - half, side / 2))
            for half, side in zip(reach, (width, height), strict=True)
        ]
    )
    if len(sample.nuclei.radius_px) > 1 and rng.random() < settings.centred_share:
        middle = sample.nuclei.centre_px[rng.integers(1, len(sample.nuclei.radius_px)), ::-1]
        wished = middle + rng.uniform(-0.35, 0.35, 2) * 2 * reach
        low = np.minimum(reach, np.array([width, height]) / 2)
        center = np.clip(wished, low, np.array([width, height]) - low)
    steps = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
    v, u = np.meshgrid(steps, steps, indexing="ij")
    if settings.elastic_px:
        bent = _displacements(rng, size, settings.elastic_px)
        v, u = v + bent[0], u + bent[1]
    x = (center[0] + turn[0, 0] * u + turn[0, 1] * v).astype(np.float32)
    y = (center[1] + turn[1, 0] * u + turn[1, 1] * v).astype(np.float32)

    x0, x1 = max(0, int(x.min()) - 2), min(width, max(int(x.max()) + 3, 1))
    y0, y1 = max(0, int(y.min()) - 2), min(height, max(int(y.max()) + 3, 1))
    grid = np.stack([(x - x0 + 0.5) / (x1 - x0) * 2 - 1, (y - y0 + 0.5) / (y1 - y0) * 2 - 1], axis=-1)
    source = sample.image[None, :, y0:y1, x0:x1].float() / 255
    image = grid_sample(
        source, torch.from_numpy(grid)[None], mode="bilinear", padding_mode="reflection", align_corners=False
    )[0]

    columns, rows = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    labels = sample.labels[rows.clip(0, height - 1), columns.clip(0, width - 1)]
    labels[~inside] = 0
    scale = zoom / math.sqrt(stretch)
    if settings.bodies_share and rng.random() < settings.bodies_share:
        image = add_cell_bodies(rng, image, labels)
    maps = _targets(labels, sample.nuclei, x, y, np.linalg.inv(turn), scale, settings.weights)
    if sample.ignore is not None:
        maps[4][sample.ignore[rows.clip(0, height - 1), columns.clip(0, width - 1)]] = 0
    maps[4][~inside] = 0  # mirrored padding has no truth: a nucleus and its mirror image would share a centre
    return image, maps, zoom


def _displacements(rng: np.random.Generator, size: int, elastic_px: float) -> NDArray[np.float32]:
    """Displacements in y and x (2, size, size), by bicubic interpolation between 3 × 3 random ones."""
    coarse = torch.from_numpy(rng.normal(0, elastic_px, (1, 2, 3, 3)).astype(np.float32))
    smooth: NDArray[np.float32] = interpolate(coarse, (size, size), mode="bicubic", align_corners=True)[
        0
    ].numpy()
    return smooth


def _zoom(sample: Sample, settings: BatchSettings, rng: np.random.Generator) -> float:
    """The factor by which a sample is enlarged."""
    zoom = math.exp(rng.uniform(*np.log(settings.zoom)))
    wished = math.exp(rng.uniform(*np.log(settings.diameters_px)))
    large = math.exp(rng.uniform(*np.log(settings.large_px)))
    kind = rng.random()
    if not math.isfinite(sample.diameter_px):
        return zoom
    if kind > 1 - settings.large_share:
        return min(large / sample.diameter_px, settings.largest_zoom_to_large)
    if kind < settings.rescaled_share:
        zoom = wished / sample.diameter_px
    return min(max(zoom, settings.smallest_px / sample.diameter_px), settings.largest_zoom)


def _targets(
    labels: NDArray[np.int32],
    nuclei: NucleusGeometry,
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    into_crop: NDArray[np.float64],
    scale: float,
    weights: str,
) -> NDArray[np.float32]:
    """Maps (6, H, W) float32 of cropped labels (H, W) whose pixels lie at x, y (H, W) in the source."""
    away_x, away_y = nuclei.centre_px[labels, 1] - x, nuclei.centre_px[labels, 0] - y
    offsets = np.stack(
        [
            into_crop[1, 0] * away_x + into_crop[1, 1] * away_y,
            into_crop[0, 0] * away_x + into_crop[0, 1] * away_y,
        ]
    )
    offsets[:, labels == 0] = 0
    return np.concatenate(
        [
            (labels > 0)[np.newaxis].astype(np.float32),
            targets.interior(labels, nuclei.depth_px * np.float32(scale))[np.newaxis],
            encoded(offsets),
            (
                targets.border_weight(labels)
                if weights == "borders"
                else targets.weight(labels, targets.size_weight(nuclei.radius_px, scale))
            )[np.newaxis],
            np.where(labels > 0, nuclei.radius_px[labels] * np.float32(scale), np.float32(0))[np.newaxis],
        ]
    ).astype(np.float32)
