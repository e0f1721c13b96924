"""How well nuclei are found one by one: matched, missed and invented ones at ten IoU thresholds.

The decision owned here: thresholds 0.50, 0.55, ... 0.95, each matched strictly above (see ``match``), and
counts that add over images, so that a data set's figures are those of its summed counts. AP is
TP / (TP + FP + FN), as in the 2018 Data Science Bowl (Caicedo et al., Nature Methods 16, 2019); panoptic
quality and its two factors are Kirillov et al.'s (CVPR 2019): PQ = SQ · DQ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError
from nucbatch.scoring.match import Overlaps, iou, overlaps
from nucbatch.scoring.pixel import ratio

# As k / 20 each is the double nearest to its decimal, so an IoU of exactly 3 / 5 compares equal to 0.6.
THRESHOLDS: tuple[float, ...] = tuple(k / 20 for k in range(10, 20))
_NONE = (0,) * len(THRESHOLDS)


@dataclass(frozen=True, slots=True)
class ObjectCounts:
    """Matched (TP), invented (FP) and missed (FN) nuclei, one number per entry of ``THRESHOLDS``.

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
        """Nuclei there are."""
        return self.tp[0] + self.fn[0]

    @property
    def predicted(self) -> int:
        """Nuclei found."""
        return self.tp[0] + self.fp[0]

    @property
    def count_error(self) -> int:
        """Nuclei found minus nuclei there are."""
        return self.predicted - self.truth

    @property
    def count_error_relative(self) -> float:
        """|found - there are| / there are. Where there is none it is divided by 1."""
        return abs(self.count_error) / max(self.truth, 1)

    def precision(self, threshold: float = 0.5) -> float:
        """TP / (TP + FP); NaN where nothing was predicted."""
        at = _position(threshold)
        return ratio(self.tp[at], self.tp[at] + self.fp[at])

    def recall(self, threshold: float = 0.5) -> float:
        """TP / (TP + FN); NaN where there is nothing to find."""
        at = _position(threshold)
        return ratio(self.tp[at], self.tp[at] + self.fn[at])

    def f1(self, threshold: float = 0.5) -> float:
        """2 TP / (2 TP + FP + FN); 1 where nothing is to find and nothing was found. Also called DQ."""
        at = _position(threshold)
        return ratio(2 * self.tp[at], 2 * self.tp[at] + self.fp[at] + self.fn[at], empty=1.0)

    def ap(self, threshold: float = 0.5) -> float:
        """TP / (TP + FP + FN); 1 where nothing is to find and nothing was found."""
        at = _position(threshold)
        return ratio(self.tp[at], self.tp[at] + self.fp[at] + self.fn[at], empty=1.0)

    @property
    def mean_ap(self) -> float:
        """The mean of AP over the ten thresholds."""
        return sum(self.ap(threshold) for threshold in THRESHOLDS) / len(THRESHOLDS)

    @property
    def pq(self) -> float:
        """Panoptic quality: summed IoU of matches at 0.5 / (TP + FP / 2 + FN / 2); 1 as for F1."""
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
        InputError: not two label images of one shape.
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
            f"an IoU threshold of {threshold} was not counted: choose one of "
            f"{', '.join(f'{known:.2f}' for known in THRESHOLDS)}."
        )
    return THRESHOLDS.index(threshold)
