"""Calibrates a model: fits its confidences and intervals to labelled images that it was not trained on.

The images are segmented as a run would do it, with the thresholds of the model's card, and the objects found
are matched with the true nuclei: an object is a nucleus if it has an intersection over union above 0.5 with
one. Ignored pixels are left out on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from nucbatch.core.calibration import Calibration, ConfidenceModel, Standardised, plain
from nucbatch.core.errors import InputError
from nucbatch.core.settings import RunSettings
from nucbatch.features.confidence import EVIDENCE, evidence_of
from nucbatch.features.measured_objects import objects_of
from nucbatch.inference.normalise import find_constants
from nucbatch.inference.predict import forward, grid_of, prepared
from nucbatch.inference.scale import Scale
from nucbatch.inference.segment import Segmented, require_image, segment_image
from nucbatch.networks.checkpoint import load_weights, save_with_card
from nucbatch.networks.model_card import Card
from nucbatch.scoring.ignore import leave_out
from nucbatch.scoring.match import matches, overlaps
from nucbatch.training.data import DataSet, Entry
from nucbatch.training.familiarity_fit import familiarity, seen_images
from nucbatch.training.interval_fit import CountedImage, folds_of, interval_model

FEWEST_IMAGES = 10
"""With fewer validation images a model is not calibrated."""
FEWEST_OBJECTS = 200
"""With fewer objects in them, or fewer than ten of either kind, a model is not calibrated."""

_FEWEST_OF_A_KIND = 10
_NEEDED = (
    f"it needs {FEWEST_IMAGES} images with {FEWEST_OBJECTS} objects, {_FEWEST_OF_A_KIND} of them right and "
    f"{_FEWEST_OF_A_KIND} wrong"
)
_RIDGE = 10.0
_MOST_STEPS = 50

Floats = NDArray[np.float64]
Listener = Callable[[int, int], None]
"""Receives the number of images done, and of all."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a model found in one labelled image.

    ``group``: the mosaic, slide or plate that it was cut from; an image without one is its own. ``evidence``
    (N, evidence): of the objects whose truth is known. ``is_nucleus`` (N,): whether each matches a true
    nucleus. ``nuclei``: number of true nuclei. ``at_border``: number of the objects that touch the border.
    """

    name: str
    modality: str
    group: str
    evidence: Floats
    is_nucleus: NDArray[np.bool_]
    nuclei: int
    at_border: int = 0


def calibrate(
    weights: Path, out: Path, data: DataSet, *, split: str = "val", listener: Listener | None = None
) -> Calibration:
    """Calibrates the model in a weight file on a split of a data set, and writes it with its new card.

    Args:
        weights: the weight file.
        out: the file to write; may be the same.
        data: labelled images that the model was not trained on, in the split.
        split: of the data.
        listener: receives the progress.

    Raises:
        InputError: too few images, objects, or objects of a kind; the message says how many there are.
        WeightsError: the weight file can't be read.
        StoreError, UnreadableImage: an image can't be read.
    """
    network, card = load_weights(weights)
    found = with_familiarity(fitted(judge_images(network, card, data.split(split), listener)), data)
    save_with_card(weights, out, card.model_copy(update={"calibration": found}))
    return found


def calibrate_if_possible(weights: Path, data: DataSet) -> str:
    """Calibrates a model in its own weight file on the validation images of its data, if there are enough.

    Returns:
        Why it was not calibrated; empty if it was.
    """
    network, card = load_weights(weights)
    entries = data.split("val")
    judged = judge_images(network, card, entries) if len(entries) >= FEWEST_IMAGES else []
    reason = too_few(judged) if judged else f"{len(entries)} validation images are too few: {_NEEDED}."
    if not reason:
        found = with_familiarity(fitted(judged), data)
        save_with_card(weights, weights, card.model_copy(update={"calibration": found}))
    return reason


def with_familiarity(found: Calibration, data: DataSet) -> Calibration:
    """Returns a calibration that knows the training and validation images."""
    seen = seen_images([*data.split("train"), *data.split("val")])
    return found.model_copy(update={"familiarity": familiarity(seen)})


def judge_images(
    network: nn.Module, card: Card, entries: Sequence[Entry], listener: Listener | None = None
) -> list[Judged]:
    """Segments labelled images as a run does, and compares what is found with the truth."""
    ready, grid = prepared(network), grid_of(network)
    settings = RunSettings(normalise=card.normalise, objects=card.objects)
    scale = Scale.of(card, settings)

    def predict(tile: NDArray[np.float32]) -> NDArray[np.uint8]:
        maps: NDArray[np.uint8] = forward(ready, tile[np.newaxis])[0]
        return maps

    judged: list[Judged] = []
    for done, entry in enumerate(entries, start=1):
        pixels = entry.source.read()
        image = require_image(pixels.image)
        constants = find_constants(image, card.normalise)
        seen = segment_image(image, constants, grid, predict, card.objects, scale)
        judged.append(_judged(entry, seen, pixels.labels, pixels.ignore))
        if listener is not None:
            listener(done, len(entries))
    return judged


def fitted(judged: Sequence[Judged]) -> Calibration:
    """Fits a calibration to images.

    Raises:
        InputError: as :func:`calibrate`.
    """
    reason = too_few(judged)
    if reason:
        raise InputError(reason)
    groups = len({one.group for one in judged})
    evidence = np.concatenate([one.evidence for one in judged])
    truth = np.concatenate([one.is_nucleus for one in judged])
    interval = interval_model(counted_images(judged))
    confidence = confidence_model(evidence, truth)
    return Calibration(images=len(judged), groups=groups, confidence=confidence, interval=interval)


def counted_images(judged: Sequence[Judged]) -> list[CountedImage]:
    """Returns counts and doubts of images, with confidences that were fitted without each image's group."""
    folds = folds_of([one.group for one in judged])
    models: dict[int, ConfidenceModel] = {}
    for fold in np.unique(folds).tolist():
        others = [one for one, own in zip(judged, folds, strict=True) if own != fold]
        evidence = np.concatenate([one.evidence for one in others])
        models[fold] = confidence_model(evidence, np.concatenate([one.is_nucleus for one in others]))
    return [counted_image(one, models[fold]) for one, fold in zip(judged, folds.tolist(), strict=True)]


