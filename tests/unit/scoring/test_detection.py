"""Object figures on pictures small enough to count by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nucbatch.core.errors import InputError
from nucbatch.scoring import THRESHOLDS, ObjectCounts, object_counts
from nucbatch.scoring.match import matches, overlaps

LABELS = arrays(np.int32, (6, 8), elements=st.integers(0, 4))
EMPTY = np.zeros((4, 4), int)


def test_thresholds_are_the_ten_decimals():
    assert THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def test_empty_and_empty_is_perfect():
    counts = object_counts(EMPTY, EMPTY)
    assert (counts.truth, counts.predicted, counts.count_error) == (0, 0, 0)
    assert (counts.f1(), counts.ap(), counts.mean_ap, counts.pq, counts.dq) == (1.0,) * 5
    assert math.isnan(counts.precision())
    assert math.isnan(counts.recall())
    assert math.isnan(counts.sq)


def test_one_invented_nucleus():
    counts = object_counts(EMPTY, np.ones((4, 4), int))
    assert (counts.tp[0], counts.fp[0], counts.fn[0], counts.count_error) == (0, 1, 0, 1)
    assert (counts.precision(), counts.f1(), counts.mean_ap, counts.pq) == (0.0,) * 4
    assert math.isnan(counts.recall())


def test_one_missed_nucleus():
    counts = object_counts(np.ones((4, 4), int), EMPTY)
    assert (counts.tp[0], counts.fp[0], counts.fn[0], counts.count_error) == (0, 0, 1, -1)
    assert counts.recall() == 0.0
    assert math.isnan(counts.precision())


def test_the_same_nuclei_under_other_numbers_are_perfect():
    truth = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    counts = object_counts(truth, np.where(truth, 9 - truth, 0))
    assert counts.tp == (2,) * 10
    assert (counts.f1(0.95), counts.mean_ap, counts.pq, counts.sq) == (1.0,) * 4


def test_two_equal_nuclei_merged_are_two_missed_and_one_invented():
    counts = object_counts(np.array([[1, 1, 2, 2]]), np.array([[1, 1, 1, 1]]))
    assert (counts.tp[0], counts.fp[0], counts.fn[0]) == (0, 1, 2)


def test_a_speck_merged_into_a_nucleus_costs_the_speck_alone():
    counts = object_counts(np.array([[1, 1, 1, 2]]), np.array([[1, 1, 1, 1]]))
    assert (counts.tp[0], counts.fp[0], counts.fn[0]) == (1, 0, 1)
    assert counts.iou_sum[0] == 0.75
    # 0.75 is not above 0.75
    assert counts.tp == (1,) * 5 + (0,) * 5
    assert counts.ap(0.5) == 0.5
    assert counts.mean_ap == pytest.approx(0.25)
    assert counts.pq == 0.75 / 1.5
    assert counts.pq == pytest.approx(counts.sq * counts.dq)


def test_an_overlap_of_exactly_half_is_no_match():
    counts = object_counts(np.array([[1, 1]]), np.array([[1, 0]]))
    assert (counts.tp[0], counts.fp[0], counts.fn[0]) == (0, 1, 1)


@pytest.mark.parametrize("threshold", range(10))
def test_no_threshold_is_met_by_rounding(threshold):
    """A nucleus that covers exactly k/20 of another doesn't pass the threshold k/20, one pixel more does."""
    filled = 10 + threshold
    truth = np.ones((20, 20), int)
    pred = np.zeros((20, 20), int)
    pred[:filled] = 1
    assert object_counts(truth, pred).tp[threshold] == 0
    pred[-1, 0] = 1
    assert object_counts(truth, pred).tp[threshold] == 1


@settings(max_examples=60, deadline=None)
@given(LABELS, LABELS, LABELS, LABELS)
def test_counts_add_over_images(truth, pred, other_truth, other_pred):
    total = object_counts(truth, pred) + object_counts(other_truth, other_pred)
    side_by_side = object_counts(
        np.hstack([truth, np.where(other_truth, other_truth + 10, 0)]),
        np.hstack([pred, np.where(other_pred, other_pred + 10, 0)]),
    )
    assert (total.tp, total.fp, total.fn) == (side_by_side.tp, side_by_side.fp, side_by_side.fn)
    assert total.iou_sum == pytest.approx(side_by_side.iou_sum)
    assert total + ObjectCounts() == total


@settings(max_examples=60, deadline=None)
@given(LABELS, LABELS)
def test_counts_are_the_matches_and_swapping_sides_swaps_misses(truth, pred):
    counts = object_counts(truth, pred)
    table = overlaps(truth, pred)
    assert counts.tp == tuple(len(matches(table, threshold)) for threshold in THRESHOLDS)
    swapped = object_counts(pred, truth)
    assert (swapped.tp, swapped.fp, swapped.fn) == (counts.tp, counts.fn, counts.fp)
    assert all(now >= later for now, later in zip(counts.tp, counts.tp[1:], strict=False))


def test_a_threshold_that_was_not_counted_is_refused():
    with pytest.raises(InputError, match=r"0\.52.*0\.50, 0\.55"):
        ObjectCounts().f1(0.52)
