"""Pairs the nuclei that two overlapping fields have in common.

1. The offset between recorded and true position is estimated: the shift at which most nuclei of the common
   strip coincide. Stages err by a few pixels, cameras are slightly turned, and pixel sizes are rounded.
2. At this offset, nuclei are paired whose bounding boxes, cut to the strip, overlap by at least half (IoU),
   each being the other's best. So a nucleus that one field's edge cuts is paired with the whole one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from nucbatch.experiment.field_layout import FieldRectangle

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_REACH_PX, _REACH_SHARE = 30.0, 0.03  # of a field's side: a camera turned by 1.7 degrees
_LEAST_IOU = 0.5
_AGREEMENT = 0.25  # in nuclear diameters: shifts that differ by less vote for the same offset


@dataclass(frozen=True, slots=True)
class FieldNuclei:
    """Those nuclei of a field that may lie in another field too; lengths in micrometres on the stage.

    Attributes:
        rectangle: the field.
        labels: (N,) numbers of the nuclei in the field.
        boxes: (N, 4) top, left, bottom and right of their bounding boxes.
        centers: (N, 2) their centroids (y, x).
        areas: (N,) their areas.
        cut: (N,) whether the field's edge may cut the nucleus.
    """

    rectangle: FieldRectangle
    labels: Ints
    boxes: Floats
    centers: Floats
    areas: Floats
    cut: Bools

    def only(self, chosen: Bools) -> FieldNuclei:
        """Returns the chosen nuclei (N,)."""
        return FieldNuclei(
            self.rectangle,
            self.labels[chosen],
            self.boxes[chosen],
            self.centers[chosen],
            self.areas[chosen],
            self.cut[chosen],
        )

    @classmethod
    def joined(cls, parts: Sequence[FieldNuclei]) -> FieldNuclei:
        """Joins parts of one field; at least one."""
        return cls(
            parts[0].rectangle,
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.centers for part in parts]),
            np.concatenate([part.areas for part in parts]),
            np.concatenate([part.cut for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Pairing:
    """Nuclei that two fields have in common.

    Attributes:
        of_a: (P,) index of each pair's nucleus in the first field.
        of_b: (P,) index of each pair's nucleus in the second field.
        iou: (P,) overlap of their boxes within the strip that both fields show.
        in_strip_a: (N,) whether the middle of the first field's nucleus lies in the strip, off its edges.
        in_strip_b: (M,) the same for the second field.
    """

    of_a: Ints
    of_b: Ints
    iou: Floats
    in_strip_a: Bools
    in_strip_b: Bools


def largest_offset(rectangle: FieldRectangle) -> float:
    """Returns the largest offset between recorded and true position that is looked for, in micrometres."""
    side = min(rectangle.bottom - rectangle.top, rectangle.right - rectangle.left)
    return max(_REACH_PX * rectangle.pixel_um, _REACH_SHARE * side)


def pair_nuclei(a: FieldNuclei, b: FieldNuclei, diameter: float) -> Pairing:
    """Pairs the nuclei of two overlapping fields.

    Args:
        a: one field.
        b: the other field.
        diameter: typical diameter of a nucleus in micrometres.
    """
    recorded = _common_part(a.rectangle, b.rectangle, np.zeros(2))
    half_strip = float((recorded[2:] - recorded[:2]).min()) / 2
    reach = min(max(diameter, largest_offset(a.rectangle)), half_strip)
    offset = _offset_between(a.boxes, b.boxes, recorded, reach, _AGREEMENT * diameter)
    moved = b.boxes - np.concatenate([offset, offset])
    strip = _common_part(a.rectangle, b.rectangle, offset)
    of_a, of_b, iou = _best_pairs(a.boxes, moved, strip, diameter)
    margin = min(diameter / 4, float((strip[2:] - strip[:2]).min()) / 8)
    inner = strip + np.array([margin, margin, -margin, -margin])
    return Pairing(of_a, of_b, iou, inside(middles(a.boxes), inner), inside(middles(moved), inner))


def _common_part(a: FieldRectangle, b: FieldRectangle, offset: Floats) -> Floats:
    """Returns the rectangle (top, left, bottom, right) common to two fields, the second moved back."""
    y, x = offset
    return np.array(
        [
            max(a.top, b.top - y),
            max(a.left, b.left - x),
            min(a.bottom, b.bottom - y),
            min(a.right, b.right - x),
        ]
    )


def _offset_between(a: Floats, b: Floats, strip: Floats, reach: float, agreement: float) -> Floats:
    """Returns the shift (y, x) from boxes ``a`` to boxes ``b`` at which most of them coincide.

    Of shifts with the same number of votes the smallest is taken; without nuclei it is 0.
    """
    first, second = (middles(_cut_to(boxes[inside(middles(boxes), strip)], strip)) for boxes in (a, b))
    i, j = _near(first, second, reach)
    shifts = second[j] - first[i]
    if not len(shifts):
        return np.zeros(2)
    tree = cKDTree(shifts)
    votes = tree.query_ball_point(shifts, agreement, return_length=True)
    best = np.lexsort((shifts[:, 1], shifts[:, 0], (shifts**2).sum(axis=1), -votes))[0]
    agreeing = sorted(tree.query_ball_point(shifts[best], agreement))
    return np.asarray(shifts[agreeing].mean(axis=0))


def _best_pairs(a: Floats, b: Floats, strip: Floats, diameter: float) -> tuple[Ints, Ints, Floats]:
    """Pairs the boxes ``a`` (N, 4) and ``b`` (M, 4) within the strip by mutually best overlap.

    Returns:
        Indices in ``a`` and in ``b``, and the overlap (IoU), all (P,).
    """
    first, second = _cut_to(a, strip), _cut_to(b, strip)
    of_a, of_b = np.flatnonzero(_areas(first) > 0), np.flatnonzero(_areas(second) > 0)
    first, second = first[of_a], second[of_b]
    i, j = _near(middles(first), middles(second), diameter)
    common = np.concatenate(
        [np.maximum(first[i, :2], second[j, :2]), np.minimum(first[i, 2:], second[j, 2:])], axis=1
    )
    intersection = _areas(common)
    iou = intersection / (_areas(first)[i] + _areas(second)[j] - intersection)
    good = iou >= _LEAST_IOU
    i, j, iou = i[good], j[good], iou[good]
    mutual = _is_best(i, j, iou) & _is_best(j, i, iou)
    return of_a[i[mutual]], of_b[j[mutual]], iou[mutual]


def _near(a: Floats, b: Floats, reach: float) -> tuple[Ints, Ints]:
    """Returns the indices of all points ``a`` and ``b`` (N, 2) that are at most ``reach`` apart."""
    if not len(a) or not len(b):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    found = cKDTree(a).sparse_distance_matrix(cKDTree(b), reach, output_type="ndarray")
    order = np.lexsort((found["j"], found["i"]))
    return found["i"][order].astype(np.int64), found["j"][order].astype(np.int64)


def _is_best(one: Ints, other: Ints, value: Floats) -> Bools:
    """Whether each pair has the highest value of all with its ``one``; the lowest ``other`` wins ties."""
    order = np.lexsort((other, -value, one))
    ranked = one[order]
    is_first = np.ones(len(ranked), bool)
    is_first[1:] = ranked[1:] != ranked[:-1]
    is_best = np.zeros(len(ranked), bool)
    is_best[order] = is_first
    return is_best


def inside(points: Floats, box: Floats) -> Bools:
    """Whether points (N, 2) lie in a box (top, left, bottom, right), half open."""
    return np.asarray(((points >= box[:2]) & (points < box[2:])).all(axis=1))


def middles(boxes: Floats) -> Floats:
    """Middles (N, 2) of boxes (N, 4)."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _cut_to(boxes: Floats, strip: Floats) -> Floats:
    return np.concatenate([np.maximum(boxes[:, :2], strip[:2]), np.minimum(boxes[:, 2:], strip[2:])], axis=1)


def _areas(boxes: Floats) -> Floats:
    return np.asarray(np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0).prod(axis=1))
