"""What ``nucbatch score`` takes as PRED and GT, and how two sides of different kinds find each other."""

from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr

from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.core.plate import Channel, Field, Plate
from nucbatch.labels.label_image import LabelImage
from nucbatch.labels.pairing import pair_sides
from nucbatch.labels.sides import find_images, open_side
from nucbatch.store.images import create_images, write_field
from nucbatch.store.run_folder import RunFolder

LABELS = np.pad(np.ones((4, 4), np.uint32), 2)


def names_of(pred, truth):
    return list(pair_sides(open_side(pred), open_side(truth)))


def folder_of(path, *names):
    path.mkdir()
    for name in names:
        tifffile.imwrite(path / f"{name}.tif", LABELS, photometric="minisblack")
    return path


def run_of(path, names, *, is_plate=False):
    """A run's folder with labels of these fields, in an OME-Zarr."""
    folder = RunFolder(path)
    folder.create()
    channels = tuple(Channel(name, index) for index, name in enumerate(("Red", "Green", "Blue")))
    fields = tuple(
        Field(
            "B03" if is_plate else "", site, 0, f"B/3/{site}" if is_plate else name, name, (), 8, 8, "uint8"
        )
        for site, name in enumerate(names, 1)
    )
    plate = Plate("P", str(path), "test", channels, fields, (), is_plate)
    store = create_images(folder, plate)
    for field in fields:
        image = np.stack([np.full((8, 8), value, np.uint8) for value in (9, 5, 2)])
        write_field(store, field, channels, image, LABELS)
    rows = {
        "Metadata_Plate": "P 1",
        "Metadata_Well": [field.well for field in fields],
        "Name": list(names),
        "Metadata_Image": [field.group for field in fields],
        "Status": "done",
    }
    pd.DataFrame(rows).to_parquet(folder.fields)
    return folder


