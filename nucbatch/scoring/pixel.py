"""Pixel scores: confusion counts of foreground and background, pooled before any division.

Counts add and ratios don't: the F1 of a data set is that of its summed counts, so that images weigh by their
pixels. If there is nothing to find and nothing was found, F1 and Jaccard are 1. Any other ratio with a
denominator of zero is undefined (NaN).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError


@dataclass(frozen=True, slots=True)
class PixelCounts:
    """Confusion counts of pixels. Adds over images."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __add__(self, other: PixelCounts) -> PixelCounts:
        return PixelCounts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def total(self) -> int:
        """All pixels."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def accuracy(self) -> float:
        """(TP + TN) / all pixels; NaN without pixels."""
        return ratio(self.tp + self.tn, self.total)

    @property
    def precision(self) -> float:
        """TP / (TP + FP); NaN without predicted pixels."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """TP / (TP + FN); NaN without true pixels."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Dice coefficient, 2 TP / (2 TP + FP + FN); 1 if there is no foreground on either side."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn, empty=1.0)

    @property
    def jaccard(self) -> float:
        """Foreground IoU, TP / (TP + FP + FN); 1 if there is no foreground on either side."""
        return ratio(self.tp, self.tp + self.fp + self.fn, empty=1.0)


def pixel_counts(truth: npt.NDArray[np.generic], pred: npt.NDArray[np.generic]) -> PixelCounts:
    """Confusion counts of two masks.

    Args:
        truth: labels or mask (Y, X), integer or bool; any value but 0 is foreground.
        pred: the same, of the same shape.

    Raises:
        InputError: shapes differ, or pixels are neither integer nor bool (threshold probabilities first).
    """
    if truth.shape != pred.shape:
        raise InputError(
            f"the truth has shape {truth.shape}, the prediction {pred.shape}: they must be equal."
        )
    for role, mask in (("truth", truth), ("prediction", pred)):
        if mask.dtype.kind not in "biu":
            raise InputError(
                f"the {role} has pixels of type {mask.dtype}: masks are integer or bool. "
                "Threshold probabilities first."
            )
    truth_area, pred_area = int(np.count_nonzero(truth)), int(np.count_nonzero(pred))
    tp = int(np.count_nonzero((truth != 0) & (pred != 0)))
    return PixelCounts(tp, pred_area - tp, truth_area - tp, truth.size - truth_area - pred_area + tp)


def ratio(part: float, whole: float, empty: float = float("nan")) -> float:
    """``part / whole``, or ``empty`` if the whole is 0."""
    return part / whole if whole else empty
