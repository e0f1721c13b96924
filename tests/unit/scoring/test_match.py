"""Matching: sparse overlaps, and uniqueness strictly above the threshold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nucbatch.core.errors import InputError
from nucbatch.scoring.match import iou, matches, overlaps

LABELS = arrays(np.uint16, (7, 9), elements=st.integers(0, 5))


def test_overlaps_of_a_drawn_pair():
    truth = np.array([[1, 1, 0, 7], [1, 1, 0, 7]])
    pred = np.array([[0, 3, 3, 9], [0, 3, 3, 0]], np.uint8)
    table = overlaps(truth, pred)
    assert table.truth_labels.tolist() == [1, 7]
    assert table.pred_labels.tolist() == [3, 9]
    assert table.truth_areas_px.tolist() == [4, 2]
    assert table.pred_areas_px.tolist() == [4, 1]
    assert list(zip(table.truth_index, table.pred_index, table.pair_areas_px, strict=True)) == [
        (0, 0, 2),
        (1, 1, 1),
    ]
    assert iou(table).tolist() == [2 / 6, 1 / 2]


@settings(max_examples=60, deadline=None)
@given(LABELS, LABELS)
def test_overlaps_equal_counting_every_pair_of_labels(truth, pred):
    table = overlaps(truth, pred)
    found = {
        (int(table.truth_labels[t]), int(table.pred_labels[p])): int(area)
        for t, p, area in zip(table.truth_index, table.pred_index, table.pair_areas_px, strict=True)
    }
    counted = {
        (t, p): area
        for t in range(1, 6)
        for p in range(1, 6)
        if (area := int(np.count_nonzero((truth == t) & (pred == p))))
    }
    assert found == counted
    assert table.truth_areas_px.tolist() == [int((truth == t).sum()) for t in table.truth_labels]
    assert table.pred_areas_px.tolist() == [int((pred == p).sum()) for p in table.pred_labels]
    assert set(table.truth_labels.tolist()) == set(np.unique(truth).tolist()) - {0}


@settings(max_examples=60, deadline=None)
@given(LABELS, LABELS, st.sampled_from([0.5, 0.55, 0.7, 0.95]))
def test_a_label_matches_at_most_once(truth, pred, threshold):
    table = overlaps(truth, pred)
    at = matches(table, threshold)
    assert len(set(table.truth_index[at].tolist())) == len(at)
    assert len(set(table.pred_index[at].tolist())) == len(at)


def test_exactly_half_matches_neither_half():
    truth = np.array([[1, 1, 1, 1]])
    pred = np.array([[2, 2, 3, 3]])
    table = overlaps(truth, pred)
    assert iou(table).tolist() == [0.5, 0.5]
    assert matches(table).tolist() == []


def test_labels_of_any_integer_width():
    truth = np.array([[0, 2**40 + 1, 2**40]], np.uint64)
    pred = np.array([[0, 200, 200]], np.uint8)
    assert iou(overlaps(truth, pred)).tolist() == [0.5, 0.5]


def test_an_image_without_pixels():
    empty = np.zeros((0, 4), np.int32)
    assert overlaps(empty, empty).pair_areas_px.tolist() == []


@pytest.mark.parametrize(
    ("truth", "pred", "message"),
    [
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8), r"\(4, 4, 3\).*integers"),
        (np.zeros((4, 4)), np.zeros((4, 4), int), "truth has pixels of type float64"),
        (np.zeros((4, 4), int), np.zeros((4, 4), bool), "prediction has pixels of type bool"),
        (np.full((4, 4), -1), np.zeros((4, 4), int), "negative label, -1"),
        (np.zeros((4, 5), int), np.zeros((5, 4), int), "4 × 5 px.*5 × 4 px"),
    ],
)
def test_arrays_that_are_no_pair_of_label_images_are_refused(truth, pred, message):
    with pytest.raises(InputError, match=message):
        overlaps(truth, pred)


@pytest.mark.parametrize("threshold", [0.49, 1.0, float("nan")])
def test_thresholds_without_unique_matches_are_refused(threshold):
    table = overlaps(np.ones((1, 1), int), np.ones((1, 1), int))
    with pytest.raises(InputError, match="for unique matches"):
        matches(table, threshold)
