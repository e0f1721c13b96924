"""Several data sets learned at once: their names, splits, groups, hashes, and how often each is drawn."""

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest

from nucbatch.core.errors import InputError
from nucbatch.core.settings import NormaliseSettings
from nucbatch.training.data import find_data, set_names
from nucbatch.training.sample import load_sample, sampling_weights

SHAPE = (20, 24)


def write(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    imagecodecs.imwrite(str(path), pixels)


def labels() -> np.ndarray[Any, np.dtype[np.uint16]]:
    drawn = np.zeros(SHAPE, np.uint16)
    drawn[2:8, 2:8], drawn[2:8, 8:14] = 1, 2
    return drawn


def draw(
    folder: Path,
    rows: dict[str, tuple[str, str, str]],
    seed: int,
    dtype: type[np.unsignedinteger[Any]] = np.uint8,
) -> Path:
    """A set with an image of noise for each name; rows are split, modality, group."""
    lines = ["id,split,modality,group"]
    for number, (name, row) in enumerate(rows.items()):
        rng = np.random.default_rng((seed, number))
        write(folder / "images" / f"{name}.png", rng.integers(0, np.iinfo(dtype).max, SHAPE, dtype))
        write(folder / "labels" / f"{name}.png", labels())
        lines.append(",".join((name, *row)))
    (folder / "split.csv").write_text("\n".join(lines) + "\n")
    return folder


def two(tmp_path: Path) -> list[Path]:
    first = {"x": ("train", "fl", "1"), "y": ("val", "fl", "2")}
    second = {"x": ("val", "fl", "3"), "z": ("train", "he", "4")}
    return [draw(tmp_path / "one", first, 1), draw(tmp_path / "two", second, 2, np.uint16)]


def test_images_of_several_sets_bear_their_sets_names_and_keep_their_splits(tmp_path: Path) -> None:
    folders = two(tmp_path)
    data = find_data(folders)
    assert [(entry.name, entry.split, entry.group, entry.dataset) for entry in data.entries] == [
        ("one/x", "train", "one/1", "one"),
        ("one/y", "val", "one/2", "one"),
        ("two/x", "val", "two/3", "two"),
        ("two/z", "train", "two/4", "two"),
    ]
    assert [entry.source.read().image.dtype.name for entry in data.entries] == ["uint8"] * 2 + ["uint16"] * 2


def test_each_sets_hash_is_that_of_it_alone_and_the_order_does_not_matter(tmp_path: Path) -> None:
    folders = two(tmp_path)
    data = find_data(folders)
    assert data.sets == {folder.name: find_data(folder).sha256 for folder in folders}
    again = find_data(folders[::-1])
    assert (again.sha256, again.entries) == (data.sha256, data.entries)
    assert data.sha256 not in data.sets.values()


def test_folders_of_one_name_are_distinguished_by_their_parents(tmp_path: Path) -> None:
    assert set_names([tmp_path / "a" / "data", tmp_path / "b" / "data"]) == ["a/data", "b/data"]
    with pytest.raises(InputError, match="is given twice"):
        set_names([tmp_path / "a", tmp_path / "b" / ".." / "a"])


def test_one_picture_in_two_sets_different_splits_is_an_error(tmp_path: Path) -> None:
    folders = two(tmp_path)
    write(folders[1] / "images" / "x.png", imagecodecs.imread(str(folders[0] / "images" / "x.png")))
    with pytest.raises(InputError, match=r"one/x \(train\) = two/x \(val\)"):
        find_data(folders)


def test_groups_of_one_name_in_two_sets_are_two_groups_with_a_warning(tmp_path: Path) -> None:
    first = draw(tmp_path / "one", {"x": ("train", "", "s1"), "w": ("train", "", "s2")}, 1)
    second = draw(tmp_path / "two", {"y": ("val", "", "s1"), "v": ("train", "", "s2")}, 2)
    warnings = find_data([first, second]).warnings
    named = next(line for line in warnings if "same name in several data sets" in line)
    assert "s1 (train of one, val of two)" in named
    assert "s2" not in named


def test_problems_of_several_sets_are_reported_together_with_the_sets_names(tmp_path: Path) -> None:
    folders = two(tmp_path)
    for folder in folders:
        write(folder / "images" / "lone.png", np.zeros(SHAPE, np.uint8))
    with pytest.raises(InputError) as caught:
        find_data(folders)
    assert all(f"  {folder.name}: 1 files have no partner" in str(caught.value) for folder in folders)


def test_modalities_of_each_set_share_by_the_square_root_of_their_images(tmp_path: Path) -> None:
    large = draw(tmp_path / "large", {f"a{n}": ("train", "fl", "") for n in range(9)}, 1)
    small = draw(tmp_path / "small", {"b": ("train", "fl", "")}, 2, np.uint16)
    samples = [load_sample(entry, NormaliseSettings()) for entry in find_data([large, small]).entries]
    weights = dict(zip((one.name for one in samples), sampling_weights(samples), strict=True))
    assert weights["small/b"] == pytest.approx(1 / 4)
    assert sum(weights.values()) == pytest.approx(1)


def test_sub_folders_that_images_and_labels_share_are_part_of_the_names(tmp_path: Path) -> None:
    for number, name in enumerate(("train/s1/a", "train/s2/a", "val/b")):
        write(
            tmp_path / "images" / f"{name}.png", np.random.default_rng(number).integers(0, 9, SHAPE, np.uint8)
        )
        write(tmp_path / "labels" / f"{name}_mask.png", labels())
    write(tmp_path / "ignore" / "val" / "b.png", labels().astype(np.uint8))
    data = find_data(tmp_path)
    assert [(entry.name, entry.split) for entry in data.entries] == [
        ("train/s1/a", "train"),
        ("train/s2/a", "train"),
        ("val/b", "val"),
    ]
    assert data.entries[2].source.read().ignore is not None
    (tmp_path / "split.csv").write_text("id,split\ntrain/s1/a,train\ntrain/s2/a,val\nb.png,test\n")
    assert [entry.split for entry in find_data(tmp_path).entries] == ["train", "val", "test"]


def test_a_sub_folder_that_leads_back_to_its_parent_is_not_entered(tmp_path: Path) -> None:
    write(tmp_path / "images" / "s" / "a.png", np.arange(480, dtype=np.uint16).reshape(SHAPE))
    write(tmp_path / "labels" / "s" / "a.png", labels())
    (tmp_path / "images" / "s" / "back").symlink_to(tmp_path / "images")
    assert [entry.name for entry in find_data(tmp_path).entries] == ["s/a"]
