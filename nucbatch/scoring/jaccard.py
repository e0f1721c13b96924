"""The aggregated Jaccard index (AJI): a ratio of pixels in which each wrong nucleus counts by its area.

It is Algorithm 1 of Kumar et al. (A dataset and a technique for generalized nuclear segmentation, IEEE
Transactions on Medical Imaging 36, 2017). Each true nucleus takes the prediction with the highest IoU, even
if another has taken it already; predictions that none takes add their area to the union. Later programs
assign each prediction at most once, and report other figures under the same name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nucbatch.scoring.match import Overlaps, iou
from nucbatch.scoring.pixel import ratio


@dataclass(frozen=True, slots=True)
class AggregatedJaccard:
    """Intersection and union in pixels, whose ratio is the index. Adds over images."""

    intersection_px: int = 0
    union_px: int = 0

    def __add__(self, other: AggregatedJaccard) -> AggregatedJaccard:
        return AggregatedJaccard(self.intersection_px + other.intersection_px, self.union_px + other.union_px)

    @property
    def value(self) -> float:
        """AJI, 0 to 1; 1 if there is no nucleus on either side."""
        return ratio(self.intersection_px, self.union_px, empty=1.0)


def aggregated_jaccard(table: Overlaps) -> AggregatedJaccard:
    """The sums of one image from its overlaps. Of predictions with equal IoU the lowest label is taken."""
    by_truth = np.lexsort((table.pred_index, -iou(table), table.truth_index))
    matched, first = np.unique(table.truth_index[by_truth], return_index=True)
    best = by_truth[first]
    taken = table.pred_index[best]
    intersection = int(table.pair_areas_px[best].sum())
    missed = np.ones(len(table.truth_labels), bool)
    missed[matched] = False
    unused = np.ones(len(table.pred_labels), bool)
    unused[taken] = False
    union = int(table.truth_areas_px[matched].sum() + table.pred_areas_px[taken].sum()) - intersection
    union += int(table.truth_areas_px[missed].sum() + table.pred_areas_px[unused].sum())
    return AggregatedJaccard(intersection, union)
