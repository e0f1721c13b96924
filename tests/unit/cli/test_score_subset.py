"""``nucbatch score`` on a part of a data set, and with pixels that are marked to be ignored."""

import json

import imagecodecs
import numpy as np
import pytest
from click.testing import CliRunner

from nucbatch.cli.score import score
from nucbatch.core.errors import InputError

SIDE = 40


def run(*arguments):
    return CliRunner().invoke(score, [str(argument) for argument in arguments], catch_exceptions=False)


def pooled(path):
    summary = json.loads(path.read_text())
    return summary["pooled"], summary


def square(top, left, side, value, into=None):
    image = np.zeros((SIDE, SIDE), np.uint16) if into is None else into
    image[top : top + side, left : left + side] = value
    return image


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(imagecodecs.png_encode(pixels))


@pytest.fixture
def data(tmp_path):
    """Two images with one nucleus each; in ``b`` pixels beside it are marked to be ignored."""
    folder = tmp_path / "data"
    for name in ("a", "b"):
        write(folder / "images" / f"{name}.png", np.zeros((SIDE, SIDE), np.uint8))
        write(folder / "labels" / f"{name}.png", square(2, 2, 10, 1))
    write(folder / "ignore" / "b.png", square(20, 20, 10, 255).astype(np.uint8))
    (folder / "split.csv").write_text("id,split,stain\na,train,DAPI\nb,test,H&E\n")
    return folder


@pytest.fixture
def pred(tmp_path):
    """Both nuclei found; and in both images something where ``b`` has ignored pixels."""
    for name in ("a", "b"):
        write(tmp_path / "pred" / f"{name}.png", square(20, 20, 10, 2, square(2, 2, 10, 1)))
    return tmp_path / "pred"


@pytest.mark.parametrize("place", [".", "labels"])
def test_ignored_pixels_beside_the_truth_are_left_out_and_said(place, data, pred, tmp_path):
    result = run(pred, "--gt", data / place, "--json", tmp_path / "s.json")
    assert "Left out: 100 px marked to be ignored, in 1 of 2 images" in result.output
    figures, summary = pooled(tmp_path / "s.json")
    assert (figures["object_tp_50"], figures["object_fp_50"], figures["object_fn_50"]) == (2, 1, 0)
    assert figures["ignored_px"] == 100
    assert {row["name"]: row["object_fp_50"] for row in summary["per_image"]} == {"a": 1, "b": 0}
    assert summary["notes"] == ["Left out: 100 px marked to be ignored, in 1 of 2 images"]


def test_ignored_pixels_can_be_counted_or_named(data, pred, tmp_path):
    result = run(pred, "--gt", data, "--count-ignored", "--json", tmp_path / "s.json")
    assert "Left out" not in result.output
    assert pooled(tmp_path / "s.json")[0]["object_fp_50"] == 2
    (data / "ignore").rename(tmp_path / "void")
    run(pred, "--gt", data / "labels", "--ignore", tmp_path / "void", "--json", tmp_path / "s.json")
    assert pooled(tmp_path / "s.json")[0]["object_fp_50"] == 1
    (tmp_path / "void" / "b.png").rename(tmp_path / "void" / "x.png")
    with pytest.raises(InputError, match="of x, and of none of the true images, such as a"):
        run(pred, "--gt", data / "labels", "--ignore", tmp_path / "void")


def test_a_part_is_scored_by_a_column_of_the_data_sets_own_table(data, pred, tmp_path):
    result = run(pred, "--gt", data, "--where", "split=test", "--json", tmp_path / "s.json")
    assert f"1 of 2 images: split = test in {data / 'split.csv'}" in result.output
    assert [row["name"] for row in pooled(tmp_path / "s.json")[1]["per_image"]] == ["b"]
    run(pred, "--gt", data, "--where", "split=test", "--where", "split=train", "--json", tmp_path / "s.json")
    assert len(pooled(tmp_path / "s.json")[1]["per_image"]) == 2
    with pytest.raises(InputError, match="none of the 2 true images has split = test and stain = DAPI"):
        run(pred, "--gt", data, "--where", "split=test", "--where", "stain=DAPI")


def test_predictions_of_the_part_alone_are_enough_and_others_are_left_out(data, pred, tmp_path):
    (pred / "a.png").unlink()
    assert run(pred, "--gt", data, "--where", "split=test").exit_code == 0
    with pytest.raises(InputError, match=r"1 without prediction:\n  a\n"):
        run(pred, "--gt", data)
    write(pred / "c.png", square(2, 2, 10, 1))
    result = run(pred, "--gt", data, "--where", "split=test")
    assert "Scored 1 of 2 predicted images; 1 have no truth" in result.output


def test_images_without_a_row_are_left_out_with_their_number(data, pred):
    (data / "split.csv").write_text("id,split\nb,test\n")
    result = run(pred, "--gt", data, "--where", "split=test", "--column", "split")
    assert "1 without a row are left out" in result.output


def test_a_data_set_in_sub_folders_is_scored_by_its_names(data, pred, tmp_path):
    for part in ("images", "labels", "ignore"):
        for path in list((data / part).iterdir()):
            (data / part / "s1").mkdir(exist_ok=True)
            path.rename(data / part / "s1" / path.name)
    result = run(data, "--gt", data, "--json", tmp_path / "s.json")
    assert result.exit_code == 0
    assert [row["name"] for row in pooled(tmp_path / "s.json")[1]["per_image"]] == ["s1/a", "s1/b"]


def test_errors_that_are_drawn_are_those_that_count(data, pred, tmp_path):
    run(pred, "--gt", data, "--pictures", tmp_path / "p")
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["a.png"]


def test_kaggles_masks_may_have_pixels_to_ignore(pred, tmp_path):
    for name in ("a", "b"):
        write(tmp_path / "kaggle" / name / "images" / f"{name}.png", np.zeros((SIDE, SIDE), np.uint8))
        write(tmp_path / "kaggle" / name / "masks" / "1.png", square(2, 2, 10, 255).astype(np.uint8))
    write(tmp_path / "kaggle" / "a" / "ignore" / "1.png", square(20, 20, 10, 255).astype(np.uint8))
    run(pred, "--gt", tmp_path / "kaggle", "--json", tmp_path / "s.json")
    assert pooled(tmp_path / "s.json")[0]["object_fp_50"] == 1
