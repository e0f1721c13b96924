import json
import shutil
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr

from nucbatch.core.errors import InputError, StoreError
from nucbatch.core.plate import Channel, Field, Plate
from nucbatch.labels.binary import is_binary, kind_of
from nucbatch.labels.zarr_pairs import choose_channel, choose_labels
from nucbatch.store.images import create_images, write_field
from nucbatch.store.run_folder import RunFolder
from nucbatch.training.data import DataSet, find_data, read_entry

SHAPE = (20, 24)
BINARY = "The masks are binary, so instances are lost"


def noise(seed: int, *shape: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, shape or SHAPE, np.uint8)


def labels_of(*boxes: tuple[int, int, int, int]) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Boxes (top, left, bottom, right), numbered from 1."""
    labels = np.zeros(SHAPE, np.uint16)
    for number, (top, left, bottom, right) in enumerate(boxes, start=1):
        labels[top:bottom, left:right] = number
    return labels


TOUCHING = labels_of((2, 2, 6, 6), (2, 6, 6, 10), (12, 12, 15, 15))


def write(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    imagecodecs.imwrite(str(path), pixels)


def names(data: DataSet) -> list[tuple[str, str]]:
    return [(entry.name, entry.split) for entry in data.entries]


def mask(labels: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return ((labels > 0) * 255).astype(np.uint8)


# images/ and labels/


def test_masks_may_be_the_folders_name_and_an_ending_of_its_files(tmp_path: Path) -> None:
    write(tmp_path / "images" / "a.jpg", noise(0, *SHAPE, 3))
    write(tmp_path / "masks" / "a_mask.png", TOUCHING)
    write(tmp_path / "images" / "b.png", noise(1))
    tifffile.imwrite(tmp_path / "masks" / "b.ome.tif", TOUCHING.astype(np.int32) * 70_000)
    data = find_data(tmp_path)
    assert names(data) == [("a", "train"), ("b", "train")]
    for entry, shape, dtype in zip(data.entries, ((*SHAPE, 3), SHAPE), (np.uint16, np.uint32), strict=True):
        image, labels = read_entry(entry)
        assert image.shape == shape
        assert labels.dtype == dtype
        assert len(np.unique(labels)) == 4


def test_other_files_are_left_out_with_a_warning_and_hidden_files_without(tmp_path: Path) -> None:
    write(tmp_path / "images" / "a.png", noise(0))
    write(tmp_path / "labels" / "a.png", TOUCHING)
    (tmp_path / "images" / "notes.txt").write_text("taken on Monday")
    (tmp_path / "images" / "._a.png").write_text("resource fork")
    data = find_data(tmp_path)
    assert names(data) == [("a", "train")]
    assert any("1 files in" in line and "no PNG, TIFF or JPEG: notes.txt." in line for line in data.warnings)


def test_two_files_of_one_stem_jpeg_labels_and_damage_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "images" / "a.png", noise(0))
    write(tmp_path / "images" / "a.tif", noise(0))
    write(tmp_path / "labels" / "a.png", TOUCHING)
    write(tmp_path / "images" / "b.png", noise(1))
    write(tmp_path / "labels" / "b.jpg", mask(TOUCHING))
    write(tmp_path / "images" / "c.png", noise(2))
    (tmp_path / "labels" / "c.png").write_bytes((tmp_path / "labels" / "a.png").read_bytes()[:60])
    with pytest.raises(InputError) as caught:
        find_data(tmp_path)
    for part in ("a.png and a.tif: keep one of that stem", "b.jpg. Save them anew", "c.png: "):
        assert part in str(caught.value)


def test_folders_named_after_splits_say_the_splits(tmp_path: Path) -> None:
    for seed, (part, name) in enumerate([("train", "a"), ("train", "b"), ("valid", "a"), ("test", "a")]):
        write(tmp_path / part / "images" / f"{name}.png", noise(seed))
        write(tmp_path / part / "masks" / f"{name}.png", TOUCHING)
    data = find_data(tmp_path)
    assert set(names(data)) == {
        ("train/a", "train"),
        ("train/b", "train"),
        ("valid/a", "val"),
        ("test/a", "test"),
    }


def test_without_a_folder_for_validation_a_tenth_of_train_is_taken(tmp_path: Path) -> None:
    for seed in range(8):
        part = "test" if seed == 7 else "train"
        write(tmp_path / part / "images" / f"{seed}.png", noise(seed))
        write(tmp_path / part / "labels" / f"{seed}.png", TOUCHING)
    data = find_data(tmp_path)
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [6, 1, 1]
    assert any("1 of 7 were chosen by name hash" in warning for warning in data.warnings)


# binary masks


def test_binary_masks_become_components_with_one_warning(tmp_path: Path) -> None:
    for seed in range(3):
        write(tmp_path / "images" / f"{seed}.png", noise(seed))
        write(tmp_path / "masks" / f"{seed}.png", mask(TOUCHING))
    data = find_data(tmp_path)
    assert sum(BINARY in warning for warning in data.warnings) == 1
    _, labels = read_entry(data.entries[0])
    assert labels.max() == 2  # of three nuclei two touch
    np.testing.assert_array_equal(labels > 0, TOUCHING > 0)
    assert labels.dtype == np.uint16


def test_masks_with_soft_edges_and_three_channels_are_binary_too(tmp_path: Path) -> None:
    soft = mask(TOUCHING)
    soft[1, 2:10], soft[6, 2:10] = 90, 130
    write(tmp_path / "a.png", noise(0))
    write(tmp_path / "a_mask.png", np.stack([soft] * 3, axis=-1))
    data = find_data(tmp_path)
    assert any(BINARY in warning for warning in data.warnings)
    _, labels = read_entry(data.entries[0])
    np.testing.assert_array_equal(labels > 0, soft > 127)


def test_instance_labels_are_never_taken_for_masks(tmp_path: Path) -> None:
    apart = labels_of((2, 2, 6, 6), (12, 12, 15, 15))
    write(tmp_path / "images" / "a.png", noise(0))
    write(tmp_path / "labels" / "a.png", TOUCHING)
    write(tmp_path / "images" / "b.png", noise(1))
    write(tmp_path / "labels" / "b.png", (apart > 0).astype(np.uint16))
    data = find_data(tmp_path)
    assert not any(BINARY in warning for warning in data.warnings)
    assert any("each counted as one nucleus: b." in warning for warning in data.warnings)
    assert read_entry(data.entries[1])[1].max() == 1


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (np.zeros(SHAPE, np.uint16), "empty"),
        (labels_of((2, 2, 6, 6)), "single"),
        (labels_of((2, 2, 6, 6)) * 255, "single"),
        ((TOUCHING > 0).astype(np.uint16), "mask"),
        (TOUCHING, "labels"),
        (np.where(TOUCHING == 3, 255, TOUCHING), "labels"),  # 255 nuclei, the last is a small one
    ],
)
def test_kinds_of_label_images(labels: Any, kind: str) -> None:
    assert kind_of(labels) == kind


def test_a_set_is_binary_only_if_no_image_tells_nuclei_apart() -> None:
    assert is_binary(["mask", "single", "empty"])
    assert not is_binary(["mask", "labels"])
    assert not is_binary(["single", "empty"])


# Kaggle


def kaggle(folder: Path, name: str, seed: int, masks: list[np.ndarray[Any, Any]]) -> None:
    alpha = np.full((*SHAPE, 1), 255, np.uint8)
    write(folder / name / "images" / f"{name}.png", np.concatenate([noise(seed, *SHAPE, 3), alpha], axis=-1))
    (folder / name / "masks").mkdir()
    for number, one in enumerate(masks):
        write(folder / name / "masks" / f"m{number}.png", one)


def test_kaggles_masks_are_merged_the_later_over_the_earlier(tmp_path: Path) -> None:
    stage = tmp_path / "stage1_train"
    first, second = labels_of((2, 2, 8, 8)), labels_of((6, 6, 12, 12))
    kaggle(stage, "aa", 0, [mask(first), mask(second)])
    kaggle(stage, "bb", 1, [])
    for folder in (tmp_path, stage):
        data = find_data(folder)
        assert [entry.name for entry in data.entries] == ["aa", "bb"]
        image, labels = read_entry(data.entries[0])
        assert image.shape == (*SHAPE, 3)
        np.testing.assert_array_equal(labels, np.where(second > 0, 2, first))
        assert any("In 1 images masks overlap, in 4 px in all" in warning for warning in data.warnings)
        assert any("1 images have no labels and count as negatives: bb" in line for line in data.warnings)


def test_a_kaggle_folder_may_hold_a_split_csv(tmp_path: Path) -> None:
    for seed, name in enumerate(("aa", "bb")):
        kaggle(tmp_path / "stage1_train", name, seed, [mask(labels_of((2, 2, 8, 8)))])
    (tmp_path / "split.csv").write_text("id,split\naa,train\nbb,val\n")
    assert names(find_data(tmp_path)) == [("aa", "train"), ("bb", "val")]


def test_ids_without_masks_and_masks_of_another_size_are_listed(tmp_path: Path) -> None:
    for seed, name in enumerate(("aa", "bb", "cc")):
        kaggle(tmp_path, name, seed, [mask(labels_of((2, 2, 8, 8)))])
    shutil.rmtree(tmp_path / "bb" / "masks")
    write(tmp_path / "cc" / "masks" / "m1.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(InputError) as caught:
        find_data(tmp_path)
    assert "1 folders in" in str(caught.value)
    assert ": bb." in str(caught.value)
    assert "m1.png: a mask of shape (5, 5); its image has (20, 24)" in str(caught.value)


# side by side


def test_pairs_side_by_side_are_found_and_what_is_alone_is_refused(tmp_path: Path) -> None:
    for seed, (image, labels) in enumerate([("a.png", "a_mask.png"), ("b_img.tif", "b_masks.tif")]):
        write(tmp_path / image, noise(seed))
        write(tmp_path / labels, TOUCHING)
    data = find_data(tmp_path)
    assert [entry.name for entry in data.entries] == ["a", "b"]
    np.testing.assert_array_equal(read_entry(data.entries[1])[1], TOUCHING)
    write(tmp_path / "c.png", noise(2))
    with pytest.raises(InputError, match=r"1 files in .* have no partner such as a_mask.png: c.png"):
        find_data(tmp_path)


# OME-Zarr


def run_with(path: Path, channels: tuple[str, ...], recorded: str | None = None) -> Path:
    """A run's folder of two images with these channels, its run.json naming the segmented one."""
    described = tuple(Channel(name, index) for index, name in enumerate(channels))
    fields = tuple(Field("", n, 0, f"i{n}", f"image{n}", (), *SHAPE, "uint8") for n in (1, 2))
    folder = RunFolder(path / "run")
    folder.create()
    store = create_images(folder, Plate("P", str(path), "folder", described, fields, (), is_plate=False))
    for field in fields:
        pixels = noise(field.site, len(channels), *SHAPE)
        write_field(store, field, described, pixels, TOUCHING.astype(np.uint32))
    if recorded is not None:
        folder.run_json.write_text(json.dumps({"settings": {"channel": recorded}}))
    return folder.path


