"""Detection scores: matched, missed and false nuclei at ten IoU thresholds.

The thresholds are 0.50, 0.55, ... 0.95, and matches lie strictly above them (see ``match``). Counts add over
images, so the figures of a data set are those of its summed counts. AP is TP / (TP + FP + FN), as in the 2018
Data Science Bowl (Caicedo et al., Nature Methods 16, 2019). Panoptic quality and its two factors are those of
Kirillov et al. (CVPR 2019): PQ = SQ · DQ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError
from nucbatch.scoring.match import Overlaps, iou, overlaps
from nucbatch.scoring.pixel import ratio

# k / 20 is the double nearest to its decimal, so that an IoU of exactly 3 / 5 equals 0.6.
THRESHOLDS: tuple[float, ...] = tuple(k / 20 for k in range(10, 20))
_NONE = (0,) * len(THRESHOLDS)


@dataclass(frozen=True, slots=True)
class ObjectCounts:
    """Matched (TP), false (FP) and missed (FN) nuclei, one number per entry of ``THRESHOLDS``.

    ``iou_sum`` is the summed IoU of the matched pairs. Adds over images.
    """

    tp: tuple[int, ...] = _NONE
    fp: tuple[int, ...] = _NONE
    fn: tuple[int, ...] = _NONE
    iou_sum: tuple[float, ...] = (0.0,) * len(THRESHOLDS)

    def __add__(self, other: ObjectCounts) -> ObjectCounts:
        return ObjectCounts(
            tuple(a + b for a, b in zip(self.tp, other.tp, strict=True)),
            tuple(a + b for a, b in zip(self.fp, other.fp, strict=True)),
            tuple(a + b for a, b in zip(self.fn, other.fn, strict=True)),
            tuple(a + b for a, b in zip(self.iou_sum, other.iou_sum, strict=True)),
        )

    @property
    def truth(self) -> int:
        """Number of true nuclei."""
        return self.tp[0] + self.fn[0]

    @property
    def predicted(self) -> int:
        """Number of predicted nuclei."""
        return self.tp[0] + self.fp[0]

    @property
    def count_error(self) -> int:
        """Predicted minus true nuclei."""
        return self.predicted - self.truth

    @property
    def count_error_relative(self) -> float:
        """|predicted - true| / true; the divisor is 1 if there is no true nucleus."""
        return abs(self.count_error) / max(self.truth, 1)

    def precision(self, threshold: float = 0.5) -> float:
        """TP / (TP + FP); NaN without a prediction."""
        at = _position(threshold)
        return ratio(self.tp[at], self.tp[at] + self.fp[at])

    def recall(self, threshold: float = 0.5) -> float:
        """TP / (TP + FN); NaN without a true nucleus."""
        at = _position(threshold)
        return ratio(self.tp[at], self.tp[at] + self.fn[at])

    def f1(self, threshold: float = 0.5) -> float:
        """2 TP / (2 TP + FP + FN), also called DQ; 1 if there is no nucleus on either side."""
        at = _position(threshold)
        return ratio(2 * self.tp[at], 2 * self.tp[at] + self.fp[at] + self.fn[at], empty=1.0)

    def ap(self, threshold: float = 0.5) -> float:
        """TP / (TP + FP + FN); 1 if there is no nucleus on either side."""
        at = _position(threshold)
        return ratio(self.tp[at], self.tp[at] + self.fp[at] + self.fn[at], empty=1.0)

    @property
    def mean_ap(self) -> float:
        """The mean of AP over the ten thresholds."""
        return sum(self.ap(threshold) for threshold in THRESHOLDS) / len(THRESHOLDS)

    @property
    def pq(self) -> float:
        """Panoptic quality: summed IoU of matches at 0.5 / (TP + FP / 2 + FN / 2); 1 without any nucleus."""
        whole = self.tp[0] + self.fp[0] / 2 + self.fn[0] / 2
        return ratio(self.iou_sum[0], whole, empty=1.0)

    @property
    def sq(self) -> float:
        """Segmentation quality: mean IoU of matches at 0.5; NaN without a match."""
        return ratio(self.iou_sum[0], self.tp[0])

    @property
    def dq(self) -> float:
        """Detection quality: F1 at 0.5."""
        return self.f1(0.5)


def object_counts(truth: npt.NDArray[np.integer], pred: npt.NDArray[np.integer]) -> ObjectCounts:
    """Counts of one image.

    Args:
        truth: labels (Y, X), any integer dtype, 0 is background.
        pred: labels (Y, X), any integer dtype, 0 is background.

    Raises:
        InputError: the arrays are not two label images of one shape.
    """
    return counts_of(overlaps(truth, pred))


def counts_of(table: Overlaps) -> ObjectCounts:
    """Counts of one image from its overlaps."""
    quality = np.sort(iou(table))
    above = [quality[np.searchsorted(quality, threshold, side="right") :] for threshold in THRESHOLDS]
    tp = tuple(len(matched) for matched in above)
    return ObjectCounts(
        tp,
        tuple(len(table.pred_labels) - count for count in tp),
        tuple(len(table.truth_labels) - count for count in tp),
        tuple(float(matched.sum()) for matched in above),
    )


def _position(threshold: float) -> int:
    if threshold not in THRESHOLDS:
        raise InputError(
            f"there are no counts at the IoU threshold {threshold}: choose one of "
            f"{', '.join(f'{known:.2f}' for known in THRESHOLDS)}."
        )
    return THRESHOLDS.index(threshold)