def counted_image(one: Judged, model: ConfidenceModel) -> CountedImage:
    """Returns an image's counts and doubts."""
    doubt = float((1 - model.confidences(one.evidence)).sum())
    return CountedImage(one.group, len(one.is_nucleus), one.nuclei, doubt, one.at_border)


def too_few(judged: Sequence[Judged]) -> str:
    """Says why images can't calibrate a model; empty if they can."""
    objects = sum(len(one.is_nucleus) for one in judged)
    nuclei = sum(int(one.is_nucleus.sum()) for one in judged)
    rarer = min(nuclei, objects - nuclei)
    if len(judged) >= FEWEST_IMAGES and objects >= FEWEST_OBJECTS and rarer >= _FEWEST_OF_A_KIND:
        return ""
    return (
        f"{len(judged)} images with {objects} objects, of which {nuclei} match true nuclei, are too few to "
        f"calibrate a model: {_NEEDED}."
    )


def confidence_model(evidence: Floats, truth: NDArray[np.bool_]) -> ConfidenceModel:
    """Fits the logistic function of evidence (N, evidence) to the truth (N,), with a ridge penalty."""
    scaling = Standardised.of(EVIDENCE, evidence)
    zero = (0.0,) * len(EVIDENCE)
    blank = ConfidenceModel(evidence=scaling, linear=zero, square=zero, constant=0.0)
    weights = plain(_logistic(blank.terms(evidence), truth))
    linear, square = weights[1 : 1 + len(EVIDENCE)], weights[1 + len(EVIDENCE) :]
    return ConfidenceModel(evidence=scaling, linear=linear, square=square, constant=weights[0])


def _judged(
    entry: Entry, seen: Segmented, labels: NDArray[np.integer], ignore: NDArray[np.generic] | None
) -> Judged:
    left = leave_out(labels, seen.labels, ignore)
    table = overlaps(left.truth, left.pred)
    count = int(seen.labels.max(initial=0))
    known, right = np.zeros(count + 1, np.bool_), np.zeros(count + 1, np.bool_)
    known[table.pred_labels] = True
    right[table.pred_labels[table.pred_index[matches(table)]]] = True
    sides = seen.labels[0], seen.labels[-1], seen.labels[:, 0], seen.labels[:, -1]
    touching = np.unique(np.concatenate(sides))
    evidence = np.zeros((0, len(EVIDENCE)))
    if seen.maps is not None and count:
        evidence = evidence_of(objects_of(seen.labels), seen.maps, seen.zoom)[known[1:]]
    return Judged(
        entry.name,
        entry.modality,
        entry.group or entry.name,
        evidence,
        right[1:][known[1:]],
        len(table.truth_labels),
        int(known[touching].sum()),
    )


def _logistic(terms: Floats, truth: NDArray[np.bool_]) -> Floats:
    """Returns constant and weights (1 + terms,) of the logistic regression, by Newton's method."""
    design = np.concatenate([np.ones((len(terms), 1)), terms], axis=1)
    penalty = np.diag([0.0, *[_RIDGE] * terms.shape[1]])
    weights = np.zeros(design.shape[1])
    for _ in range(_MOST_STEPS):
        chance = 1 / (1 + np.exp(-design @ weights))
        slope = design.T @ (chance - truth) + penalty @ weights
        curvature = design.T @ (design * (chance * (1 - chance))[:, np.newaxis]) + penalty
        step = np.linalg.solve(curvature, slope)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    return weights
