"""The paper's training task: whole images resized to a square, and one mask of all nuclei.

The loss is binary cross-entropy. The paper leaves some steps open, which are done as follows. Images are
scaled to [0, 1] between their own minimum and maximum, so that training and inference normalise alike at any
bit depth. Masks are labels with holes filled, resized with the images and thresholded at one half. Each epoch
passes once over the training split in an order drawn from the seed; a short last batch is filled up from the
epoch's beginning. Training figures are means over the epoch's batches; validation figures are pooled over the
split. Ignored pixels count for none of these.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.measure import regionprops
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from nucbatch.core.errors import InputError
from nucbatch.core.settings import NormaliseSettings, ObjectSettings
from nucbatch.inference.normalise import find_constants, normalise
from nucbatch.scoring.pixel import PixelCounts, pixel_counts
from nucbatch.training.data import DataSet, Entry, read_entry
from nucbatch.training.preprocessing_figure import Shown, draw_preprocessing
from nucbatch.training.recipe import Recipe
from nucbatch.training.targets import typical_diameter

SHOWN = 4


@dataclass(frozen=True, slots=True)
class PaperBatch:
    """Network input (N, 3, S, S) in [0, 1] and masks (N, 1, S, S) of 0 and 1, float32.

    ``known`` (N, 1, S, S) bool: the pixels that count.
    """

    images: Tensor
    masks: Tensor
    known: Tensor


@dataclass(frozen=True, slots=True)
class Split:
    """A split in memory.

    ``images`` (N, 3, S, S) uint8; ``masks`` (N, 1, S, S) bool; ``known`` (N, 1, S, S) bool: the pixels that
    count; ``diameters_px``: typical nucleus diameter of each image after resizing.
    """

    images: Tensor
    masks: Tensor
    known: Tensor
    diameters_px: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, chosen: NDArray[np.integer]) -> PaperBatch:
        """The images and masks at these positions."""
        where = torch.from_numpy(chosen)
        return PaperBatch(self.images[where].float() / 255, self.masks[where].float(), self.known[where])


class PaperTask:
    """Implements :class:`nucbatch.training.task.Task` for the paper's one mask.

    Raises:
        InputError: the data has no training images.
    """

    criterion = "val_dice"

    def __init__(self, data: DataSet, recipe: Recipe) -> None:
        self._data, self._recipe = data, recipe
        self._train, self._held_out = self._load("train"), self._load("val")
        if not len(self._train):
            raise InputError("the data has no images in the train split: there is nothing to learn from.")

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self._train) // self._recipe.batch)

    @property
    def nucleus_diameter_px(self) -> float | None:
        known = [diameter for diameter in self._train.diameters_px if np.isfinite(diameter)]
        return round(float(np.median(known)), 1) if known else None

    def batch(self, step: int) -> PaperBatch:
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng((self._recipe.seed, epoch)).permutation(len(self._train))
        filled = np.resize(order, self.steps_per_epoch * self._recipe.batch)
        return self._train.batch(filled[place * self._recipe.batch :][: self._recipe.batch])

    def loss(self, logits: Tensor, batch: PaperBatch) -> tuple[Tensor, float]:
        """Binary cross-entropy, and the Dice coefficient of the pixels with a probability of 0.5 or more."""
        with torch.no_grad():
            found, truth = (logits >= 0) & batch.known, (batch.masks > 0) & batch.known
            dice = (2 * (found & truth).sum() + 1) / (found.sum() + truth.sum() + 1)
        return cross_entropy(logits, batch), float(dice)

    def score(self, network: nn.Module, *, fit: bool) -> tuple[ObjectSettings, dict[str, float]]:
        if not len(self._held_out):
            return ObjectSettings(), {}
        loss, counts = evaluate(network, self._held_out, self._recipe.batch)
        return ObjectSettings(), {
            "val_loss": loss,
            "val_dice": counts.f1,
            "val_accuracy": counts.accuracy,
            "val_precision": defined(counts.precision),
            "val_recall": defined(counts.recall),
            "val_jaccard": counts.jaccard,
        }

    def finish(self, network: nn.Module, *, test: bool) -> tuple[ObjectSettings, dict[str, float]]:
        scores: dict[str, float] = {}
        for name, split in (("val", self._held_out), ("test", self._load("test") if test else None)):
            if split is None or not len(split):
                continue
            loss, counts = evaluate(network, split, self._recipe.batch)
            figures = {
                "pixel accuracy": counts.accuracy,
                "pixel precision": defined(counts.precision),
                "pixel recall": defined(counts.recall),
                "pixel F1": counts.f1,
                "pixel Jaccard": counts.jaccard,
                "loss": loss,
            }
            where = f"{name} at {self._recipe.crop_px} px"
            scores |= {f"{where} {figure}": round(value, 4) for figure, value in figures.items()}
        return ObjectSettings(), scores

    def draw(self, folder: Path) -> None:
        """Draws ``preprocessing.png``: outlines and filled regions of a few training images."""
        entries = self._data.split("train")
        kinds = {entry.modality: entry for entry in reversed(entries)}
        first = [*kinds.values(), *(entry for entry in entries if entry not in kinds.values())][:SHOWN]
        shown = []
        for entry in sorted(first, key=lambda one: (one.modality, one.name)):
            image, labels = read_entry(entry)
            scaled = normalise(image, find_constants(image, NormaliseSettings()))
            shown.append(
                Shown(entry.modality or entry.name, scaled, boundaries(labels), region_filled(labels))
            )
        draw_preprocessing(folder / "preprocessing.png", shown)

    def _load(self, split: str) -> Split:
        side = self._recipe.crop_px
        loaded = list(_resized(self._data.split(split), self._recipe.normalise, side))
        return Split(
            torch.cat([torch.zeros(0, 3, side, side, dtype=torch.uint8), *(one[0] for one in loaded)]),
            torch.cat([torch.zeros(0, 1, side, side, dtype=torch.bool), *(one[1] for one in loaded)]),
            torch.cat([torch.zeros(0, 1, side, side, dtype=torch.bool), *(one[2] for one in loaded)]),
            tuple(one[3] for one in loaded),
        )


def boundaries(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Outlines (Y, X) of labels (Y, X): pixels of a nucleus with a 4-neighbour of another value.

    This is boundary extraction per nucleus, the set minus its erosion (Gonzalez and Woods, Digital Image
    Processing, section 9.5). Pixels at the image's border are not outline for that reason alone.
    """
    padded = np.pad(labels, 1, mode="edge")
    middle = padded[1:-1, 1:-1]
    around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    outline: NDArray[np.bool_] = np.logical_or.reduce([other != middle for other in around]) & (middle != 0)
    return outline


