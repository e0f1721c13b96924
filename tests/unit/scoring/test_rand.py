"""The Rand error equals scikit-image's, in both readings of the predicted background."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import adapted_rand_error

from nucbatch.scoring.match import overlaps
from nucbatch.scoring.rand import RandCounts, rand_counts

LABELS = arrays(np.int64, (6, 7), elements=st.integers(0, 4))


def background_alone(pred):
    """Labels in which every background pixel is a segment of its own."""
    background = pred == 0
    return np.where(background, pred.max() + np.cumsum(background).reshape(pred.shape), pred)


@settings(max_examples=80, deadline=None)
@given(LABELS, LABELS)
def test_both_errors_equal_scikit_image(truth, pred):
    assume(max(np.bincount(truth[truth > 0], minlength=1)) > 1)
    counts = rand_counts(overlaps(truth, pred))
    assume((pred[truth > 0] > 0).any())  # else scikit-image divides zero by zero in its precision
    expected = adapted_rand_error(truth, background_alone(pred))[0] if counts.pred else 1.0
    assert counts.error == pytest.approx(expected, abs=1e-12)
    if counts.pred + counts.background:
        assert counts.adapted_error == pytest.approx(adapted_rand_error(truth, pred)[0], abs=1e-12)


def test_the_same_nuclei_under_other_numbers_have_no_error():
    truth = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    counts = rand_counts(overlaps(truth, np.where(truth, 9 - truth, 0)))
    assert (counts.error, counts.adapted_error) == (0.0, 0.0)


def test_one_merged_pair_by_hand():
    counts = rand_counts(overlaps(np.array([[1, 1, 2, 2]]), np.array([[1, 1, 1, 1]])))
    assert (counts.both, counts.truth, counts.pred) == (2 + 2, 2 + 2, 12)
    assert counts.error == 1 - 2 * 4 / 16


def test_predictions_outside_true_nuclei_do_not_count():
    truth = np.array([[1, 1, 0, 0]])
    assert rand_counts(overlaps(truth, np.array([[3, 3, 3, 4]]))).error == 0.0


def test_nothing_found_is_all_wrong_unless_background_is_a_segment():
    counts = rand_counts(overlaps(np.ones((2, 2), int), np.zeros((2, 2), int)))
    assert (counts.error, counts.adapted_error) == (1.0, 0.0)


def test_nothing_to_find_is_undefined():
    counts = rand_counts(overlaps(np.zeros((2, 2), int), np.ones((2, 2), int)))
    assert math.isnan(counts.error)
    assert math.isnan(counts.adapted_error)


def test_pairs_of_huge_nuclei_do_not_overflow():
    total = sum([RandCounts(truth=2**62, pred=2**62, both=2**62)] * 4, RandCounts())
    assert total.truth == 2**64
    assert total.error == 0.0
