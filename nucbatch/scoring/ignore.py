"""Leaves out pixels of unknown truth, and the nuclei that lie mostly in them.

The rules are those of *void* pixels in panoptic quality (Kirillov et al., Panoptic Segmentation, CVPR 2019,
section 4.1), which correspond to crowd regions in COCO's evaluation (``iscrowd``):

1. A true nucleus of which more than half is ignored counts neither as hit nor as missed, and all its pixels
are ignored as well.

2. Ignored pixels are removed from both sides before areas and IoU are computed, and from the pixel figures.

3. A predicted nucleus of which more than half is ignored, and which matches no true one above an IoU of 0.5
in the remaining pixels, is left out and does not count as false.

Exactly half is not more than half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError
from nucbatch.scoring.match import matches, overlaps, require_labels
from nucbatch.scoring.pixel import PixelCounts, pixel_counts

Labels = npt.NDArray[np.integer]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Counted:
    """The part of two label images of one shape that counts.

    ``truth``, ``pred`` (Y, X): labels in which everything left out is background. ``pixels`` (Y, X): the
    prediction without the ignored pixels alone, for pixel figures. ``void`` (Y, X) bool: the pixels that
    don't count, None if all do.
    """

    truth: Labels
    pred: Labels
    pixels: Labels
    void: Mask | None = None

    @property
    def ignored_px(self) -> int:
        """Number of pixels that don't count."""
        return 0 if self.void is None else int(np.count_nonzero(self.void))

    def pixel_counts(self) -> PixelCounts:
        """Confusion counts of the pixels that count."""
        if self.void is None:
            return pixel_counts(self.truth, self.pred)
        return pixel_counts(self.truth[~self.void], self.pixels[~self.void])


def leave_out(truth: Labels, pred: Labels, ignore: npt.NDArray[np.generic] | None) -> Counted:
    """Applies the rules above to labels (Y, X); ``ignore`` (Y, X) is not 0 where the truth is unknown.

    Raises:
        InputError: the arrays are not two label images of one shape, or the mask has another shape.
    """
    require_labels(truth, pred)
    if ignore is None:
        return Counted(truth, pred, pred)
    if ignore.shape != truth.shape or ignore.dtype.kind not in "bui":
        raise InputError(
            f"the mask of ignored pixels is {ignore.dtype} of shape {ignore.shape}: it must hold integers, 0 "
            f"where the truth counts, in the truth's shape, {truth.shape}."
        )
    void = ignore != 0
    if not void.any():
        return Counted(truth, pred, pred)
    void = void | np.isin(truth, _mostly_in(truth, void))
    true = np.where(void, 0, truth)
    found = np.where(void, 0, pred)
    table = overlaps(true, found)
    matched = table.pred_labels[table.pred_index[matches(table)]]
    dropped = np.setdiff1d(_mostly_in(pred, void), matched)
    return Counted(true, np.where(np.isin(found, dropped), 0, found), found, void)


def _mostly_in(labels: Labels, void: Mask) -> Labels:
    """The labels of which more than half of the area is void."""
    table = overlaps(labels, void.astype(np.uint8))
    most = 2 * table.pair_areas_px > table.truth_areas_px[table.truth_index]
    return table.truth_labels[table.truth_index[most]]
