"""Pixels of unknown truth are left out of a comparison, shown on drawn nuclei of 100 px."""

import numpy as np
import pytest

from nucbatch.core.errors import InputError
from nucbatch.scoring import score_image
from nucbatch.scoring.ignore import leave_out

SHAPE = (30, 80)


def boxes(*lefts):
    """A 10 × 10 px nucleus at each left edge, numbered from 1."""
    image = np.zeros(SHAPE, np.int32)
    for number, left in enumerate(lefts, 1):
        image[10:20, left : left + 10] = number
    return image


def columns(first, last):
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, first:last] = 255
    return mask


def counts(truth, pred, ignore):
    objects = score_image("x", truth, pred, ignore).objects
    return objects.tp[0], objects.fp[0], objects.fn[0]


@pytest.mark.parametrize(("covered", "missed"), [(5, 1), (6, 0)])
def test_a_true_nucleus_is_not_missed_if_more_than_half_of_it_is_ignored(covered, missed):
    assert counts(boxes(10), boxes(), columns(10, 10 + covered)) == (0, 0, missed)


@pytest.mark.parametrize(("covered", "false"), [(5, 1), (6, 0)])
def test_a_prediction_is_not_false_if_more_than_half_of_it_is_ignored(covered, false):
    assert counts(boxes(), boxes(10), columns(10, 10 + covered)) == (0, false, 0)


def test_areas_and_iou_are_those_of_the_pixels_that_count():
    truth, pred = boxes(10), boxes(10)
    pred[20:25, 10:14] = 1  # what lies beyond the nucleus is ignored
    ignore = np.zeros(SHAPE, np.uint8)
    ignore[20:30] = 1
    objects = score_image("x", truth, pred, ignore).objects
    assert objects.iou_sum[0] == 1.0


def test_a_match_among_the_pixels_that_count_is_a_hit_however_much_of_it_is_ignored():
    truth, pred = boxes(10), boxes(10)
    pred[10:20, 20:40] = 1  # 200 of 300 px are ignored
    assert counts(truth, pred, columns(20, 40)) == (1, 0, 0)


def test_a_prediction_on_a_true_nucleus_that_is_left_out_is_left_out_with_it():
    truth, pred = boxes(10, 40), boxes(13, 40)
    # 60 of the first nucleus' 100 px are ignored, so that all of it is; 30 of the prediction's lie beyond.
    assert counts(truth, pred, columns(10, 16)) == (1, 0, 0)


def test_pixel_figures_leave_ignored_pixels_out_and_no_others():
    score = score_image("x", boxes(10), boxes(10, 42), columns(40, 49))
    assert score.objects.fp[0] == 0
    assert score.ignored_px == 30 * 9
    pixels = score.pixels
    assert (pixels.tp, pixels.fp, pixels.fn) == (100, 30, 0)
    assert pixels.total == 30 * 80 - 30 * 9
    assert score.warping.maps.total == pixels.total


def test_figures_beside_objects_see_no_ignored_nucleus():
    score = score_image("x", boxes(10, 40), boxes(10, 60), columns(40, 80))
    assert score.jaccard.value == 1.0
    assert score.rand.error == 0.0
    assert score.warping.error == 0.0
    assert (score.parts.splits, score.parts.merges) == (0, 0)


def test_a_mask_of_zeros_changes_nothing_and_one_of_another_kind_is_refused():
    truth, pred = boxes(10, 40), boxes(12, 60)
    assert score_image("x", truth, pred, columns(0, 0)) == score_image("x", truth, pred)
    with pytest.raises(InputError, match=r"x: the mask of ignored pixels is uint8 of shape \(30, 9\)"):
        score_image("x", truth, pred, columns(0, 0)[:, :9])
    with pytest.raises(InputError, match="is float32"):
        leave_out(truth, pred, columns(0, 0).astype(np.float32))
