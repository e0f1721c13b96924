"""Labelled images in memory, ready to be cropped, and the probability with which each is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nucbatch.core.settings import NormaliseSettings, ObjectSettings
from nucbatch.inference.normalise import find_constants, normalise
from nucbatch.inference.scale import Fit, areas_of, contrast, nuclear_diameter
from nucbatch.training.data import Entry
from nucbatch.training.targets import NucleusGeometry, geometry_of, typical_diameter


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image in memory.

    ``image`` (3, Y, X) uint8 is the normalised image, 0..255 for 0..1. ``labels`` (Y, X) int32 are numbered
    1..N, and ``nuclei`` holds the geometry of each. ``diameter_px`` is their typical diameter, NaN without
    nuclei. ``ignore`` (Y, X) bool marks pixels that count neither for the loss nor for scores, those of
    micronuclei among them; None if all count. ``dataset`` is the name of the data set.
    """

    name: str
    modality: str
    image: Tensor
    labels: NDArray[np.int32]
    nuclei: NucleusGeometry
    diameter_px: float
    ignore: NDArray[np.bool_] | None = None
    dataset: str = ""


def load_sample(entry: Entry, settings: NormaliseSettings) -> Sample:
    """Reads one entry.

    Raises:
        InputError: image and labels differ in size, or the labels are not integers of one channel.
        UnreadableImage, StoreError: they can't be read.
    """
    pixels = entry.source.read()
    sample = make_sample(entry.name, entry.modality, pixels.image, pixels.labels, settings)
    ignore = micronuclei(pixels.image, sample.labels)
    if pixels.ignore is not None:
        ignore |= pixels.ignore
    return replace(sample, ignore=ignore if ignore.any() else None, dataset=entry.dataset)


def micronuclei(image: NDArray[np.generic], labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Pixels (Y, X) of labels that a run would leave out as micronuclei.

    Data sets disagree on whether these are nuclei, so a network learns neither. As in a run, RGB images and
    nuclei darker than the rest of the image have none (:class:`nucbatch.inference.scale.Fit`).

    Args:
        image: (Y, X) or (Y, X, 3).
        labels: (Y, X), 1..N.
    """
    found = labels.astype(np.uint32)
    areas_px = areas_of(found)
    measured = Fit(1.0, nuclear_diameter(areas_px), contrast([image], [found]) >= 0)
    least_px = measured.least_nucleus_px(ObjectSettings(), colour=image.ndim == 3)
    small = np.concatenate([[False], areas_px < least_px])
    marked: NDArray[np.bool_] = small[labels]
    return marked


def make_sample(
    name: str,
    modality: str,
    image: NDArray[np.generic],
    labels: NDArray[np.integer],
    settings: NormaliseSettings,
) -> Sample:
    """The sample of an image (Y, X) or (Y, X, 3) and its labels (Y, X)."""
    channels = np.rint(normalise(image, find_constants(image, settings)) * 255).astype(np.uint8)
    numbered = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)
    if labels.size and labels.min() > 0:
        numbered += 1  # no background at all: the smallest label is a nucleus
    return Sample(
        name,
        modality,
        torch.from_numpy(channels),
        numbered,
        geometry_of(numbered),
        typical_diameter(numbered),
    )


def sampling_weights(samples: Sequence[Sample]) -> NDArray[np.float64]:
    """Probability with which each sample is drawn, (N,) summing to 1.

    A kind of image is one modality of one data set. Kinds are weighted by the square root of their number of
    images, so that rare kinds are seen but not memorised. Within a kind, images are weighted by the square
    root of their number of nuclei.
    """
    names = [(sample.dataset, sample.modality) for sample in samples]
    share = {name: np.sqrt(names.count(name)) for name in set(names)}
    crowds = np.array([np.sqrt(sample.labels.max() + 4.0) for sample in samples])
    weights = np.zeros(len(samples))
    for name, part in share.items():
        inside = np.array([other == name for other in names])
        weights[inside] = part * crowds[inside] / crowds[inside].sum()
    return np.asarray(weights / weights.sum(), np.float64)
