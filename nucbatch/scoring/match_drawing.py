"""Classifies each nucleus of a comparison as hit, missed, false, merged or split, and draws the result.

Each nucleus is of one kind. Merges and splits (see ``splits``) are shown as such, whether or not a part of
them matches at IoU 0.5; of the others, matches are hits and the rest is missed or false. Colours follow Okabe
and Ito, which can be distinguished with any colour vision, and kinds differ in texture too. The drawing is a
separate picture with transparent background. It has a higher resolution than a small image, so that lines
stay thin.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from nucbatch.scoring.match import Overlaps, matches, overlaps
from nucbatch.scoring.splits import majorities

LONGEST_PX = 1024  # of a longer image, the part with most errors is shown
FINEST_PX = 1200  # longest side of the drawing of a small image
_STEP_PX = 128

Labels = npt.NDArray[np.integer]
Bytes = npt.NDArray[np.uint8]
Pixel = TypeVar("Pixel", bound=np.generic)


class MatchKind(IntEnum):
    """The kinds of nuclei in a comparison."""

    HIT = 1
    MISSED = 2
    FALSE = 3
    MERGED = 4
    SPLIT = 5


COLOURS: dict[MatchKind, tuple[int, int, int]] = {
    MatchKind.HIT: (0, 190, 140),
    MatchKind.MISSED: (235, 85, 0),
    MatchKind.FALSE: (86, 180, 233),
    MatchKind.MERGED: (240, 228, 66),
    MatchKind.SPLIT: (240, 150, 205),
}


@dataclass(frozen=True, slots=True)
class MatchKinds:
    """The kind of each label, as :class:`MatchKind` numbers uint8, in the order of the overlaps' arrays.

    ``truth`` (T,), ``pred`` (P,).
    """

    truth: Bytes
    pred: Bytes


def match_kinds(table: Overlaps) -> MatchKinds:
    """The kinds of all true and predicted nuclei of an image, from its overlaps."""
    truth = np.full(len(table.truth_labels), MatchKind.MISSED, np.uint8)
    pred = np.full(len(table.pred_labels), MatchKind.FALSE, np.uint8)
    hits = matches(table)
    truth[table.truth_index[hits]] = MatchKind.HIT
    pred[table.pred_index[hits]] = MatchKind.HIT
    found = majorities(table)
    pred[np.isin(found.pred_in, found.split_truths)] = MatchKind.SPLIT
    truth[found.split_truths] = MatchKind.SPLIT
    truth[np.isin(found.truth_in, found.merging_preds)] = MatchKind.MERGED
    pred[found.merging_preds] = MatchKind.MERGED
    return MatchKinds(truth, pred)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing of the part of an image that is shown.

    ``rows``, ``columns``: the part's place in the image. ``overlay``: (Y·scale, X·scale, 4) uint8 RGBA of
    that part.
    """

    rows: slice
    columns: slice
    overlay: Bytes


