"""Counts nuclei that are split into parts and nuclei that are merged, by majority of area.

A prediction lies *in* the true nucleus that holds more than half of its area. A true nucleus in which two or
more predictions lie is split. Likewise, a true nucleus lies in the prediction that holds more than half of
it, and a prediction in which two or more true nuclei lie is a merge. Exactly half is no majority. The
background can hold a majority too; nuclei that lie in it belong to no split and no merge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nucbatch.scoring.match import Ints, Overlaps


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """Number of split true nuclei and of merging predictions. Adds over images."""

    splits: int = 0
    merges: int = 0

    def __add__(self, other: SplitCounts) -> SplitCounts:
        return SplitCounts(self.splits + other.splits, self.merges + other.merges)


@dataclass(frozen=True, slots=True)
class Majorities:
    """Which label lies in which, as positions in the arrays of :class:`Overlaps`; -1 for none.

    ``pred_in`` (P,): the true nucleus that holds most of each prediction. ``truth_in`` (T,): the prediction
    that holds most of each true nucleus. All int64.
    """

    pred_in: Ints
    truth_in: Ints

    @property
    def split_truths(self) -> Ints:
        """Positions of the true nuclei in which two or more predictions lie."""
        return _held_twice(self.pred_in)

    @property
    def merging_preds(self) -> Ints:
        """Positions of the predictions in which two or more true nuclei lie."""
        return _held_twice(self.truth_in)


def majorities(table: Overlaps) -> Majorities:
    """The majorities of an image, from its overlaps."""
    pred_in = np.full(len(table.pred_labels), -1, np.int64)
    most = 2 * table.pair_areas_px > table.pred_areas_px[table.pred_index]
    pred_in[table.pred_index[most]] = table.truth_index[most]
    truth_in = np.full(len(table.truth_labels), -1, np.int64)
    most = 2 * table.pair_areas_px > table.truth_areas_px[table.truth_index]
    truth_in[table.truth_index[most]] = table.pred_index[most]
    return Majorities(pred_in, truth_in)


def split_counts(table: Overlaps) -> SplitCounts:
    """Splits and merges of one image from its overlaps."""
    found = majorities(table)
    return SplitCounts(len(found.split_truths), len(found.merging_preds))


def _held_twice(holders: Ints) -> Ints:
    return np.flatnonzero(np.bincount(holders[holders >= 0]) >= 2)
