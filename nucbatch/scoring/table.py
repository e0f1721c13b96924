"""Scores of many images in one table: a row each, and two totals that answer two questions.

*Pooled* sums the counts of all images first: every nucleus weighs the same. *Averaged* takes the mean of
the images' figures: every image weighs the same, so that one dense field can't hide ten failed ones.
Figures that are undefined in an image (NaN, such as precision where nothing was predicted) are left out
of that figure's average. Images are taken one at a time; only their counts are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nucbatch.errors import InputError
from nucbatch.scoring.objects import ObjectCounts, object_counts
from nucbatch.scoring.pairs import listed
from nucbatch.scoring.pixel import PixelCounts, pixel_counts

Labels = npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class ImageScore:
    """The counts of one image, or of several pooled."""

    name: str
    pixels: PixelCounts
    objects: ObjectCounts

    def figures(self) -> dict[str, float]:
        """Every figure by its name, in the order that tables show; undefined ones are NaN."""
        pixels, objects = self.pixels, self.objects
        return {
            "nuclei_truth": objects.truth,
            "nuclei_predicted": objects.predicted,
            "count_error": objects.count_error,
            "pixel_accuracy": pixels.accuracy,
            "pixel_precision": pixels.precision,
            "pixel_recall": pixels.recall,
            "pixel_f1": pixels.f1,
            "pixel_jaccard": pixels.jaccard,
            "object_precision_50": objects.precision(0.5),
            "object_recall_50": objects.recall(0.5),
            "object_f1_50": objects.f1(0.5),
            "object_f1_75": objects.f1(0.75),
            "object_f1_90": objects.f1(0.9),
            "ap_50": objects.ap(0.5),
            "ap_75": objects.ap(0.75),
            "mean_ap": objects.mean_ap,
            "pq": objects.pq,
            "sq": objects.sq,
            "dq": objects.dq,
        }


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Per-image scores in the order given, and their totals."""

    rows: tuple[ImageScore, ...]

    @property
    def pooled(self) -> ImageScore:
        """All images' counts summed."""
        pixels = sum((row.pixels for row in self.rows), PixelCounts())
        objects = sum((row.objects for row in self.rows), ObjectCounts())
        return ImageScore("pooled", pixels, objects)

    def averaged(self) -> dict[str, float]:
        """The mean over images of every figure, undefined ones left out; ``count_error`` by magnitude."""
        figures = [row.figures() for row in self.rows]
        means: dict[str, float] = {}
        for name in self.pooled.figures():
            values = [abs(one[name]) if name == "count_error" else one[name] for one in figures]
            defined = [value for value in values if not math.isnan(value)]
            means[name] = math.fsum(defined) / len(defined) if defined else math.nan
        return means

    def records(self) -> list[dict[str, str | float | None]]:
        """One plain dictionary per image, undefined figures as None: for CSV and JSON."""
        return [{"name": row.name, **_plain(row.figures())} for row in self.rows]

    def summary(self) -> dict[str, object]:
        """Number of images, both totals and every image's row, as JSON can hold them."""
        return {
            "images": len(self.rows),
            "pooled": _plain(self.pooled.figures()),
            "averaged": _plain(self.averaged()),
            "per_image": self.records(),
        }


def score_image(name: str, truth: Labels, pred: Labels) -> ImageScore:
    """Pixel and object counts of one image.

    Args:
        name: what the table calls it.
        truth: labels (Y, X), any integer dtype, 0 is background.
        pred: labels (Y, X), the same shape.

    Raises:
        InputError: not two label images of one shape; the message names the image.
    """
    try:
        objects = object_counts(truth, pred)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    return ImageScore(name, pixel_counts(truth, pred), objects)


def score_images(pairs: Iterable[tuple[str, Labels, Labels]]) -> ScoreTable:
    """Scores of (name, truth, prediction) triples, each label images (Y, X).

    Raises:
        InputError: some pairs can't be scored (the message lists them), or there is none.
    """
    rows: list[ImageScore] = []
    problems: list[str] = []
    for name, truth, pred in pairs:
        try:
            rows.append(score_image(name, truth, pred))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError(
            f"{len(problems)} of {len(rows) + len(problems)} pairs can't be scored.\n{listed(problems)}"
        )
    if not rows:
        raise InputError("no pair of label images to score: predictions and truth are paired by file stem.")
    return ScoreTable(tuple(rows))


def _plain(figures: dict[str, float]) -> dict[str, str | float | None]:
    return {name: None if math.isnan(value) else value for name, value in figures.items()}
