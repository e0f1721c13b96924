"""The Rand error: of two pixels of true nuclei, do both sides agree on whether they are of one nucleus?

Decided here: both published readings are kept, under two names, because they differ in what the predicted
background is. Either way only pixels of true nuclei count, pairs are of two different pixels, and the error
is 1 - F, where F is the harmonic mean of precision and recall over pairs said to be of one nucleus.

*Rand error* is the ISBI 2012 challenge's, the one of the U-Net paper (Arganda-Carreras et al., Crowdsourcing
the creation of image segmentation algorithms for connectomics, Frontiers in Neuroanatomy 9, 2015, and the
challenge's foreground-restricted score): predicted background belongs to no segment, so two of its pixels are
a pair of nothing. *Adapted Rand error* takes the predicted background as one more segment, as scikit-image's
``adapted_rand_error`` does. The challenge minimised over thresholds of a probability map; labels have none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nucbatch.scoring.match import Ints, Overlaps
from nucbatch.scoring.pixel import ratio


@dataclass(frozen=True, slots=True)
class RandCounts:
    """Ordered pairs of different pixels within true nuclei. Adds over images.

    ``truth``, ``pred``: in one true nucleus; in one predicted. ``both``: in one of each. The predicted
    background adds ``background`` to the pairs of the prediction, and ``background_both`` to those of both.
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
        """The challenge's Rand error, 0 to 1; NaN where no true nucleus has two pixels."""
        return 1 - ratio(2 * self.both, self.truth + self.pred) if self.truth else float("nan")

    @property
    def adapted_error(self) -> float:
        """The same with the predicted background as a segment; NaN as above."""
        both, pred = self.both + self.background_both, self.pred + self.background
        return 1 - ratio(2 * both, self.truth + pred) if self.truth else float("nan")


def rand_counts(table: Overlaps) -> RandCounts:
    """Pairs of one image from its overlaps."""
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
    """Ordered pairs of different pixels in one segment, summed; in Python's integers, which have no end."""
    squares = np.dot(areas_px.astype(object), areas_px.astype(object)) if len(areas_px) else 0
    return int(squares) - int(areas_px.sum())