@pytest.mark.parametrize(
    ("channels", "recorded", "asked", "position"),
    [
        (("GFP",), None, "", 0),
        (("GFP", "DAPI"), None, "", 1),
        (("C1", "C2"), "C2", "", 1),
        (("C1", "C2"), "C2", "C1", 0),
        (("Red", "Green", "Blue"), "", "", None),
    ],
)
def test_a_runs_folder_gives_the_channel_that_shows_nuclei(
    tmp_path: Path, channels: tuple[str, ...], recorded: str | None, asked: str, position: int | None
) -> None:
    run = run_with(tmp_path, channels, recorded)
    for folder in (run, run / "images.zarr"):
        data = find_data(folder, asked)
        assert [entry.name for entry in data.entries] == ["image1", "image2"]
        image, labels = read_entry(data.entries[1])
        stored = noise(2, len(channels), *SHAPE)
        np.testing.assert_array_equal(
            image, stored.transpose(1, 2, 0) if position is None else stored[position]
        )
        np.testing.assert_array_equal(labels, TOUCHING)


def test_images_whose_channel_or_labels_are_not_clear_are_listed_with_what_there_is(tmp_path: Path) -> None:
    run = run_with(tmp_path, ("C1", "C2"))
    with pytest.raises(
        InputError, match=r"(?s)image1: its channels \(C1, C2\) don't tell.*image2: .*--chann"
    ):
        find_data(run)
    shutil.rmtree(run / "images.zarr" / "i2" / "labels")
    with pytest.raises(InputError, match=r"image2: it has no labels group"):
        find_data(run, "C1")


