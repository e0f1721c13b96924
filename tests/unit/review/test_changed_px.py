"""Pixels that belong to another nucleus than before."""

import numpy as np

from nucbatch.review.label_folder import changed_px


def test_new_numbers_alone_change_nothing() -> None:
    labels = np.array([[1, 1, 0], [0, 2, 2]])
    assert changed_px(labels, np.where(labels, 9 - labels, 0)) == 0


def test_a_removed_an_added_a_split_and_a_merged_nucleus_count_their_pixels() -> None:
    labels = np.array([[1, 1, 1, 0, 2, 2]])
    assert changed_px(labels, np.array([[0, 0, 0, 0, 2, 2]])) == 3
    assert changed_px(labels, np.array([[1, 1, 1, 7, 2, 2]])) == 1
    assert changed_px(labels, np.array([[1, 1, 5, 0, 2, 2]])) == 1
    assert changed_px(labels, np.array([[1, 1, 1, 0, 1, 1]])) == 2
    assert changed_px(np.zeros((2, 2), int), np.zeros((2, 2), int)) == 0
