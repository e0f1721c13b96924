"""Groups from a CSV: which column names images, and every way in which it can be wrong."""

import numpy as np
import pytest

from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.scoring import grouped, read_groups, score_images

ONE = np.ones((4, 4), int)


def table(*names):
    return score_images((name, ONE, ONE) for name in names)


@pytest.fixture
def sheet(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "sheet.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


@pytest.mark.parametrize("header", ["id,stain", "stain,name", "file,stain"])
def test_images_are_named_by_id_or_name_or_the_first_column(sheet, header):
    row = "DAPI,a.tif" if header.startswith("stain") else "a.tif,DAPI"
    assert read_groups(sheet(f"{header}\n{row}\n"), "stain") == {"a": "DAPI"}


def test_only_suffixes_of_images_are_dropped_and_empty_cells_are_a_group(sheet):
    text = "\ufeffid,stain\nplate.A01,x\nb.ome.tiff,\nc\n"
    assert read_groups(sheet(text), "stain") == {"plate.A01": "x", "b": "(empty)", "c": "(empty)"}


def test_a_column_that_is_not_there_is_named_with_those_that_are(sheet):
    with pytest.raises(InputError, match="no column 'dye': it has id, stain"):
        read_groups(sheet("id,stain\na,x\n"), "dye")
    with pytest.raises(InputError, match="it has no columns"):
        read_groups(sheet(""), "dye")


def test_no_file_and_no_text(sheet, tmp_path):
    with pytest.raises(InputNotFound, match="is not a file"):
        read_groups(tmp_path / "none.csv", "x")
    with pytest.raises(InputError, match="UTF-8"):
        read_groups(sheet("id,x\nä,1\n", "latin-1"), "x")


def test_one_image_in_two_groups_is_an_error(sheet):
    with pytest.raises(InputError, match=r"'a' twice.*'x' and 'y'"):
        read_groups(sheet("id,stain\na,x\na.png,y\n"), "stain")


def test_tables_by_group_in_the_order_of_their_names():
    parts = grouped(table("a", "b", "c"), {"a": "z", "b": "y", "c": "z", "other": "w"})
    assert {group: [row.name for row in part.rows] for group, part in parts.items()} == {
        "y": ["b"],
        "z": ["a", "c"],
    }


def test_images_that_the_csv_lacks_are_listed():
    with pytest.raises(InputError, match=r"2 of 3 images have no row.*\n  b\n  c\n.*such as a"):
        grouped(table("a", "b", "c"), {"a": "x"})
