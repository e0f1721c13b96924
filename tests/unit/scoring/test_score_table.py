"""The table of scores: rows in order, pooled and averaged totals, plain values for files."""

import json

import numpy as np
import pytest

from nucbatch.errors import InputError
from nucbatch.scoring import score_images

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
