"""Warping keeps topology: checked against counts of objects and holes by another labelling, and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from nucbatch.core.errors import InputError
from nucbatch.scoring.topology import CIRCLE, SIMPLE, offsets, warp
from nucbatch.scoring.warping import parted, warped_difference, warping_counts

MAPS = arrays(np.uint8, (7, 8), elements=st.integers(0, 1))
LABELS = arrays(np.int32, (7, 8), elements=st.integers(0, 3))


def objects_and_grounds(picture):
    """Number of 4-connected objects and of 8-connected backgrounds; there is background all around."""
    framed = np.pad(picture, 1)
    return ndimage.label(framed)[1], ndimage.label(framed == 0, np.ones((3, 3)))[1]


def changed(picture, at):
    result = picture.copy()
    result[at] = 1 - result[at]
    return result


def slow_warp(source, target):
    """The same order of visits; a change is allowed if it leaves both numbers as they are."""
    moving = source.copy()
    wave = [tuple(at) for at in np.argwhere(moving != target).tolist()]
    while wave:
        following = []
        waiting = set(wave)
        for at in wave:
            waiting.discard(at)
            if objects_and_grounds(changed(moving, at)) != objects_and_grounds(moving):
                continue
            moving[at] = target[at]
            for row, column in CIRCLE:
                near = at[0] + row, at[1] + column
                inside = 0 <= near[0] < moving.shape[0] and 0 <= near[1] < moving.shape[1]
                if inside and moving[near] != target[near] and near not in waiting:
                    waiting.add(near)
                    following.append(near)
        wave = following
    return moving


def slow_difference(source, target):
    moving = slow_warp(source, target)
    left = [tuple(at) for at in np.argwhere(moving != target).tolist()]
    before = objects_and_grounds(moving)[0]
    after = {at: objects_and_grounds(changed(moving, at))[0] for at in left}
    splits = sum(bool(moving[at]) and after[at] > before for at in left)
    merges = sum(not moving[at] and after[at] < before for at in left)
    return len(left), splits, merges


@settings(max_examples=200, deadline=None)
@given(arrays(np.uint8, (3, 3), elements=st.integers(0, 1)), st.integers(0, 255))
def test_a_pixel_is_simple_if_changing_it_changes_no_count(picture, code):
    for k, (row, column) in enumerate(CIRCLE):
        picture[1 + row, 1 + column] = code >> k & 1
    same = objects_and_grounds(picture) == objects_and_grounds(changed(picture, (1, 1)))
    assert bool(SIMPLE[code]) == same


@settings(max_examples=150, deadline=None)
@given(MAPS, MAPS)
def test_warping_equals_a_slow_warp_that_counts_objects_and_holes(source, target):
    assert warped_difference(source, target) == slow_difference(source, target)


@settings(max_examples=60, deadline=None)
@given(MAPS, MAPS)
def test_warping_keeps_the_number_of_objects_and_holes(source, target):
    moving, fixed = np.pad(source, 1), np.pad(target, 1)
    flat = moving.ravel()
    differing = np.flatnonzero(flat != fixed.ravel())
    before = np.count_nonzero(moving != fixed)
    count = warp(flat, fixed.ravel(), SIMPLE, offsets(moving.shape[1]), differing)
    assert objects_and_grounds(moving) == objects_and_grounds(source)
    assert np.count_nonzero(moving != fixed) == before - count


def square(rows, columns, shape=(12, 16)):
    picture = np.zeros(shape, np.uint8)
    picture[slice(*rows), slice(*columns)] = 1
    return picture


def test_a_shifted_border_is_no_error():
    assert warped_difference(square((2, 8), (2, 8)), square((3, 10), (1, 7))) == (0, 0, 0)


def test_a_missed_object_leaves_one_pixel_and_an_invented_one_all():
    empty = np.zeros((12, 16), np.uint8)
    assert warped_difference(square((2, 8), (2, 8)), empty) == (1, 0, 0)
    assert warped_difference(empty, square((2, 8), (2, 8))) == (36, 0, 0)


def test_a_line_through_an_object_leaves_the_pixel_that_would_cut_it():
    cut = square((2, 8), (2, 12))
    cut[:, 6] = 0
    assert warped_difference(square((2, 8), (2, 12)), cut) == (1, 1, 0)


def test_a_line_that_is_missing_leaves_all_its_pixels():
    parts = square((2, 8), (2, 12))
    parts[:, 6] = 0
    assert warped_difference(parts, square((2, 8), (2, 12))) == (6, 0, 6)


def test_a_hole_counts_as_neither():
    ring = square((2, 8), (2, 8))
    ring[4:6, 4:6] = 0
    assert warped_difference(square((2, 8), (2, 8)), ring) == (4, 0, 0)
    assert warped_difference(ring, square((2, 8), (2, 8))) == (1, 0, 0)


def test_nuclei_that_touch_are_parted_by_two_pixels_and_gaps_are_left():
    labels = np.array([[1, 1, 2, 2, 0, 3], [1, 1, 2, 2, 0, 3], [4, 4, 4, 4, 0, 0]])
    assert parted(labels).tolist() == [[1, 0, 0, 1, 0, 1], [0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0]]


@settings(max_examples=40, deadline=None)
@given(LABELS)
def test_parting_is_the_same_for_a_flipped_or_turned_image(labels):
    assert (parted(labels[::-1]) == parted(labels)[::-1]).all()
    assert (parted(labels.T) == parted(labels).T).all()


@settings(max_examples=40, deadline=None)
@given(LABELS)
def test_the_same_labels_under_other_numbers_have_no_error(labels):
    counts = warping_counts(labels, np.where(labels, 9 - labels, 0))
    assert (counts.error, counts.total_error, counts.pixel_error) == (0.0, 0.0, 0.0)


def test_two_nuclei_that_touch_found_as_one_are_a_merge():
    truth = np.zeros((10, 20), int)
    truth[2:8, 2:10], truth[2:8, 10:18] = 1, 2
    merged = (truth > 0).astype(int)
    counts = warping_counts(truth, merged)
    # the border of two pixels gets thin, then its six pixels would each join the two
    assert (counts.left, counts.splits, counts.merges) == (6, 0, 6)
    assert counts.error == counts.total_error == 6 / 200
    assert counts.pixel_error == pytest.approx(1 - 2 * 84 / (84 + 96))
    # the other way round a bridge of the border's width is left, which would cut the nucleus
    assert warping_counts(merged, truth).splits == 2


def test_counts_add_before_they_divide():
    truth = np.zeros((10, 20), int)
    truth[2:8, 2:10] = 1
    one, other = warping_counts(truth, truth * 0), warping_counts(truth, truth)
    assert (one + other).total_error == 1 / 400
    assert (one + other).error == 0.0


def test_no_pixels_and_two_shapes():
    assert math.isnan(warping_counts(np.zeros((0, 3), int), np.zeros((0, 3), int)).error)
    with pytest.raises(InputError, match="the same size"):
        warping_counts(np.zeros((4, 4), int), np.zeros((4, 5), int))
