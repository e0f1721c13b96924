"""The table of scores: rows in order, pooled and averaged totals, plain values for files."""

import json

import numpy as np
import pytest

from nucbatch.core.errors import InputError
from nucbatch.scoring import score_images
from nucbatch.scoring.table import plain

EMPTY = np.zeros((4, 4), int)
ONE = np.ones((4, 4), int)
FOUR = np.arange(1, 17).reshape(4, 4) % 5


def test_totals_pool_nuclei_and_average_images():
    table = score_images([("many", FOUR, FOUR), ("missed", ONE, EMPTY), ("empty", EMPTY, EMPTY)])
    assert [row.name for row in table.rows] == ["many", "missed", "empty"]
    pooled = table.pooled.figures()
    assert (pooled["nuclei_truth"], pooled["nuclei_predicted"]) == (5, 4)
    assert pooled["object_recall_50"] == 4 / 5
    averaged = table.averaged()
    assert averaged["object_f1_50"] == pytest.approx((1 + 0 + 1) / 3)
    # recall is undefined in the empty image: it counts in neither direction
    assert averaged["object_recall_50"] == 0.5


def test_count_errors_of_opposite_sign_do_not_cancel_in_the_average():
    table = score_images([("over", EMPTY, ONE), ("under", ONE, EMPTY)])
    assert table.pooled.figures()["count_error"] == 0
    assert table.averaged()["count_error"] == 1


def test_the_summary_is_json_with_null_where_a_figure_is_undefined():
    summary = score_images(iter([("empty", EMPTY, EMPTY)])).summary()
    text = json.dumps(summary, allow_nan=False)
    assert json.loads(text)["per_image"][0]["object_precision_50"] is None
    assert json.loads(text)["averaged"]["pq"] == 1.0


def test_an_error_names_the_image():
    with pytest.raises(InputError, match="plate_A01: the truth is 4 × 4"):
        score_images([("plate_A01", EMPTY, np.zeros((5, 4), int))])


def test_no_images_is_an_error():
    with pytest.raises(InputError, match="no pair"):
        score_images([])


def test_every_pair_that_can_not_be_scored_is_listed():
    small = np.zeros((3, 3), int)
    with pytest.raises(InputError, match=r"2 of 3 pairs.*\n  a: the truth.*\n  c: the truth"):
        score_images([("a", EMPTY, small), ("b", EMPTY, EMPTY), ("c", EMPTY, small)])


def test_the_median_is_over_images_and_undefined_ones_are_left_out():
    table = score_images([("a", FOUR, FOUR), ("b", ONE, EMPTY), ("c", EMPTY, EMPTY), ("d", ONE, ONE)])
    median = table.median()
    assert median["count_error_relative"] == 0.0
    assert median["object_recall_50"] == 1.0  # of 1, 0 and 1; there is nothing to find in c
    assert table.summary()["median"] == plain(median)


def test_the_relative_count_error_is_of_each_image():
    table = score_images([("all", FOUR, FOUR), ("lost", FOUR, EMPTY), ("invented", EMPTY, FOUR)])
    assert [row.figures()["count_error_relative"] for row in table.rows] == [0.0, 1.0, 4.0]
    assert table.pooled.figures()["count_error_relative"] == 0.0


def test_the_worst_images_come_first_and_perfect_ones_not_at_all():
    table = score_images(
        [("good", ONE, ONE), ("bad", ONE, EMPTY), ("empty", EMPTY, EMPTY), ("so-so", FOUR, ONE)]
    )
    assert [row.name for row in table.worst(5)] == ["bad", "so-so"]
    assert [row.name for row in table.worst(1)] == ["bad"]


def test_every_figure_has_its_place_in_files():
    names = list(score_images([("a", ONE, ONE)]).pooled.figures())
    assert len(names) == len(set(names))
    assert {"aji", "splits", "merges", "warping_error", "rand_error", "pixel_error", "pq"} <= set(names)
    for percent in range(50, 100, 5):
        assert {f"object_tp_{percent}", f"object_f1_{percent}", f"ap_{percent}"} <= set(names)
