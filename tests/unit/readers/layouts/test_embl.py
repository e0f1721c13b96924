"""EMBL names: wells from labels, from a table, or not at all."""

import re

import pytest
from golden import write_images

from nucbatch.core.errors import InputError
from nucbatch.core.plate import FileStatus
from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.embl import EmblName, parse


def image(labels: str, number: int, position: int = 0) -> str:
    return f"{labels}--W{number:04d}--P{position:03d}--T0000--Z000--C00.tif"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("B9--empty--W0021--P000--T0000--Z000--C00.ome.tif", (("B9", "empty"), 21, 0, 0, 0, "C00")),
        (
            "x/p 1--ECT2--si 3--W00384--P00001--T00012--Z003--c1.PNG",
            (("p 1", "ECT2", "si 3"), 384, 1, 12, 3, "C1"),
        ),
        ("--W0001--P001--T0000--Z000--C00.tif", ((), 1, 1, 0, 0, "C00")),
    ],
)
def test_names(name, parts):
    assert parse(name) == EmblName(*parts)


def test_other_names():
    assert parse("A1--W00001--P00001--Z00000--T00000--DAPI.tif") is None


@pytest.mark.parametrize(
    ("labels", "wells"),
    [
        ({21: "B9--empty", 27: "C3--x"}, ["B09", "C03"]),  # 12 columns
        ({27: "empty--B3", 1: "x--A1"}, ["A01", "B03"]),  # 24 columns, the second label
        ({1: "p--E2--A1", 2: "p--F3--A2"}, ["A01", "A02"]),  # genes that look like wells are not counted by W
    ],
)
def test_the_label_that_w_counts_is_the_well(tmp_path, labels, wells):
    write_images(tmp_path, [image(text, number) for number, text in labels.items()])
    assert list(open_plate(tmp_path).wells()) == wells


@pytest.mark.parametrize(
    "labels",
    [
        {21: "s444246--XWNeg9"},
        {21: "E2--x", 27: "B1--x"},
        {1: "A1--x", 2: "XW--x"},
        {14: "A14--x", 13: "B1--x"},
    ],
)
def test_a_well_that_nothing_tells_is_not_guessed(tmp_path, labels):
    write_images(tmp_path, [image(text, number) for number, text in labels.items()])
    with pytest.raises(InputError, match=r"labels do not tell the well of each number.*wells\.csv") as caught:
        open_plate(tmp_path)
    pattern = re.search(r"--pattern '(.*)'", str(caught.value))[1]
    assert len(list(open_plate(tmp_path, pattern=pattern).wells())) == len(labels)


def test_a_table_beside_the_images_tells_the_wells(tmp_path):
    write_images(tmp_path, [image("x", number) for number in (21, 22, 30)])
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    (tmp_path / "layout.csv").write_text("w;Well;content\n21;B9;x\nW0022;B10;y\n")
    plate = open_plate(tmp_path)
    assert (list(plate.wells()), plate.evidence) == (["B09", "B10"], "side file")
    reasons = {
        record.path: record.reason for record in plate.files if record.status is FileStatus.QUARANTINED
    }
    assert reasons == {image("x", 30): "no line of layout.csv has W 30"}
    (tmp_path / "second.csv").write_text("W,well\n21,B9\n")
    with pytest.raises(InputError, match=r"several tables of wells \(layout\.csv, second\.csv\)"):
        open_plate(tmp_path)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("21,B9\n22,B9\n", "row 2: W 22 or well B09 occurs twice"),
        ("21,B99\n", "W '21' and well 'B99' must be a number"),
    ],
)
def test_a_table_with_a_mistake_is_rejected(tmp_path, lines, why):
    write_images(tmp_path, [image("x", 21)])
    (tmp_path / "wells.csv").write_text(f"W,well\n{lines}")
    with pytest.raises(InputError, match=why):
        open_plate(tmp_path)


def test_several_plates_are_rejected(tmp_path):
    write_images(tmp_path / "folders", [f"{plate}/W0001--A1/{image('A1', 1)}" for plate in ("one", "two")])
    with pytest.raises(InputError, match=r"run .*/one -o out/one\n.*run .*/two -o out/two"):
        open_plate(tmp_path / "folders")
    write_images(tmp_path / "labels", [image("A1--x", 1), image("A1--y", 1, 1)])
    with pytest.raises(InputError, match="W0001 is labelled A1--x and A1--y"):
        open_plate(tmp_path / "labels")
    write_images(tmp_path / "first", [image("p1--A1--x", 1), image("p2--A2--x", 2)])
    with pytest.raises(InputError, match=r"2 plates by their first label \(p1, p2\)"):
        open_plate(tmp_path / "first")
