"""Intervals of scores and of their differences."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from nucbatch.core.errors import InputError
from nucbatch.scoring import ScoreTable, score_images
from nucbatch.scoring.bootstrap import COMPARED, _resampled, as_records, differences, intervals


def field(missing: int, seed: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Truth of 20 squares, and a prediction that lacks some and shifts one."""
    truth = np.zeros((50, 60), np.int32)
    for square in range(20):
        row, column = divmod(square, 5)
        truth[row * 12 : row * 12 + 8, column * 12 : column * 12 + 8] = square + 1
    order = np.random.default_rng(seed).permutation(20) + 1
    found = np.where(np.isin(truth, order[:missing]), 0, truth)
    return truth, np.where(found == order[-1], 0, found) + np.roll(
        np.where(truth == order[-1], order[-1], 0), 1
    )


def table(missing: int, images: int = 12) -> ScoreTable:
    return score_images((f"i{i}", *field(missing + i % 3, i)) for i in range(images))


def test_a_prediction_does_not_differ_from_itself() -> None:
    for one in differences(table(2), table(2)):
        assert one.change.low == one.change.high == 0
        assert not one.is_shown
        assert one.words == "none"


def test_a_clear_difference_is_shown_with_the_sign_of_second_minus_first() -> None:
    found = {one.figure: one for one in differences(table(1), table(6))}
    f1 = found["object_f1_50"]
    assert f1.second < f1.first
    assert f1.change.low <= f1.change.value <= f1.change.high < 0
    assert f1.is_shown
    assert found["count_error_relative"].change.low > 0


def test_a_difference_that_comes_from_one_image_alone_is_not_shown() -> None:
    first = table(2)
    worse = score_images([("i0", *field(9, 0))]).rows
    second = ScoreTable((*worse, *first.rows[1:]))
    assert not {one.figure: one for one in differences(first, second)}["pixel_f1"].is_shown


@pytest.mark.parametrize("images", [1, 5])
def test_too_few_images_show_no_difference_however_clear(images: int) -> None:
    found = {one.figure: one for one in differences(table(1, images), table(6, images))}["object_f1_50"]
    assert found.change.value < 0
    assert math.isnan(found.change.low)
    assert not found.is_shown
    assert found.words == "too few images"
    assert math.isnan(intervals(table(1, images))["pooled", "pixel_f1"].high)
    assert {one.figure: one for one in differences(table(1, 6), table(6, 6))}["object_f1_50"].is_shown
    clusters = {f"i{i}": str(i % 5) for i in range(12)}
    assert not any(one.is_shown for one in differences(table(1), table(6), clusters))


def test_a_draw_has_the_totals_of_a_table_that_holds_the_drawn_images() -> None:
    some = table(3, images=4)
    drawn = _resampled(some, np.array([[2.0, 0.0, 1.0, 1.0]]))[0]
    rows = some.rows
    totals = ScoreTable((rows[0], rows[0], rows[2], rows[3])).totals()
    for value, (total, figure, _) in zip(drawn, COMPARED, strict=True):
        assert value == pytest.approx(totals[total][figure], nan_ok=True)


def test_images_of_one_cluster_are_drawn_together() -> None:
    some = table(2, images=6)
    alone = intervals(some)["pooled", "object_f1_50"]
    assert alone.low < alone.value < alone.high
    again = tuple(replace(row, name=f"{row.name} again") for row in some.rows)
    clusters = {row.name: row.name.split()[0] for row in (*some.rows, *again)}
    twice = intervals(ScoreTable((*some.rows, *again)), clusters)["pooled", "object_f1_50"]
    assert (twice.low, twice.high) == pytest.approx((alone.low, alone.high))
    with pytest.raises(InputError, match="1 of 6 images have no cluster"):
        intervals(some, {row.name: "slide" for row in some.rows[1:]})


def test_the_same_seed_gives_the_same_interval_whatever_the_order_of_the_second() -> None:
    first, second = table(1), table(3)
    turned = ScoreTable(second.rows[::-1])
    assert differences(first, second) == differences(first, turned)
    assert differences(first, second, seed=1) != differences(first, second)


def test_predictions_of_other_images_are_refused() -> None:
    with pytest.raises(InputError, match="3 are in one of them alone"):
        differences(table(1, images=12), table(1, images=9))


def test_undefined_figures_are_none_in_records() -> None:
    empty = np.zeros((8, 8), np.int32)
    nothing = score_images([("a", empty, empty), ("b", empty, empty)])
    records = {row["figure"]: row for row in as_records(differences(nothing, nothing))}
    assert math.isnan(nothing.totals()["pooled"]["pixel_precision"])
    assert records["pixel_precision"]["difference"] is None
    assert records["pixel_precision"]["shown"] is False


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Images of one distribution: the interval of the mean F1 holds the value of many such images."""
    rng = np.random.default_rng(5)
    pool = score_images((f"p{i}", *field(int(rng.integers(0, 8)), i)) for i in range(200))
    true = pool.totals()["pooled"]["object_f1_50"]
    held = 0
    for trial in range(40):
        rows = [pool.rows[i] for i in np.random.default_rng(trial).choice(200, 20, replace=False)]
        found = intervals(ScoreTable(tuple(rows)), resamples=200, seed=trial)["pooled", "object_f1_50"]
        held += found.low <= true <= found.high
    assert held >= 34
