"""Kaggle's layout: which folders are its images, and labels from one mask per nucleus."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from nucbatch.core.errors import InputError
from nucbatch.labels.kaggle import find_kaggle, merge_masks
from nucbatch.labels.sides import open_side
from nucbatch.training.data import find_data

WHITE = np.array([[255, 255, 0]], np.uint8)


def make(root, name, masks=("a.png",), images=("i.png",)):
    for kind, files in (("masks", masks), ("images", images)):
        (root / name / kind).mkdir(parents=True)
        for file in files:
            (root / name / kind / file).touch()


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    imagecodecs.imwrite(str(path), pixels)


def sources(folder):
    findings = find_kaggle(folder, need_images=False)
    assert not findings.problems
    return {found.name: found.source for found in findings.found}


@pytest.mark.parametrize("given", ["stage1_train", "."])
def test_the_folder_of_images_or_its_parent_is_found(tmp_path, given):
    make(tmp_path / "stage1_train", "x", masks=("b.png", "a.png", ".hidden.png", "note.txt"))
    make(tmp_path / "stage1_train", "y", masks=())
    found = sources(tmp_path / given)
    assert [path.name for path in found["x"].masks] == ["a.png", "b.png"]
    assert found["x"].image == tmp_path / "stage1_train/x/images/i.png"
    assert found["y"].masks == []


def test_a_folder_of_another_layout_has_none(tmp_path):
    (tmp_path / "a.png").touch()
    assert find_kaggle(tmp_path) is None


def test_an_image_without_masks_or_with_several_images_is_a_problem(tmp_path):
    make(tmp_path, "x")
    (tmp_path / "y" / "images").mkdir(parents=True)
    make(tmp_path, "z", images=("i.png", "j.png"))
    for need_images in (True, False):
        (problem,) = find_kaggle(tmp_path, need_images=need_images).problems
        assert "2 folders in" in problem
        assert problem.endswith(": y, z.")
    with pytest.raises(InputError, match=r"2 folders in .* have no folder masks/"):
        open_side(tmp_path)


def test_masks_without_an_image_can_be_scored_and_not_trained_on(tmp_path):
    make(tmp_path, "x", images=())
    assert list(sources(tmp_path)) == ["x"]
    make(tmp_path, "y")
    (problem,) = find_kaggle(tmp_path).problems
    assert problem.endswith("have not one image in images/ and a folder masks/: x.")


def test_an_image_of_unknown_size_is_a_problem(tmp_path):
    make(tmp_path, "x", masks=(), images=())
    (problem,) = find_kaggle(tmp_path, need_images=False).problems
    assert "x has neither a mask nor an image" in problem


def test_masks_are_numbered_in_order_and_later_ones_win():
    labels, overlap_px = merge_masks([("a", WHITE), ("b", WHITE[:, ::-1])])
    assert labels.tolist() == [[1, 2, 2]]
    assert overlap_px == 1


def test_masks_of_ones_and_of_colours():
    for mask in (np.array([[0, 1]]), np.array([[[0, 0, 0], [255, 255, 255]]])):
        assert merge_masks([("a", mask)])[0].tolist() == [[0, 1]]


def test_a_mask_with_transparency_is_refused_and_not_taken_for_white():
    opaque_black = np.array([[[0, 0, 0, 255], [0, 0, 0, 255]]])
    with pytest.raises(InputError, match=r"a: a mask of shape \(1, 2, 4\); masks have one channel"):
        merge_masks([("a", opaque_black)])


def test_no_masks_is_an_image_without_nuclei():
    assert merge_masks([], (2, 3))[0].tolist() == [[0, 0, 0], [0, 0, 0]]
    with pytest.raises(InputError, match="no size"):
        merge_masks([])


def test_masks_that_would_be_lost_and_other_sizes_are_refused():
    with pytest.raises(InputError, match=r"^a: the mask is empty, or later masks cover it wholly"):
        merge_masks([("a", WHITE), ("b", WHITE)])
    with pytest.raises(InputError, match=r"^b: the mask is empty"):
        merge_masks([("a", WHITE), ("b", WHITE * 0)])
    with pytest.raises(InputError, match=r"b: a mask of shape \(3, 1\); its image has \(1, 3\)"):
        merge_masks([("a", WHITE), ("b", WHITE.T)])


def test_several_masks_together_may_cover_one():
    parts = [("a", np.full((1, 3), 255)), ("b", WHITE), ("c", WHITE[:, ::-1])]
    with pytest.raises(InputError, match=r"^a: the mask is empty, or later masks cover it wholly"):
        merge_masks(parts)
    assert merge_masks(parts[1:])[0].tolist() == [[1, 2, 2]]


def test_training_and_scoring_give_the_same_labels_and_refuse_the_same_masks(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (8, 8), np.uint8)
    large, small, beside = (np.zeros((8, 8), np.uint8) for _ in range(3))
    large[1:7, 1:7], small[2:4, 2:4], beside[6:8, 4:8] = 255, 255, 255
    for name, masks in {"fine": (large, small, beside), "covered": (small, large)}.items():
        write(tmp_path / name / "i" / "images" / "i.png", noise)
        for number, mask in enumerate(masks):
            write(tmp_path / name / "i" / "masks" / f"{number}.png", mask)
    (trained,) = find_data(tmp_path / "fine").entries
    (scored,) = open_side(tmp_path / "fine")
    np.testing.assert_array_equal(trained.source.read().labels, scored.labels())
    assert scored.labels().max() == 3
    with pytest.raises(InputError, match=r"masks/0.png: the mask is empty, or later masks cover it wholly"):
        open_side(tmp_path / "covered")[0].labels()
    with pytest.raises(InputError, match=r"masks/0.png: the mask is empty, or later masks cover it wholly"):
        find_data(tmp_path / "covered")