def region_filled(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Mask (Y, X) of labels (Y, X) with the holes of each nucleus filled.

    Background that several nuclei enclose together stays background.
    """
    mask = labels > 0
    for region in regionprops(labels.astype(np.int64)):
        mask[region.slice] |= region.image_filled
    return mask


def defined(share: float) -> float:
    """A precision or recall for scores: 0 where it is undefined (NaN)."""
    return 0.0 if math.isnan(share) else share


def cross_entropy(logits: Tensor, batch: PaperBatch) -> Tensor:
    """Mean binary cross-entropy (scalar) of logits (N, 1, S, S) over the pixels that count."""
    if bool(batch.known.all()):
        return binary_cross_entropy_with_logits(logits, batch.masks)
    known = batch.known.float()
    total = binary_cross_entropy_with_logits(logits, batch.masks, weight=known, reduction="sum")
    return total / known.sum().clamp(min=1)


@torch.no_grad()
def evaluate(network: nn.Module, split: Split, batch: int) -> tuple[float, PixelCounts]:
    """Mean binary cross-entropy and pooled pixel counts of a network on a split.

    The network runs on the device that it is on.
    """
    device = next(network.parameters()).device
    network.eval()
    loss, counts = 0.0, PixelCounts()
    for begin in range(0, len(split), batch):
        pictures = split.batch(np.arange(begin, min(begin + batch, len(split))))
        images = pictures.images.to(device).contiguous(memory_format=torch.channels_last)
        logits = network(images).float().cpu()
        loss += float(cross_entropy(logits, pictures)) * len(logits)
        known = pictures.known.numpy()
        counts += pixel_counts(pictures.masks.numpy()[known] > 0, logits.numpy()[known] >= 0)
    return loss / len(split), counts


def _resized(
    entries: list[Entry], settings: NormaliseSettings, side: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, float]]:
    """The images of entries, resized to a square.

    Each gives an image (1, 3, side, side) uint8, mask and known pixels (1, 1, side, side) bool, and the
    typical diameter of its nuclei. A resized pixel is known if no ignored pixel contributes to it.
    """
    for entry in entries:
        pixels = entry.source.read()
        image, labels = pixels.image, pixels.labels
        ignore = np.zeros(labels.shape, bool) if pixels.ignore is None else pixels.ignore
        both = np.concatenate(
            [
                normalise(image, find_constants(image, settings)),
                region_filled(labels)[np.newaxis],
                ignore[np.newaxis],
            ]
        ).astype(np.float32)
        small = interpolate(torch.from_numpy(both)[None], size=(side, side), mode="bilinear", antialias=True)
        diameter = typical_diameter(labels) * side / float(np.sqrt(labels.size))
        picture = (small[:, :3] * 255).round().clamp(0, 255).to(torch.uint8)
        yield picture, small[:, 3:4] >= 0.5, small[:, 4:] <= 1e-4, diameter
