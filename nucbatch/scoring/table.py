"""Scores of many images in one table: a row per image, and three kinds of totals.

*Pooled* sums the counts of all images first, so that every nucleus (every pixel) has the same weight.
*Averaged* and *median* are computed from the images' figures, so that every image has the same weight and one
dense field can't hide ten failed ones. The Data Science Bowl's score is the average of ``mean_ap``. Figures
that are undefined in an image (NaN, such as precision without a prediction) are left out of the average and
median. Images are read one at a time; only their counts are kept.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError
from nucbatch.labels.pairing import listed
from nucbatch.scoring.detection import THRESHOLDS, ObjectCounts, counts_of
from nucbatch.scoring.ignore import leave_out
from nucbatch.scoring.jaccard import AggregatedJaccard, aggregated_jaccard
from nucbatch.scoring.match import overlaps
from nucbatch.scoring.pixel import PixelCounts
from nucbatch.scoring.rand import RandCounts, rand_counts
from nucbatch.scoring.segmented_image import SquaredErrors, squared_errors
from nucbatch.scoring.splits import SplitCounts, split_counts
from nucbatch.scoring.warping import WarpingCounts, warping_counts

Labels = npt.NDArray[np.integer]
Ignored = npt.NDArray[np.generic] | None
Image = npt.NDArray[Any] | None
Figures = dict[str, float]

THRESHOLD_FIGURES = (
    "object_tp",
    "object_fp",
    "object_fn",
    "object_precision",
    "object_recall",
    "object_f1",
    "ap",
)
"""Stems of the figures that exist at each IoU threshold, as in ``ap_50``."""


@dataclass(frozen=True, slots=True)
class ImageScore:
    """The counts of one image, or of several pooled. Adds over images; the sum keeps the first name."""

    name: str
    pixels: PixelCounts = field(default_factory=PixelCounts)
    objects: ObjectCounts = field(default_factory=ObjectCounts)
    jaccard: AggregatedJaccard = field(default_factory=AggregatedJaccard)
    parts: SplitCounts = field(default_factory=SplitCounts)
    rand: RandCounts = field(default_factory=RandCounts)
    warping: WarpingCounts = field(default_factory=WarpingCounts)
    segmented: SquaredErrors = field(default_factory=SquaredErrors)
    ignored_px: int = 0

    def __add__(self, other: ImageScore) -> ImageScore:
        return ImageScore(
            self.name,
            self.pixels + other.pixels,
            self.objects + other.objects,
            self.jaccard + other.jaccard,
            self.parts + other.parts,
            self.rand + other.rand,
            self.warping + other.warping,
            self.segmented + other.segmented,
            self.ignored_px + other.ignored_px,
        )

    def figures(self) -> Figures:
        """All figures by name, in the order of the files; undefined ones are NaN."""
        pixels, objects, warping = self.pixels, self.objects, self.warping
        figures: Figures = {
            "nuclei_truth": objects.truth,
            "nuclei_predicted": objects.predicted,
            "count_error": objects.count_error,
            "count_error_relative": objects.count_error_relative,
            "pixel_accuracy": pixels.accuracy,
            "pixel_precision": pixels.precision,
            "pixel_recall": pixels.recall,
            "pixel_f1": pixels.f1,
            "pixel_jaccard": pixels.jaccard,
            "mean_ap": objects.mean_ap,
            "pq": objects.pq,
            "sq": objects.sq,
            "dq": objects.dq,
            "aji": self.jaccard.value,
            "splits": self.parts.splits,
            "merges": self.parts.merges,
            "warping_error": warping.error,
            "warping_error_total": warping.total_error,
            "rand_error": self.rand.error,
            "adapted_rand_error": self.rand.adapted_error,
            "pixel_error": warping.pixel_error,
            "mse": self.segmented.mean,
            "psnr_db": self.segmented.psnr_db,
            "ignored_px": self.ignored_px,
        }
        for position, threshold in enumerate(THRESHOLDS):
            values = (
                objects.tp[position],
                objects.fp[position],
                objects.fn[position],
                objects.precision(threshold),
                objects.recall(threshold),
                objects.f1(threshold),
                objects.ap(threshold),
            )
            for stem, value in zip(THRESHOLD_FIGURES, values, strict=True):
                figures[at_threshold(stem, threshold)] = value
        return figures


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Scores of images in the given order, and their totals."""

    rows: tuple[ImageScore, ...]

    @property
    def pooled(self) -> ImageScore:
        """The summed counts of all images."""
        return sum(self.rows, ImageScore("pooled"))

    def averaged(self) -> Figures:
        """The mean of every figure over images, without undefined ones; of ``count_error`` the magnitude."""
        return self._over_images(lambda values: math.fsum(values) / len(values))

    def median(self) -> Figures:
        """The median of every figure over images; otherwise as :meth:`averaged`."""
        return self._over_images(statistics.median)

    def totals(self) -> dict[str, Figures]:
        """The three totals by name."""
        return {"pooled": self.pooled.figures(), "averaged": self.averaged(), "median": self.median()}

    def worst(self, count: int) -> list[ImageScore]:
        """The images with errors, by lowest object F1 at 0.5 and then mean AP, worst first."""
        wrong = [row for row in self.rows if row.objects.mean_ap < 1]
        return sorted(wrong, key=lambda row: (row.objects.f1(), row.objects.mean_ap, row.name))[:count]

    def records(self) -> list[dict[str, str | float | None]]:
        """One dictionary per image for CSV and JSON; undefined figures are None."""
        return [{"name": row.name, **plain(row.figures())} for row in self.rows]

    def summary(self) -> dict[str, object]:
        """Number of images, totals and the row of every image, for JSON."""
        totals = {name: plain(figures) for name, figures in self.totals().items()}
        return {"images": len(self.rows), **totals, "per_image": self.records()}

    def _over_images(self, middle: Callable[[Sequence[float]], float]) -> Figures:
        result: Figures = {}
        figures = [row.figures() for row in self.rows]
        for name in ImageScore("").figures():
            values = [abs(one[name]) if name == "count_error" else one[name] for one in figures]
            defined = [value for value in values if not math.isnan(value)]
            result[name] = middle(defined) if defined else math.nan
        return result


