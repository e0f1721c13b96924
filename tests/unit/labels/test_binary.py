"""Masks where labels are meant are noticed; few nuclei are not taken for masks."""

import numpy as np
import pytest

from nucbatch.labels.binary import BinaryCheck

TWO = np.array([[1, 0, 0, 1]])
ONE = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 1, 1], [0, 1, 0]])  # cc3d makes two of it, if it is bool


SOFT = np.array([[90, 255, 255, 255, 0, 0, 255, 255, 255, 130]])


def warned(*images):
    check = BinaryCheck("truth")
    for image in images:
        check.look(image)
    return check.warning()


@pytest.mark.parametrize(
    "images", [(TWO,), (TWO * 255,), (np.array([[0, 255]]),), (TWO * 0, TWO, TWO), (SOFT,)]
)
def test_masks_are_noticed(images):
    assert "The truth looks like masks" in warned(*images)


@pytest.mark.parametrize(
    "images",
    [(np.array([[1, 0, 2]]),), (np.array([[1, 1, 0]]),), (ONE,), (TWO, np.array([[1, 2]])), (TWO * 0,), ()],
)
def test_labels_are_not(images):
    assert warned(*images) == ""


def test_folders_without_binary_masks_are_left_to_other_layouts():
    assert warned(TWO / 2, np.ones((2, 2, 3), np.uint8)) == ""