def zarr_of(path, label_names=("cells",), axes="tczyx"):
    """An image of version 0.4 as other tools write it."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    shape = [1] * (len(axes) - 2) + [8, 8]
    group.create_array("0", data=np.ones(shape, np.uint8))
    described = {"version": "0.4", "axes": [{"name": axis} for axis in axes], "datasets": [{"path": "0"}]}
    group.attrs["multiscales"] = [described]
    labels = group.create_group("labels")
    labels.attrs["labels"] = list(label_names)
    for name in label_names:
        one = labels.create_group(name)
        one.create_array("0", data=LABELS.reshape(shape))
        one.attrs["multiscales"] = [described]
    return path


def test_a_runs_safe_names_find_files_with_other_characters(tmp_path):
    run_of(tmp_path / "run", ["my_image_1", "b.c"])
    assert names_of(tmp_path / "run", folder_of(tmp_path / "gt", "my image#1", "b.c")) == [
        "b.c",
        "my_image_1",
    ]


@pytest.mark.parametrize("is_plate", [False, True])
def test_a_runs_zarr_is_scored_like_the_run(tmp_path, is_plate):
    folder = run_of(tmp_path / "run", ["x1", "x2"], is_plate=is_plate)
    store = folder.store(is_plate)
    assert names_of(store, folder_of(tmp_path / "gt", "x1", "x2")) == ["x1", "x2"]
    assert names_of(folder.path, store) == ["x1", "x2"]
    for entry in open_side(store):
        assert (entry.labels() == LABELS).all()
        assert entry.image().shape == (8, 8, 3)


def test_plates_with_other_titles_pair_by_their_place(tmp_path):
    one = run_of(tmp_path / "a", ["p_s1", "p_s2"], is_plate=True)
    other = run_of(tmp_path / "b", ["q_s1", "q_s2"], is_plate=True)
    assert names_of(one.path, other.plate_zarr) == ["B/3/1", "B/3/2"]


def test_truth_of_a_plate_may_leave_out_the_plates_name(tmp_path):
    run = run_of(tmp_path / "run", ["P_1_B03_s1", "P_1_B03_s2"], is_plate=True)
    truth = folder_of(tmp_path / "truth", "B03_s1_masks", "B03_s2_masks")
    assert names_of(run.path, truth) == ["B03_s1", "B03_s2"]


def test_an_image_of_another_tool_pairs_by_its_folders_name(tmp_path):
    assert names_of(folder_of(tmp_path / "pred", "img"), zarr_of(tmp_path / "img.ome.zarr")) == ["img"]
    entry = open_side(tmp_path / "img.ome.zarr")[0]
    assert (entry.labels() == LABELS).all()
    assert entry.image().shape == (8, 8)


def test_a_folder_of_zarr_images(tmp_path):
    (tmp_path / "gt").mkdir()
    for name in ("a", "b"):
        zarr_of(tmp_path / "gt" / f"{name}.zarr", axes="yx")
    assert names_of(folder_of(tmp_path / "pred", "a", "b"), tmp_path / "gt") == ["a", "b"]


def test_it_must_be_clear_which_labels_are_meant(tmp_path):
    zarr_of(tmp_path / "two.zarr", ("cells", "spots"))
    with pytest.raises(InputError, match=r"two\.zarr: it has the label images cells, spots"):
        open_side(tmp_path / "two.zarr")
    assert open_side(zarr_of(tmp_path / "n.zarr", ("cells", "nuclei")))
    with pytest.raises(InputError, match=r"none\.zarr: it has no labels group"):
        open_side(zarr_of(tmp_path / "none.zarr", ()))


@pytest.mark.parametrize("given", ["stage1_train", "."])
def test_kaggles_masks_with_their_image(tmp_path, given):
    place = tmp_path / "gt" / "stage1_train" / "x"
    for kind in ("masks", "images"):
        (place / kind).mkdir(parents=True)
    (place / "masks" / "m.png").write_bytes(imagecodecs.png_encode((LABELS * 255).astype(np.uint8)))
    (place / "images" / "x.png").write_bytes(imagecodecs.png_encode(np.zeros((8, 8, 4), np.uint8)))
    pairs = pair_sides(open_side(folder_of(tmp_path / "pred", "x")), open_side(tmp_path / "gt" / given))
    truth = pairs["x"][1]
    assert (truth.labels() == LABELS).all()
    assert truth.image().shape == (8, 8, 3)


def test_names_that_never_pair_are_listed_and_two_of_one_name_are_no_pair(tmp_path):
    with pytest.raises(InputError, match=r"without truth:\n  a\n.*without prediction:\n  b\n"):
        names_of(folder_of(tmp_path / "p", "a"), folder_of(tmp_path / "g", "b"))

    def image(*names):
        return LabelImage(names, Path(), dict)

    twice = [image("a", "1"), image("a", "2")]
    assert list(pair_sides(twice, [image("1"), image("2")])) == ["1", "2"]
    with pytest.raises(InputError, match="prediction has a twice"):
        pair_sides(twice, [image("a")])
    with pytest.raises(InputError, match=r"1 without truth:\n  2\n1 without prediction:\n  3\n"):
        pair_sides(twice, [image("1"), image("3")])


def test_predictions_without_truth_are_left_out(tmp_path):
    assert names_of(folder_of(tmp_path / "p", "a", "b", "c"), folder_of(tmp_path / "g", "b")) == ["b"]


def test_paths_that_are_nothing(tmp_path):
    with pytest.raises(InputNotFound, match="does not exist"):
        open_side(tmp_path / "no")
    (tmp_path / "file.png").touch()
    with pytest.raises(InputError, match="is a file"):
        open_side(tmp_path / "file.png")


def test_a_run_without_images_is_an_error(tmp_path):
    folder = run_of(tmp_path / "run", ["a"])
    fields = pd.read_parquet(folder.fields)
    fields.assign(Status="failed").to_parquet(folder.fields)
    with pytest.raises(InputError, match="no image was segmented"):
        open_side(folder.path)


def test_pictures_by_stem(tmp_path):
    for name in ("a.jpg", "b.ome.tif", "c.PNG", ".d.png", "e.txt"):
        (tmp_path / name).touch()
    assert list(find_images(tmp_path)) == ["a", "b", "c"]


@pytest.mark.parametrize("ending", ["_masks", "_cp_masks", "_seg", "_label"])
def test_endings_of_masks_don_t_matter(tmp_path, ending):
    pred = folder_of(tmp_path / "pred", "a", "b")
    truth = folder_of(tmp_path / "truth", f"a{ending}", f"b{ending}")
    assert names_of(pred, truth) == ["a", "b"]
    beside = folder_of(tmp_path / "beside", "a", "b", f"a{ending}", f"b{ending}")
    assert names_of(pred, beside) == ["a", "b"]
