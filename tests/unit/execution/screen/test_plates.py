"""The plates of a screen: from a manifest of images, a table of plates, or a folder of folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.execution.screen.plates import ScreenPlate, plates_of
from nucbatch.object_store import ObjectPath
from nucbatch.readers.find import open_plate


def table(folder: Path, text: str) -> Path:
    path = folder / "screen.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_manifest_names_its_plates_in_the_order_of_its_rows(tmp_path: Path) -> None:
    path = table(
        tmp_path, "FileName_D,Metadata_Plate,Metadata_Well\na.tif,P 2,A01\nb.tif,P1,A01\nc.tif,P1,A02\n"
    )
    assert plates_of(path) == [ScreenPlate("P_2", path, "P 2"), ScreenPlate("P1", path, "P1")]


def test_a_table_names_the_place_of_each_plate(tmp_path: Path) -> None:
    path = table(tmp_path, "Plate,Input\none,plates/a\n,/data/b\n,s3://bucket/screen/c.zarr\n")
    assert plates_of(path) == [
        ScreenPlate("one", tmp_path / "plates/a"),
        ScreenPlate("b", Path("/data/b")),
        ScreenPlate("c", ObjectPath("s3://bucket/screen/c.zarr")),
    ]


def test_each_folder_of_a_folder_is_a_plate(tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "notes.txt").touch()
    assert plates_of(tmp_path) == [ScreenPlate("a", tmp_path / "a"), ScreenPlate("b", tmp_path / "b")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FileName_D,Metadata_Well\na.tif,A01\n", "neither a column Input"),
        ("FileName_D,Metadata_Plate\na.tif,\nb.tif,P1\n", "Metadata_Plate is empty in some rows"),
        ("Plate,Input\none,\n", "row 1: Input is empty"),
        ("Input\nx/plate\ny/Plate\n", "several plates whose folder would be plate"),
    ],
)
def test_a_table_that_leaves_a_plate_in_doubt_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        plates_of(table(tmp_path, text))


def test_an_input_without_plates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no plate"):
        plates_of(tmp_path)
    with pytest.raises(InputNotFound, match="does not exist"):
        plates_of(tmp_path / "gone.csv")


def test_a_run_of_a_manifest_of_several_plates_reads_the_one_that_is_named(tmp_path: Path) -> None:
    import numpy as np
    import tifffile

    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.ones((40, 40), np.uint8))
    path = table(tmp_path, "FileName_D,Metadata_Plate,Metadata_Well\na.tif,P1,A01\nb.tif,P2,B01\n")
    plate = open_plate(path, plate_name="P2")
    assert plate.name == "P2"
    assert [(field.well, field.planes[0].path) for field in plate.fields] == [("B01", "b.tif")]
    with pytest.raises(InputError, match=r"names 2 plates .* with nucbatch screen, or one with --plate NAME"):
        open_plate(path)
    with pytest.raises(InputError, match=r"names no plate 'P3': it names P1, P2"):
        open_plate(path, plate_name="P3")
    with pytest.raises(InputError, match="--plate P1 is for a manifest"):
        open_plate(tmp_path / "a.tif", plate_name="P1")
