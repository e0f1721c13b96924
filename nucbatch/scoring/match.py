"""Matches predicted nuclei with true ones: intersection over union strictly above 0.5.

Two labels of one image can't both cover more than half of the union with a third, so matches above 0.5 are
unique and no assignment problem has to be solved (Kirillov et al., Panoptic Segmentation, CVPR 2019, section
4.1). A pair at exactly the threshold does **not** match: at exactly 0.5 one true nucleus could have two
partners (its two halves), and the same strict rule is used at every higher threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Overlaps:
    """The sparse contingency table of two label images of one shape; all areas in pixels.

    ``truth_labels`` (T,), ``pred_labels`` (P,): the labels present, ascending, without the background.
    ``truth_areas_px`` (T,), ``pred_areas_px`` (P,): their areas.
    ``truth_index``, ``pred_index``, ``pair_areas_px`` (K,): one entry per pair that shares a pixel, as
    positions in the arrays above, ordered by (truth, pred). All int64 except the labels.
    """

    truth_labels: npt.NDArray[np.integer]
    pred_labels: npt.NDArray[np.integer]
    truth_areas_px: Ints
    pred_areas_px: Ints
    truth_index: Ints
    pred_index: Ints
    pair_areas_px: Ints


def overlaps(truth: npt.NDArray[np.integer], pred: npt.NDArray[np.integer]) -> Overlaps:
    """Areas and shared areas of all labels of two images.

    Pairs of labels change only at the edges of nuclei, so runs along the raster are sorted instead of pixels.

    Args:
        truth: labels (Y, X), any integer dtype, 0 is background.
        pred: labels (Y, X), any integer dtype, 0 is background.

    Raises:
        InputError: the arrays are not two label images of one shape.
    """
    require_labels(truth, pred)
    flat_truth, flat_pred = truth.ravel(), pred.ravel()
    if flat_truth.size == 0:
        starts = np.zeros(0, np.int64)
    else:
        changes = flat_truth[1:] != flat_truth[:-1]
        changes |= flat_pred[1:] != flat_pred[:-1]
        starts = np.concatenate([np.zeros(1, np.int64), np.flatnonzero(changes) + 1])
    lengths = np.diff(starts, append=flat_truth.size)
    truth_labels, truth_of_run = np.unique(flat_truth[starts], return_inverse=True)
    pred_labels, pred_of_run = np.unique(flat_pred[starts], return_inverse=True)

    keys = truth_of_run.astype(np.int64) * max(len(pred_labels), 1) + pred_of_run
    order = np.argsort(keys, kind="stable")
    pairs, begins = np.unique(keys[order], return_index=True)
    areas = np.add.reduceat(lengths[order], begins) if len(begins) else np.zeros(0, np.int64)
    truth_index, pred_index = np.divmod(pairs, max(len(pred_labels), 1))

    truth_areas = _sums(truth_index, areas, len(truth_labels))
    pred_areas = _sums(pred_index, areas, len(pred_labels))
    # Labels ascend and none is negative, so the background comes first if it is present.
    skip_truth = int(len(truth_labels) > 0 and truth_labels[0] == 0)
    skip_pred = int(len(pred_labels) > 0 and pred_labels[0] == 0)
    both = (truth_index >= skip_truth) & (pred_index >= skip_pred)
    return Overlaps(
        truth_labels[skip_truth:],
        pred_labels[skip_pred:],
        truth_areas[skip_truth:],
        pred_areas[skip_pred:],
        truth_index[both] - skip_truth,
        pred_index[both] - skip_pred,
        areas[both],
    )


def iou(table: Overlaps) -> Floats:
    """Intersection over union of each overlapping pair: (K,) float64 in (0, 1], in the table's order."""
    union = (
        table.truth_areas_px[table.truth_index] + table.pred_areas_px[table.pred_index] - table.pair_areas_px
    )
    return np.asarray(table.pair_areas_px / union, np.float64)


def matches(table: Overlaps, threshold: float = 0.5) -> Ints:
    """Positions (M,) int64 of the matching pairs: those with an IoU strictly above ``threshold``.

    Each true and each predicted label is in at most one pair.

    Raises:
        InputError: the threshold is below 0.5, where matches would not be unique, or not below 1.
    """
    if not 0.5 <= threshold < 1:
        raise InputError(
            f"the IoU threshold is {threshold}: it must be at least 0.5, for unique matches, and below 1."
        )
    return np.flatnonzero(iou(table) > threshold)


def require_labels(truth: npt.NDArray[np.generic], pred: npt.NDArray[np.generic]) -> None:
    """Checks that two arrays are label images of one shape.

    Raises:
        InputError: an array is not (Y, X), not of integers or has negative labels, or the shapes differ.
    """
    for role, labels in (("truth", truth), ("prediction", pred)):
        if labels.ndim != 2:
            raise InputError(
                f"the {role} has shape {labels.shape}: label images are (Y, X), one number per nucleus. "
                "Colour images of masks can't be scored; save the labels as integers."
            )
        if not np.issubdtype(labels.dtype, np.integer):
            raise InputError(
                f"the {role} has pixels of type {labels.dtype}: labels are integers, 0 for background and "
                "another number for each nucleus. Number the nuclei of a mask first."
            )
        if np.issubdtype(labels.dtype, np.signedinteger) and labels.size and labels.min() < 0:
            raise InputError(
                f"the {role} has a negative label, {labels.min()}: labels count from 1, 0 is background."
            )
    if truth.shape != pred.shape:
        raise InputError(
            f"the truth is {_size(truth)} and the prediction {_size(pred)}: they must have the same size. "
            "Were both made from the same image, without resizing?"
        )


def _size(labels: npt.NDArray[np.generic]) -> str:
    return f"{labels.shape[0]} × {labels.shape[1]} px (height × width)"


def _sums(index: Ints, values: Ints, count: int) -> Ints:
    totals = np.zeros(count, np.int64)
    np.add.at(totals, index, values)
    return totals
