"""Pairs by stem: all of them, or an error that lists what has no partner."""

import pytest

from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.labels.label_files import label_files
from nucbatch.labels.pairing import pair_names


def test_label_images_are_found_by_stem_and_nothing_else(tmp_path):
    for name in ("b.TIF", "a.png", "c.ome.tiff", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert {stem: path.name for stem, path in label_files(tmp_path).items()} == {
        "a": "a.png",
        "b": "b.TIF",
        "c": "c.ome.tiff",
    }


def test_two_files_of_one_stem_are_refused(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "a.tif").touch()
    with pytest.raises(InputError, match=r"a\.png and a\.tif"):
        label_files(tmp_path)


def test_no_folder_a_file_and_an_empty_folder(tmp_path):
    with pytest.raises(InputNotFound, match="does not exist"):
        label_files(tmp_path / "no")
    (tmp_path / "x.png").touch()
    with pytest.raises(InputError, match="is a file"):
        label_files(tmp_path / "x.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no label images"):
        label_files(tmp_path / "empty")


def test_pairs_are_sorted():
    assert pair_names(["b", "a"], ["a", "b"]) == ["a", "b"]


def test_whatever_has_no_partner_is_listed():
    with pytest.raises(InputError, match="1 without truth:\n  b\n1 without prediction:\n  c\n"):
        pair_names(["a", "b"], ["a", "c"])


def test_a_long_list_ends_with_a_number():
    with pytest.raises(InputError, match=r"12 without prediction:\n(  n.*\n){10}  … and 2 more"):
        pair_names(["a"], [f"n{i:02d}" for i in range(12)] + ["a"])