def score_image(
    name: str, truth: Labels, pred: Labels, ignore: Ignored = None, image: Image = None
) -> ImageScore:
    """All counts of one image.

    Args:
        name: the image's name in the table.
        truth: labels (Y, X), any integer dtype, 0 is background.
        pred: labels (Y, X), the same shape.
        ignore: (Y, X), not 0 where pixels are left out (see :mod:`nucbatch.scoring.ignore`); None for none.
        image: (Y, X) or (Y, X, 3), the image itself, for the figures of the segmented image; None, or an
            image of another size than the labels, leaves them undefined.

    Raises:
        InputError: the arrays are not two label images of one shape; the message names the image.
    """
    try:
        left = leave_out(truth, pred, ignore)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    table = overlaps(left.truth, left.pred)
    fits = image is not None and image.shape[:2] == left.pixels.shape
    return ImageScore(
        name,
        left.pixel_counts(),
        counts_of(table),
        aggregated_jaccard(table),
        split_counts(table),
        rand_counts(table),
        warping_counts(left.truth, left.pred, left.ignored_px),
        squared_errors(image, left.pixels, left.void) if fits and image is not None else SquaredErrors(),
        left.ignored_px,
    )


def score_images(
    pairs: Iterable[
        tuple[str, Labels, Labels]
        | tuple[str, Labels, Labels, Ignored]
        | tuple[str, Labels, Labels, Ignored, Image]
    ],
) -> ScoreTable:
    """Scores pairs of label images.

    Args:
        pairs: for each image its name, truth (Y, X), prediction (Y, X), and optionally ignored pixels (Y, X)
            and the image itself, as for :func:`score_image`.

    Raises:
        InputError: some pairs can't be scored (the message lists them), or there are none.
    """
    rows: list[ImageScore] = []
    problems: list[str] = []
    for name, truth, pred, *more in pairs:
        try:
            rows.append(score_image(name, truth, pred, *more))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError(
            f"{len(problems)} of {len(rows) + len(problems)} pairs can't be scored.\n{listed(problems)}"
        )
    if not rows:
        raise InputError("no pair of label images to score: predictions and truth are paired by file stem.")
    return ScoreTable(tuple(rows))


def at_threshold(stem: str, threshold: float) -> str:
    """The name of a figure at an IoU threshold: ``("ap", 0.5)`` → ``"ap_50"``."""
    return f"{stem}_{round(threshold * 100)}"


def plain(figures: Mapping[str, float]) -> dict[str, str | float | None]:
    """Figures for files; undefined ones are None."""
    return {name: None if math.isnan(value) else value for name, value in figures.items()}
