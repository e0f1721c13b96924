"""Kaggle's one file per nucleus: which folders those are, and labels from masks."""

import numpy as np
import pytest

from nucbatch.core.errors import InputError
from nucbatch.scoring import labels_of_masks, mask_folders


def make(root, name, masks=("a.png",), images=("i.png",)):
    for kind, files in (("masks", masks), ("images", images)):
        (root / name / kind).mkdir(parents=True)
        for file in files:
            (root / name / kind / file).touch()


@pytest.mark.parametrize("given", ["stage1_train", "."])
def test_the_folder_of_images_or_its_parent_is_found(tmp_path, given):
    make(tmp_path / "stage1_train", "x", masks=("b.png", "a.png", ".hidden.png", "note.txt"))
    make(tmp_path / "stage1_train", "y", masks=())
    found = mask_folders(tmp_path / given)
    assert [path.name for path in found["x"].masks] == ["a.png", "b.png"]
    assert found["x"].image == tmp_path / given / ("stage1_train" if given == "." else "") / "x/images/i.png"
    assert found["y"].masks == ()


def test_a_folder_of_another_layout_has_none(tmp_path):
    (tmp_path / "a.png").touch()
    assert mask_folders(tmp_path) == {}


def test_an_image_without_masks_among_others_is_an_error(tmp_path):
    make(tmp_path, "x")
    (tmp_path / "y" / "images").mkdir(parents=True)
    with pytest.raises(InputError, match=r"y has no folder masks"):
        mask_folders(tmp_path)


def test_an_image_of_unknown_size_is_an_error(tmp_path):
    make(tmp_path, "x", masks=(), images=())
    with pytest.raises(InputError, match="neither a mask nor an image"):
        mask_folders(tmp_path)


def test_masks_are_numbered_in_order_and_later_ones_win():
    first, second = np.array([[255, 255, 0]], np.uint8), np.array([[0, 255, 255]], np.uint8)
    assert labels_of_masks([("a", first), ("b", second)]).tolist() == [[1, 2, 2]]


def test_masks_of_ones_and_of_colours():
    assert labels_of_masks([("a", np.array([[0, 1]]))]).tolist() == [[0, 1]]
    assert labels_of_masks([("a", np.array([[[0, 0, 0], [255, 255, 255]]]))]).tolist() == [[0, 1]]


def test_no_masks_is_an_image_without_nuclei():
    assert labels_of_masks([], (2, 3)).tolist() == [[0, 0, 0], [0, 0, 0]]
    with pytest.raises(InputError, match="no size"):
        labels_of_masks([])


def test_masks_that_would_be_lost_and_other_sizes_are_refused():
    mask = np.array([[0, 255]], np.uint8)
    with pytest.raises(InputError, match=r"a shows no nucleus"):
        labels_of_masks([("a", mask), ("b", mask)])
    with pytest.raises(InputError, match=r"b shows no nucleus"):
        labels_of_masks([("a", mask), ("b", mask * 0)])
    with pytest.raises(InputError, match=r"b has shape \(2, 1\)"):
        labels_of_masks([("a", mask), ("b", mask.T)])
