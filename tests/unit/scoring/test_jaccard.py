"""The aggregated Jaccard index on pictures small enough to count by hand."""

import numpy as np

from nucbatch.scoring.jaccard import AggregatedJaccard, aggregated_jaccard
from nucbatch.scoring.match import overlaps

EMPTY = np.zeros((2, 4), int)


def index_of(truth, pred):
    return aggregated_jaccard(overlaps(np.array(truth), np.array(pred)))


def test_each_truth_takes_its_best_prediction_and_unused_ones_add_to_the_union():
    truth = [[1, 1, 1, 0, 2, 2]]
    pred = [[4, 4, 5, 5, 0, 6]]
    # nucleus 1 takes 4 (2 of 3), nucleus 2 takes 6 (1 of 2); 5 is unused and adds 2
    assert index_of(truth, pred) == AggregatedJaccard(2 + 1, 3 + 2 + 2)


def test_two_truths_may_take_one_prediction_which_then_counts_twice():
    assert index_of([[1, 1, 2, 2]], [[9, 9, 9, 9]]) == AggregatedJaccard(2 + 2, 4 + 4)


def test_a_missed_truth_adds_its_area():
    assert index_of([[1, 1, 0, 2]], [[3, 3, 0, 0]]) == AggregatedJaccard(2, 2 + 1)


def test_of_equal_predictions_the_lowest_label_is_taken():
    # Both halves have IoU 0.5 with the nucleus; whichever is taken, the other adds its area.
    assert index_of([[1, 1]], [[7, 3]]) == AggregatedJaccard(1, 2 + 1)


def test_nothing_to_find():
    assert index_of(EMPTY, EMPTY).value == 1.0
    assert index_of(EMPTY, EMPTY + 1).value == 0.0
    assert index_of(EMPTY + 1, EMPTY).value == 0.0


def test_sums_add_over_images():
    assert (AggregatedJaccard(3, 4) + AggregatedJaccard(0, 8)).value == 0.25