def draw(truth: Labels, pred: Labels) -> Drawing:
    """Draws outlines and fills of all kinds, in the part of an image with most errors.

    Args:
        truth: labels (Y, X).
        pred: labels (Y, X), the same shape.

    Raises:
        InputError: the arrays are not two label images of one shape.
    """
    table = overlaps(truth, pred)
    found = match_kinds(table)
    true_kind = _painted(truth, table.truth_labels, found.truth)
    pred_kind = _painted(pred, table.pred_labels, found.pred)
    wrong = (true_kind > MatchKind.HIT) | (pred_kind > MatchKind.HIT)
    rows, columns = most_of(wrong, LONGEST_PX)
    part = rows, columns
    scale = max(1, min(4, FINEST_PX // max(wrong[part].shape)))
    overlay = _overlay(
        _finer(truth[part], scale),
        _finer(pred[part], scale),
        _finer(true_kind[part], scale),
        _finer(pred_kind[part], scale),
        line=1 + scale // 3,
    )
    return Drawing(rows, columns, overlay)


def most_of(mask: npt.NDArray[np.bool_], longest_px: int) -> tuple[slice, slice]:
    """Rows and columns of the window, at most ``longest_px`` a side, that holds most of a mask (Y, X)."""
    height, width = (min(side, longest_px) for side in mask.shape)
    sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)
    sums[1:, 1:] = mask.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    tops = np.unique(np.append(np.arange(0, mask.shape[0] - height, _STEP_PX), mask.shape[0] - height))
    lefts = np.unique(np.append(np.arange(0, mask.shape[1] - width, _STEP_PX), mask.shape[1] - width))
    held = (
        sums[np.ix_(tops + height, lefts + width)]
        - sums[np.ix_(tops, lefts + width)]
        - sums[np.ix_(tops + height, lefts)]
        + sums[np.ix_(tops, lefts)]
    )
    row, column = np.unravel_index(int(held.argmax()), held.shape)
    top, left = int(tops[row]), int(lefts[column])
    return slice(top, top + height), slice(left, left + width)


def _overlay(truth: Labels, pred: Labels, true_kind: Bytes, pred_kind: Bytes, *, line: int) -> Bytes:
    """RGBA (Y, X, 4). Truth and prediction are both outlined where they differ.

    Of hits only the prediction is.
    """
    canvas = np.zeros((*truth.shape, 4), np.uint8)
    row, column = np.ogrid[: truth.shape[0], : truth.shape[1]]
    period = 6 * line
    textures = {
        MatchKind.MISSED: (row + column) % period < line,
        MatchKind.FALSE: np.ones(truth.shape, bool),
        MatchKind.MERGED: (row - column) % period < line,
        MatchKind.SPLIT: (row % period < 2 * line) & (column % period < 2 * line),
    }
    for kind, texture in textures.items():
        # Of a missed nucleus there is only the truth, of a false one only the prediction.
        area = (true_kind == kind) if kind != MatchKind.FALSE else (pred_kind == kind)
        canvas[area & texture] = (*COLOURS[kind], 110 if kind == MatchKind.FALSE else 190)
    true_edges, pred_edges = _edges(truth, line), _edges(pred, line)
    for kind in MatchKind:
        edge = np.zeros(truth.shape, bool)
        if kind in (MatchKind.MISSED, MatchKind.MERGED, MatchKind.SPLIT):
            edge |= true_edges & (true_kind == kind)
        if kind != MatchKind.MISSED:
            edge |= pred_edges & (pred_kind == kind)
        canvas[edge] = (*COLOURS[kind], 255)
    _darken_around(canvas)
    return canvas


def _darken_around(canvas: Bytes) -> None:
    """Draws a thin dark rim along the lines of RGBA (Y, X, 4), so that they are visible on light images."""
    lines = canvas[..., 3] == 255
    rim = np.zeros(lines.shape, bool)
    for near, out in ((lines, rim), (lines.T, rim.T)):
        out[1:] |= near[:-1]
        out[:-1] |= near[1:]
    canvas[rim & (canvas[..., 3] == 0)] = (0, 0, 0, 130)


def _edges(labels: Labels, width: int) -> npt.NDArray[np.bool_]:
    """Pixels (Y, X) within ``width`` of another label or background, inside labels."""
    edge = np.zeros(labels.shape, bool)
    for step in range(1, width + 1):
        for axis in (0, 1):
            near, out = (labels, edge) if axis == 0 else (labels.T, edge.T)
            differs = near[step:] != near[:-step]
            out[step:] |= differs
            out[:-step] |= differs
    edge &= labels != 0
    return edge


def _painted(labels: Labels, present: Labels, kinds: Bytes) -> Bytes:
    """The kind (Y, X) uint8 of each pixel's label, 0 for background."""
    known = np.concatenate([np.zeros(1, present.dtype), present])
    return np.concatenate([np.zeros(1, np.uint8), kinds])[np.searchsorted(known, labels)]


def _finer(plane: npt.NDArray[Pixel], scale: int) -> npt.NDArray[Pixel]:
    return plane.repeat(scale, axis=0).repeat(scale, axis=1)
