"""The Rand error: whether both sides agree that two pixels of true nuclei belong to the same nucleus.

Two published definitions are computed, because they differ in how they treat the predicted background. In
both, only pixels of true nuclei count, pairs consist of two different pixels, and the error is 1 - F, where F
is the harmonic mean of precision and recall over pairs assigned to one nucleus.

*Rand error* is that of the ISBI 2012 challenge and the U-Net paper (Arganda-Carreras et al., Crowdsourcing
the creation of image segmentation algorithms for connectomics, Frontiers in Neuroanatomy 9, 2015; the
challenge's foreground-restricted score): predicted background belongs to no segment, so two of its pixels are
not a pair. *Adapted Rand error* treats the predicted background as one more segment, as scikit-image's
``adapted_rand_error`` does. The challenge minimised over thresholds of a probability map; labels have no
threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nucbatch.scoring.match import Ints, Overlaps
from nucbatch.scoring.pixel import ratio


@dataclass(frozen=True, slots=True)
class RandCounts:
    """Ordered pairs of different pixels within true nuclei. Adds over images.

    ``truth``: pairs in one true nucleus; ``pred``: in one predicted nucleus; ``both``: in one of each. The
    predicted background adds ``background`` to the pairs of the prediction, and ``background_both`` to those
    of both.
    """

    both: int = 0
    truth: int = 0
    pred: int = 0
    background_both: int = 0
    background: int = 0

    def __add__(self, other: RandCounts) -> RandCounts:
        return RandCounts(
            self.both + other.both,
            self.truth + other.truth,
            self.pred + other.pred,
            self.background_both + other.background_both,
            self.background + other.background,
        )

    @property
    def error(self) -> float:
        """The challenge's Rand error, 0 to 1; NaN if no true nucleus has two pixels."""
        return 1 - ratio(2 * self.both, self.truth + self.pred) if self.truth else float("nan")

    @property
    def adapted_error(self) -> float:
        """The same with the predicted background as a segment; NaN likewise."""
        both, pred = self.both + self.background_both, self.pred + self.background
        return 1 - ratio(2 * both, self.truth + pred) if self.truth else float("nan")


def rand_counts(table: Overlaps) -> RandCounts:
    """Pair counts of one image from its overlaps."""
    within = np.zeros(len(table.pred_labels), np.int64)
    np.add.at(within, table.pred_index, table.pair_areas_px)
    uncovered = table.truth_areas_px.copy()
    np.subtract.at(uncovered, table.truth_index, table.pair_areas_px)
    return RandCounts(
        both=_pairs(table.pair_areas_px),
        truth=_pairs(table.truth_areas_px),
        pred=_pairs(within),
        background_both=_pairs(uncovered),
        background=_pairs(uncovered.sum(keepdims=True)),
    )


def _pairs(areas_px: Ints) -> int:
    """Ordered pairs of different pixels in one segment, summed as Python integers, which can't overflow."""
    squares = np.dot(areas_px.astype(object), areas_px.astype(object)) if len(areas_px) else 0
    return int(squares) - int(areas_px.sum())
