"""Warping error and pixel error: errors that remain when borders may be slightly displaced.

These apply the binary metrics of the ISBI 2012 challenge (the U-Net paper's Table 1) to label images. The
challenge scored maps of cells (foreground) separated by membranes (background). Such a map is made from
labels: a pixel is foreground if it has a label and none of its four neighbours has another label, so that a
line of two pixels separates touching nuclei.

*Warping error* (Jain et al., Boundary learning by optimization with topological constraints, CVPR 2010): the
true map is changed towards the predicted one, one simple pixel after another (see ``topology``), so that no
object or hole is created, lost, cut or joined. The pixels that still differ are topological errors. Their
share of all pixels is the *total* warping error; the challenge's own counts only pixels whose change would
cut an object or join two. The best warp is not searched for: as in the challenge's program, pixels are
changed until no change is left. A dividing line that is displaced by more than its width can't be reached by
simple pixels, and counts as a merge and a split.

*Pixel error* is 1 - F1 of the two maps' foreground, as in the challenge.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cc3d
import numpy as np
import numpy.typing as npt

from nucbatch.scoring.match import require_labels
from nucbatch.scoring.pixel import PixelCounts, pixel_counts, ratio
from nucbatch.scoring.topology import PIECES, SIMPLE, Mask, offsets, splits_and_merges, warp


@dataclass(frozen=True, slots=True)
class WarpingCounts:
    """Pixels on which the warped truth and the prediction still differ. Adds over images.

    ``left``: all pixels that differ after warping; of these ``splits`` would cut an object and ``merges``
    would join two. ``maps``: confusion counts of the two maps before warping.
    """

    left: int = 0
    splits: int = 0
    merges: int = 0
    maps: PixelCounts = field(default_factory=PixelCounts)

    def __add__(self, other: WarpingCounts) -> WarpingCounts:
        return WarpingCounts(
            self.left + other.left,
            self.splits + other.splits,
            self.merges + other.merges,
            self.maps + other.maps,
        )

    @property
    def error(self) -> float:
        """The challenge's warping error: pixels of splits and merges over all pixels; NaN without pixels."""
        return ratio(self.splits + self.merges, self.maps.total)

    @property
    def total_error(self) -> float:
        """Jain et al.'s error: remaining pixels over all pixels, with missed and false objects and holes."""
        return ratio(self.left, self.maps.total)

    @property
    def pixel_error(self) -> float:
        """1 - F1 of the maps before warping; 0 if neither has foreground."""
        return 1 - self.maps.f1


def warping_counts(
    truth: npt.NDArray[np.integer], pred: npt.NDArray[np.integer], ignored_px: int = 0
) -> WarpingCounts:
    """Counts of one image.

    Args:
        truth: labels (Y, X), any integer dtype, 0 is background.
        pred: labels (Y, X), the same shape.
        ignored_px: pixels that are background on both sides and don't count.

    Raises:
        InputError: the arrays are not two label images of one shape.
    """
    require_labels(truth, pred)
    true_map, found_map = parted(truth), parted(pred)
    left, splits, merges = warped_difference(true_map, found_map)
    maps = pixel_counts(true_map, found_map)
    return WarpingCounts(left, splits, merges, replace(maps, tn=maps.tn - ignored_px))


def parted(labels: npt.NDArray[np.integer]) -> Mask:
    """Map (Y, X) uint8 of labels (Y, X): 1 where a pixel has a label and no 4-neighbour has another label."""
    foreground = labels != 0
    result: Mask = np.asarray(foreground, np.uint8)
    # Rows, then columns by the same code on transposed views.
    for near, inside, target in ((labels, foreground, result), (labels.T, foreground.T, result.T)):
        touching = (near[1:] != near[:-1]) & inside[1:] & inside[:-1]
        target[1:][touching] = 0
        target[:-1][touching] = 0
    return result


def warped_difference(source: Mask, target: Mask) -> tuple[int, int, int]:
    """Pixels that differ after warping ``source`` to ``target``, and how many of these are splits and merges.

    Args:
        source, target: maps (Y, X) uint8 of 0 and 1.
    """
    moving, fixed = np.pad(source, 1), np.pad(target, 1)
    around = offsets(moving.shape[1])
    flat, goal = moving.ravel(), fixed.ravel()
    differing = np.flatnonzero(flat != goal)
    left = len(differing) - warp(flat, goal, SIMPLE, around, differing)
    if not left:
        return 0, 0, 0
    differing = np.flatnonzero(flat != goal)
    objects = cc3d.connected_components(moving, connectivity=4, out_dtype=np.uint32)
    grounds = cc3d.connected_components(1 - moving, connectivity=8, out_dtype=np.uint32)
    splits, merges = splits_and_merges(flat, objects.ravel(), grounds.ravel(), PIECES, around, differing)
    return left, int(splits), int(merges)
