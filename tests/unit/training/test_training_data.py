import csv
import shutil
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.training.data import find_data, read_entry


@pytest.fixture
def data(small_data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_data, tmp_path / "data"))


def write(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    imagecodecs.imwrite(str(path), pixels)


def read(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(imagecodecs.imread(str(path)))


def write_split(folder: Path, rows: list[dict[str, str]]) -> None:
    with (folder / "split.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def noise(seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (12, 14), np.uint8)


def two_nuclei() -> np.ndarray[Any, np.dtype[np.uint16]]:
    labels = np.zeros((12, 14), np.uint16)
    labels[2:5, 2:5], labels[2:5, 5:9] = 1, 2
    return labels


def draw(folder: Path, names: list[str]) -> Path:
    """A set with an image of noise and two touching nuclei for each name, none like another."""
    for seed, name in enumerate(names):
        write(folder / "images" / f"{name}.png", noise(seed))
        write(folder / "labels" / f"{name}.png", two_nuclei())
    return folder


def test_entries_come_with_their_split_and_modality_and_read_their_pixels(data: Path) -> None:
    found = find_data(data)
    assert [entry.name for entry in found.split("train")] == ["f0", "f1", "f2", "f3", "f4"]
    assert [entry.name for entry in found.split("val")] == ["f5"]
    assert {entry.modality for entry in found.entries} == {"fluorescence"}
    image, labels = read_entry(found.entries[2])
    np.testing.assert_array_equal(image, read(data / "images" / "f2.png"))
    np.testing.assert_array_equal(labels, read(data / "labels" / "f2.png"))
    assert labels.dtype == np.uint16


def test_the_hash_follows_pixels_names_and_splits_but_not_files(data: Path) -> None:
    before = find_data(data).sha256
    image, labels = read(data / "images" / "f0.png"), read(data / "labels" / "f0.png")
    (data / "images" / "f0.png").unlink()
    tifffile.imwrite(data / "images" / "f0.tif", np.stack([image] * 3, axis=-1), photometric="rgb")
    assert find_data(data).sha256 == before
    write(data / "labels" / "f0.png", np.where(labels == 1, labels.max() + 1, labels).astype(np.uint16))
    assert find_data(data).sha256 != before
    write(data / "labels" / "f0.png", labels)
    text = (data / "split.csv").read_text()
    (data / "split.csv").write_text(text.replace("f0,train", "f0,test"))
    assert find_data(data).sha256 != before


def test_without_split_csv_a_tenth_is_held_out_and_copies_stay_together(tmp_path: Path) -> None:
    names = [f"f{number:02}" for number in range(30)]
    folder = draw(tmp_path, names)
    plain = find_data(folder)
    assert len(plain.split("val")) == 3
    assert len(plain.split("train")) == 27
    assert any("3 of 30 were chosen by name hash" in warning for warning in plain.warnings)
    shutil.copy(folder / "images" / f"{plain.split('val')[0].name}.png", folder / "images" / "f30.png")
    shutil.copy(folder / "labels" / "f00.png", folder / "labels" / "f30.png")
    again = find_data(folder)
    places = {entry.name: entry.split for entry in again.entries}
    assert places["f30"] == places[plain.split("val")[0].name]


def test_a_split_csv_without_splits_still_keeps_mosaics_together(tmp_path: Path) -> None:
    names = [f"f{number:02}" for number in range(24)]
    folder = draw(tmp_path, names)
    write_split(
        folder, [{"id": name, "group": f"m{int(name[1:]) % 6}", "modality": "mixed"} for name in names]
    )
    found = find_data(folder)
    assert len({entry.group for entry in found.split("val")}) == 1
    assert len(found.split("val")) == 4
    assert {entry.modality for entry in found.entries} == {"mixed"}


def test_of_very_few_images_none_is_held_out(tmp_path: Path) -> None:
    assert not find_data(draw(tmp_path / "three", ["a", "b", "c"])).split("val")
    assert len(find_data(draw(tmp_path / "four", ["a", "b", "c", "d"])).split("val")) == 1


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    folder = draw(tmp_path, ["a", "b", "c", "d", "e"])
    (folder / "labels" / "a.png").unlink()
    (folder / "images" / "b.png").unlink()
    write(folder / "labels" / "c.png", np.zeros((5, 6), np.uint16))
    (folder / "labels" / "d.png").unlink()
    tifffile.imwrite(folder / "labels" / "d.tif", np.full((12, 14), 0.5, np.float32))
    coloured = np.zeros((12, 14, 3), np.uint8)
    coloured[2:4, 2:4, 0] = 200
    write(folder / "labels" / "e.png", coloured)
    write_split(folder, [{"id": name, "split": "dev"} for name in "abcde"])
    with pytest.raises(InputError) as caught:
        find_data(folder)
    lines = str(caught.value).splitlines()
    assert len(lines) == 7
    assert lines[0].endswith("can't be trained on:")
    for expected in (
        "1 files have no partner of the same stem in " + str(folder / "labels") + ": a.png",
        "1 files have no partner of the same stem in " + str(folder / "images") + ": b.png",
        "c.png: labels are 6 × 5 px, their image 14 × 12; they must be of one size",
        "d.tif: float32 of shape (12, 14); labels are one channel of integers",
        "e.png: uint8 of shape (12, 14, 3); labels are one channel of integers",
        "split.csv: split must be train, val or test, not 'dev'",
    ):
        assert sum(expected in line for line in lines) == 1, expected


def test_the_same_pixels_in_two_splits_are_refused_by_name(data: Path) -> None:
    image = read(data / "images" / "f5.png")
    write(data / "images" / "f1.png", np.stack([image] * 3, axis=-1))
    with pytest.raises(
        InputError, match=r"more than one split.*f1 \(train\) = f5 \(val\), with different labels"
    ):
        find_data(data)


def test_the_same_pixels_within_a_split_are_a_warning(data: Path) -> None:
    for part in ("images", "labels"):
        shutil.copy(data / part / "f0.png", data / part / "f3.png")
    found = find_data(data)
    assert any("more than once: f0 (train) = f3 (train)." in warning for warning in found.warnings)


def test_blank_images_are_no_copies_of_one_another(data: Path) -> None:
    for name in ("f0", "f5"):
        write(data / "images" / f"{name}.png", np.zeros((96, 96), np.uint8))
        write(data / "labels" / f"{name}.png", np.zeros((96, 96), np.uint16))
    found = find_data(data)
    assert any("2 images have no labels and count as negatives: f0, f5" in line for line in found.warnings)


def test_a_mosaic_in_two_splits_is_refused(tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    folder = draw(tmp_path, names)
    splits = ("train", "val", "train")
    write_split(
        folder,
        [
            {"id": name, "split": split, "group": group}
            for name, split, group in zip(names, splits, ("m1", "m1", ""), strict=True)
        ],
    )
    with pytest.raises(InputError, match=r"1 groups are in more than one split.*m1 \(train, val\)"):
        find_data(folder)


def test_no_images_to_learn_from_are_an_error_and_none_to_validate_on_a_warning(tmp_path: Path) -> None:
    folder = draw(tmp_path, ["a", "b"])
    write_split(folder, [{"id": name, "split": "train"} for name in "ab"])
    assert any("thresholds can't be chosen" in warning for warning in find_data(folder).warnings)
    write_split(folder, [{"id": name, "split": "val"} for name in "ab"])
    with pytest.raises(InputError, match="nothing to learn from"):
        find_data(folder)


def test_a_missing_folder_and_an_unknown_layout_say_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="is not a folder"):
        find_data(tmp_path / "nowhere")
    write(tmp_path / "scan.png", noise(0))
    with pytest.raises(InputError, match=r"It holds scan.png. Known layouts:\n  images/ and labels/"):
        find_data(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    with pytest.raises(InputError, match="has no images in it"):
        find_data(tmp_path)


@pytest.mark.real_data
def test_the_real_set_passes_without_a_warning(shared_data: Path) -> None:
    found = find_data(shared_data / "dsb2018")
    assert [len(found.split(name)) for name in ("train", "val", "test")] == [544, 61, 59]
    assert found.warnings == ()


@pytest.mark.slow
@pytest.mark.real_data
def test_kaggles_layout_gives_the_same_pixels_and_nuclei(shared_data: Path) -> None:
    plain = shared_data / "dsb2018"
    kaggle = find_data(shared_data / "dsb2018_kaggle_layout").entries
    assert len(kaggle) == 20
    for entry in kaggle:
        image, labels = read_entry(entry)
        other = read(plain / "labels" / f"{entry.name}.png")
        other_image = read(plain / "images" / f"{entry.name}.png")
        np.testing.assert_array_equal(image[..., 0] if other_image.ndim == 2 else image, other_image)
        pairs = np.unique(np.stack([labels.ravel(), other.ravel()]), axis=1)
        assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
