"""The training task of nucbatch's own models: single nuclei, learnt from crops at the images' own scale.

Weights are always scored with the thresholds that they carry, so that a run with them finds the same nuclei.
Thresholds are fitted, unless the recipe keeps those of the initial weights: to the validation split during
training, and at the end to the validation split and up to three times as many training images. On a
validation split of some 60 images alone, a handful of nuclei would decide between thresholds; a network that
has not overfitted scores nearly as fairly on its training images.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from nucbatch.core.errors import InputError
from nucbatch.core.settings import ObjectSettings
from nucbatch.masks.flows import REACH_PX
from nucbatch.training.augment import Batch, BatchSettings, make_batch
from nucbatch.training.data import DataSet
from nucbatch.training.recipe import Recipe
from nucbatch.training.sample import Sample, load_sample, sampling_weights
from nucbatch.training.targets import SMALLEST_RADIUS_PX
from nucbatch.training.teachers import Teachers
from nucbatch.training.validate import fitting_thresholds, predict_samples, score_maps

_TRAINING_IMAGES_PER_HELD_OUT = 3
_OFFSET_BETA = 0.1


class NucleiTask:
    """Implements :class:`nucbatch.training.task.Task` for single nuclei.

    Raises:
        InputError: the data has no training images.
    """

    criterion = "val_object_f1"

    def __init__(
        self,
        data: DataSet,
        recipe: Recipe,
        objects: ObjectSettings | None = None,
        teachers: Teachers | None = None,
    ) -> None:
        self._data, self._recipe, self._objects, self._teachers = data, recipe, objects, teachers
        self._samples, self._held_out = self._load("train"), self._load("val")
        if not self._samples:
            raise InputError("the data has no images in the train split: there is nothing to learn from.")
        self._chances = sampling_weights(self._samples)
        self._batches = BatchSettings(
            size=recipe.batch,
            crop_px=recipe.crop_px,
            drawn_share=recipe.drawn,
            large_share=recipe.large,
            bodies_share=recipe.bodies,
            elastic_px=recipe.elastic_px,
            weights=recipe.weights,
        )

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self._samples) // self._recipe.batch)

    @property
    def nucleus_diameter_px(self) -> float | None:
        diameters = [sample.diameter_px for sample in self._samples]
        known = [diameter for diameter in diameters if np.isfinite(diameter)]
        return round(float(np.median(known)), 1) if known else None

    def batch(self, step: int) -> Batch:
        recipe = self._recipe
        return make_batch(
            self._samples, self._chances, self._batches, recipe.normalise, seed=recipe.seed, step=step
        )

    def loss(self, logits: Tensor, batch: Batch) -> tuple[Tensor, float]:
        loss, dice = loss_and_dice(logits, batch)
        if self._teachers is not None:
            share = self._recipe.taught
            loss = (1 - share) * loss + share * taught_loss(logits, self._teachers.maps(batch.images), batch)
        return loss, dice

    def score(self, network: nn.Module, *, fit: bool) -> tuple[ObjectSettings, dict[str, float]]:
        objects = self._objects or ObjectSettings()
        if not self._held_out:
            return objects, {}
        maps = predict_samples(_cpu_copy(network), self._held_out)
        if fit and self._fits:
            objects = fitting_thresholds(maps, self._held_out, objects)
        found = score_maps(maps, self._held_out, objects)
        return objects, {
            "val_pixel_f1": found.pixels.f1,
            "val_pixel_iou": found.pixels.jaccard,
            "val_object_f1": found.objects.f1(0.5),
            "val_mean_ap": found.objects.mean_ap,
        }

    def finish(self, network: nn.Module, *, test: bool) -> tuple[ObjectSettings, dict[str, float]]:
        network = _cpu_copy(network)
        objects = self._objects or ObjectSettings()
        scores: dict[str, float] = {}
        for split, samples in (("val", self._held_out), ("test", self._load("test") if test else [])):
            if not samples:
                continue
            maps = predict_samples(network, samples)
            if split == "val" and self._fits:
                more = self._samples[
                    :: -(-len(self._samples) // (_TRAINING_IMAGES_PER_HELD_OUT * len(samples)))
                ]
                objects = fitting_thresholds(
                    [*maps, *predict_samples(network, more)], [*samples, *more], objects
                )
            figures = score_maps(maps, samples, objects).figures()
            scores |= {f"{split} {name}": value for name, value in figures.items()}
        return objects, scores

    @property
    def _fits(self) -> bool:
        """Whether thresholds are fitted rather than kept."""
        return self._objects is None or self._recipe.thresholds == "fit"

    def draw(self, folder: Path) -> None:
        """Draws nothing: random crops would not show the data."""

    def _load(self, split: str) -> list[Sample]:
        return [load_sample(entry, self._recipe.normalise) for entry in self._data.split(split)]


def _cpu_copy(network: nn.Module) -> nn.Module:
    """A copy of the network on the CPU, where validation predicts whole images as a run does."""
    return copy.deepcopy(network).cpu()


def loss_and_dice(logits: Tensor, batch: Batch) -> tuple[Tensor, float]:
    """Returns the loss (scalar, with gradient) of logits (N, 4, H, W), and the foreground's Dice coefficient.

    The loss is the sum of three terms. (1) Weighted binary cross-entropy of foreground and interior; the
    interior's target is a fraction, for which cross-entropy is a proper loss too. (2) Soft Dice loss of the
    foreground over the whole batch (Milletari et al. 2016). (3) Inside nuclei, the smooth L1 distance of the
    offsets in units of the nucleus' radius. Each pixel is weighted by the inverse of that radius, so that
    large nuclei don't dominate small ones.
    """
    known = (batch.weight[:, 0] > 0).float()
    truth = batch.targets[:, 0] * known
    probability = torch.sigmoid(logits[:, 0]) * known
    overlap = 2 * (probability * truth).sum() / (probability.sum() + truth.sum() + 1)
    loss = _entropy(logits, batch.targets, batch) + (1 - overlap) + _astray(logits, batch.targets, batch)
    with torch.no_grad():
        found = (logits[:, 0] >= 0) & (known > 0)
        dice = (2 * (found & (truth > 0)).sum() + 1) / (found.sum() + (truth > 0).sum() + 1)
    return loss, float(dice)


def taught_loss(logits: Tensor, maps: Tensor, batch: Batch) -> Tensor:
    """Returns the loss (scalar, with gradient) of logits (N, 4, H, W) against teachers' maps (N, 4, H, W).

    Terms (1) and (3) of :func:`loss_and_dice`, with the same weights of pixels; soft Dice is left out,
    because it is lowest for maps of zeros and ones, whatever the target.
    """
    return _entropy(logits, maps, batch) + _astray(logits, maps, batch)


def _entropy(logits: Tensor, targets: Tensor, batch: Batch) -> Tensor:
    """Weighted cross-entropy of foreground and interior, added, per pixel that is not ignored."""
    entropy = binary_cross_entropy_with_logits(logits[:, :2], targets[:, :2], reduction="none")
    return (entropy * batch.weight).sum() / (batch.weight[:, 0] > 0).sum().clamp(min=1)


def _astray(logits: Tensor, targets: Tensor, batch: Batch) -> Tensor:
    """Weighted mean distance of the offsets inside labelled nuclei, in units of each nucleus' radius."""
    radius = batch.radius.clamp(min=SMALLEST_RADIUS_PX)
    away = (torch.sigmoid(logits[:, 2:4]) - targets[:, 2:4]) * (2 * REACH_PX) / radius
    share = (batch.radius > 0) * batch.weight / radius  # (N, 1, H, W)
    astray = smooth_l1_loss(away, torch.zeros_like(away), beta=_OFFSET_BETA, reduction="none").sum(dim=1)
    return (astray * share[:, 0]).sum() / share.sum().clamp(min=1)
