from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucbatch.core.errors import InputError
from nucbatch.training.data_split import connected_groups, hold_out, read_split


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "split.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_rows_are_found_by_name_or_by_file_name_whatever_excel_puts_before_them(tmp_path: Path) -> None:
    path = table(tmp_path, "id,split,modality\na.png, train ,fluorescence\nb,val,\n", "utf-8-sig")
    read = read_split(path, ["a", "b"])
    assert read.rows["a"] == {"id": "a.png", "split": "train", "modality": "fluorescence"}
    assert read.rows["b"]["split"] == "val"
    assert read.has_split
    assert read.warnings == ()


def test_images_without_a_row_and_rows_without_an_image_are_warnings(tmp_path: Path) -> None:
    read = read_split(table(tmp_path, "id,split\na,train\nz,val\n"), ["a", "b", "c"])
    assert len(read.warnings) == 2
    assert "no row for 2 images, which are left out: b, c." in read.warnings[0]
    assert "lists 1 images that don't exist: z." in read.warnings[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,split\na,train\n", "columns name, split: one must be id"),
        ("", "columns none: one must be id"),
        ("id,split\na,dev\nb,train\n", "must be train, val or test, not 'dev'"),
        ("id,split\na,train\na,val\n", "two different rows for a"),
        ("id,split\nx,train\n", "no row for any of the 2 images"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_split(table(tmp_path, text), ["a", "b"])


def test_a_table_in_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a CSV in UTF-8"):
        read_split(table(tmp_path, "id,split\nZelle_ä,train\n", "latin-1"), ["Zelle_ä"])


def test_chains_of_ties_make_one_group() -> None:
    groups = connected_groups(
        list("abcdef"), [{"a": 1, "b": 1, "c": 2}, {"c": "m", "b": "m", "e": "n", "f": "n"}]
    )
    assert groups == [["a", "b", "c"], ["d"], ["e", "f"]]


@given(st.dictionaries(st.text(max_size=4), st.integers(0, 12), max_size=40))
def test_held_out_images_are_whole_groups_about_a_tenth_and_depend_on_no_order(
    tie: dict[str, int],
) -> None:
    names = list(tie)
    held_out = hold_out(names, [tie])
    assert held_out == hold_out(names[::-1], [tie])
    groups = set(tie.values())
    chosen = {tie[name] for name in held_out}
    assert held_out == {name for name in names if tie[name] in chosen}
    assert len(chosen) == (-(-len(groups) // 10) if len(groups) >= 4 else 0)
