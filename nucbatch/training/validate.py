"""Scores weights on held-out images as a run would segment them, and fits thresholds to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from torch import nn

from nucbatch.core.settings import MAPS, ObjectSettings
from nucbatch.inference.predict import forward, grid_of, predict_image, prepared
from nucbatch.masks.objects import find_nuclei
from nucbatch.scoring.detection import ObjectCounts, object_counts
from nucbatch.scoring.ignore import leave_out
from nucbatch.scoring.pixel import PixelCounts
from nucbatch.training.sample import Sample

FOREGROUNDS = (0.5, 0.6, 0.7, 0.75, 0.8)
JOINS = (0.6, 0.75, 0.9, 1.05)
MERGES = (1.0, 0.8, 0.65, 0.6, 0.55, 0.5)
INTERIORS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55)
PEAKS = (0.0, 0.35, 0.4, 0.45, 0.5, 0.525, 0.55, 0.6)


@dataclass(frozen=True, slots=True)
class Validation:
    """Pooled counts of pixels and objects over a split."""

    pixels: PixelCounts
    objects: ObjectCounts

    def figures(self) -> dict[str, float]:
        """The figures for the history and the card."""
        return {
            "pixel F1": round(self.pixels.f1, 4),
            "pixel IoU": round(self.pixels.jaccard, 4),
            "object F1 at 0.5": round(self.objects.f1(0.5), 4),
            "mean AP 0.5-0.95": round(self.objects.mean_ap, 4),
        }


def validate(network: nn.Module, samples: Sequence[Sample], settings: ObjectSettings) -> Validation:
    """Scores a network on whole images at their own size."""
    return score_maps(predict_samples(network, samples), samples, settings)


def score_maps(
    predicted: Sequence[NDArray[np.uint8]], samples: Sequence[Sample], settings: ObjectSettings
) -> Validation:
    """Scores the maps (outputs, Y, X) uint8 of each sample with these settings, without ignored pixels."""
    total = Validation(PixelCounts(), ObjectCounts())
    for sample, maps in zip(samples, predicted, strict=True):
        left = leave_out(sample.labels, find_nuclei(maps, settings), sample.ignore)
        total = Validation(
            total.pixels + left.pixel_counts(), total.objects + object_counts(left.truth, left.pred)
        )
    return total


def fitting_thresholds(
    predicted: Sequence[NDArray[np.uint8]], samples: Sequence[Sample], start: ObjectSettings
) -> ObjectSettings:
    """The thresholds of a small grid that score best on these images; the first of equals.

    The foreground threshold and the one that splits nuclei (``join`` for maps with offsets, else
    ``interior``) are chosen together by panoptic quality, which rewards good outlines as well as found
    nuclei. Then the peak, which decides whether an object is a nucleus, is chosen by object F1 at IoU 0.5.
    Last comes ``merge``, which mends nuclei that were cut. F1 weighs missed and false nuclei alike, so that
    counts are biased as little as possible; mean AP and panoptic quality both favoured missing nuclei.
    """

    def best(candidates: list[ObjectSettings], figure: Callable[[ObjectCounts], float]) -> ObjectSettings:
        return max(candidates, key=lambda one: figure(score_maps(predicted, samples, one).objects))

    by_offsets = len(predicted[0]) == len(MAPS)
    name, values = ("join", JOINS) if by_offsets else ("interior", INTERIORS)
    split = best(
        [
            start.model_copy(update={"foreground": foreground, name: value})
            for foreground, value in product(FOREGROUNDS, values)
        ],
        lambda objects: objects.pq,
    )
    if len(predicted[0]) == 1:
        return split
    peaked = best(
        [split.model_copy(update={"peak": peak}) for peak in PEAKS], lambda objects: objects.f1(0.5)
    )
    if not by_offsets:
        return peaked
    return best(
        [peaked.model_copy(update={"merge": merge}) for merge in MERGES], lambda objects: objects.f1(0.5)
    )


def predict_samples(network: nn.Module, samples: Sequence[Sample]) -> list[NDArray[np.uint8]]:
    """Maps (outputs, Y, X) uint8 of each sample."""
    ready, grid = prepared(network), grid_of(network)
    return [
        predict_image(
            sample.image.numpy().astype(np.float32) / np.float32(255),
            grid,
            lambda tile: forward(ready, tile[np.newaxis])[0],
        )
        for sample in samples
    ]