def test_a_run_json_that_is_none_is_said_to_be(tmp_path: Path) -> None:
    run = run_with(tmp_path, ("C1",), "C1")
    (run / "run.json").write_text("{}")
    with pytest.raises(StoreError, match="does not name a run's channel"):
        find_data(run)


def test_labels_of_another_size_and_nan_in_an_omezarr_are_listed(tmp_path: Path) -> None:
    for name, shape, value in (("a", (9, 9), 1.0), ("b", SHAPE, np.nan)):
        group = zarr.open_group(tmp_path / f"{name}.zarr", mode="w", zarr_format=2)
        group.create_array("0", data=np.full(SHAPE, value, np.float32))
        axes = [{"name": "y"}, {"name": "x"}]
        group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
        group.create_group("labels").attrs["labels"] = ["cells"]
        cells = group.create_group("labels/cells")
        cells.create_array("0", data=np.ones(shape, np.int64))
        cells.attrs["multiscales"] = group.attrs["multiscales"]
    with pytest.raises(InputError) as caught:
        find_data(tmp_path)
    assert "a.zarr/labels/cells: labels are 9 × 9 px, their image 24 × 20" in str(caught.value)
    assert "b.zarr/labels/cells: its image holds NaN or infinity" in str(caught.value)


def test_channels_are_chosen_by_name_and_never_guessed() -> None:
    assert choose_channel((), 1, "DAPI") == 0
    assert choose_channel((), 3, "") is None
    assert choose_channel(("R", "G", "B"), 3, "DAPI") is None  # an RGB picture among a run's grey ones
    assert choose_channel(("DAPI", "GFP", "RFP"), 3, "") == 0
    assert choose_channel(("DAPI", "GFP"), 2, "GFP") == 1
    for channels, count, wanted in [
        (("GFP", "RFP", "Cy5"), 3, ""),
        (("DAPI", "H2B"), 2, ""),
        (("GFP",), 1, "DAPI"),
        ((), 2, ""),
    ]:
        with pytest.raises(InputError, match="channel"):
            choose_channel(channels, count, wanted)


def test_label_images_are_chosen_by_name_and_never_guessed() -> None:
    assert choose_labels(("cells", "nuclei")) == "nuclei"
    assert choose_labels(("cells",)) == "cells"
    with pytest.raises(InputError, match="label images cells, cytoplasm"):
        choose_labels(("cells", "cytoplasm"))
