"""Pixel figures equal scikit-learn's, and what they are worth where nothing is to find."""

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, precision_score, recall_score

from nucbatch.core.errors import InputError
from nucbatch.scoring import PixelCounts, pixel_counts


@pytest.mark.parametrize("seed", range(5))
def test_figures_equal_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    truth, pred = rng.integers(0, 4, (2, 31, 17)) // 2
    counts = pixel_counts(truth, pred)
    flat = truth.ravel(), pred.ravel()
    assert counts.accuracy == pytest.approx(accuracy_score(*flat), abs=1e-15)
    assert counts.precision == pytest.approx(precision_score(*flat), abs=1e-15)
    assert counts.recall == pytest.approx(recall_score(*flat), abs=1e-15)
    assert counts.f1 == pytest.approx(f1_score(*flat), abs=1e-15)
    assert counts.jaccard == pytest.approx(jaccard_score(*flat), abs=1e-15)


def test_counts_add_before_they_divide():
    rng = np.random.default_rng(7)
    truth, pred = rng.integers(0, 2, (2, 20, 20))
    halves = pixel_counts(truth[:7], pred[:7]) + pixel_counts(truth[7:], pred[7:])
    assert halves == pixel_counts(truth, pred)


def test_labels_count_as_foreground_whatever_their_number():
    assert pixel_counts(np.array([[0, 5, 9]]), np.array([[True, True, False]])) == PixelCounts(1, 1, 1, 0)


def test_nothing_to_find_and_nothing_found():
    counts = pixel_counts(np.zeros((3, 3), int), np.zeros((3, 3), int))
    assert (counts.accuracy, counts.f1, counts.jaccard) == (1.0, 1.0, 1.0)
    assert math.isnan(counts.precision)
    assert math.isnan(counts.recall)


def test_nothing_to_find_and_all_found():
    counts = pixel_counts(np.zeros((3, 3), int), np.ones((3, 3), int))
    assert (counts.accuracy, counts.precision, counts.f1, counts.jaccard) == (0.0, 0.0, 0.0, 0.0)
    assert math.isnan(counts.recall)


def test_probabilities_and_other_shapes_are_refused():
    with pytest.raises(InputError, match=r"float64.*Threshold"):
        pixel_counts(np.zeros((2, 2), int), np.zeros((2, 2)))
    with pytest.raises(InputError, match=r"\(2, 2\).*\(2, 3\)"):
        pixel_counts(np.zeros((2, 2), int), np.zeros((2, 3), int))
