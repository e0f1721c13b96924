"""files.csv, wells.csv and run.json."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucbatch.core.plate import FileRecord, FileStatus, Plate
from nucbatch.store.sheets import neutral, write_files_csv, write_run, write_wells

FILES = (
    FileRecord("TimePoint_1/a, b.tif", FileStatus.USED, "", "B03", 1, "DAPI", 0, 0, "B/3/1"),
    FileRecord("TimePoint_1/c.tif", FileStatus.USED, "", "B03", 2, "DAPI", 0, 0, "B/3/2"),
    FileRecord("thumb.tif", FileStatus.IGNORED, "thumbnail: a small copy"),
    FileRecord("d.tif", FileStatus.QUARANTINED, "cut short", "B04", 1, "DAPI", 0, 0, "B/4/1"),
)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_file_has_a_row_in_order(tmp_path: Path) -> None:
    path = tmp_path / "files.csv"
    write_files_csv(path, Plate("P", "/", "x", (), (), FILES))
    rows = _rows(path)
    assert list(rows[0]) == [
        "path",
        "status",
        "reason",
        "plate",
        "well",
        "site",
        "channel",
        "z",
        "t",
        "image",
    ]
    assert list(rows[0].values()) == [
        "TimePoint_1/a, b.tif",
        "used",
        "",
        "P",
        "B03",
        "1",
        "DAPI",
        "0",
        "0",
        "B/3/1",
    ]
    assert list(rows[2].values()) == ["thumb.tif", "ignored", "thumbnail: a small copy", "P", *[""] * 6]
    assert [row["status"] for row in rows] == ["used", "used", "ignored", "quarantined"]


def test_absent_chunks_of_a_used_image_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "files.csv"
    image = FileRecord("a.zarr/", FileStatus.USED, absent_chunks=1200, chunks=4096)
    fates = write_files_csv(path, Plate("P", "/", "x", (), (), (image,)))
    assert [(row["status"], row["reason"]) for row in _rows(path)] == [
        ("used", "1,200 of 4,096 chunks or tiles absent")
    ]
    assert fates == {FileStatus.USED: 1}


def test_unreadable_used_files_are_quarantined_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "files.csv"
    quarantined = FileStatus.QUARANTINED
    later = {"TimePoint_1/c.tif": (quarantined, "the disk said no"), "d.tif": (quarantined, "never asked")}
    write_files_csv(path, Plate("P", "/", "x", (), (), FILES), later)
    assert [(row["status"], row["reason"]) for row in _rows(path)] == [
        ("used", ""),
        ("quarantined", "the disk said no"),
        ("ignored", "thumbnail: a small copy"),
        ("quarantined", "cut short"),
    ]


@pytest.mark.parametrize(
    "text", ['=HYPERLINK("x")', "+1", "-1+2", "@SUM(A1)", "\tx", "\rx", "\nx", "\uff1d1"]
)
def test_formulas_are_escaped(text: str, tmp_path: Path) -> None:
    path = tmp_path / "files.csv"
    record = FileRecord(text, FileStatus.IGNORED, text, channel=text)
    write_files_csv(path, Plate(text, "/", "x", (), (), (record,)))
    row = _rows(path)[0]
    shown = "'" + text.replace("\r", " ").replace("\n", " ")
    assert [row[name] for name in ("path", "reason", "channel", "plate")] == [shown] * 4


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a;=cmd()", "a;'=cmd()"),
        ("a;  +1", "a;  '+1"),
        ('a;"=cmd()"', 'a;"\'=cmd()"'),
        ('x"=cmd()', "x\"'=cmd()"),
        ("a\t@x;-1", "a\t'@x;'-1"),
        ("a\n=cmd()", "a '=cmd()"),
        ("a\u2028\uff1d1", "a '\uff1d1"),
        (";=1", ";'=1"),
        (" =1", " '=1"),
        ("a-b; c = d (-1)", "a-b; c = d (-1)"),
        ("B03_s1-w1.tif", "B03_s1-w1.tif"),
    ],
)
def test_formulas_behind_separators_are_escaped(text: str, shown: str) -> None:
    assert neutral(text) == shown
    assert neutral(shown) == shown


@given(st.text(alphabet="a;=+-@\t\n\r \"'\uff1d,\x0b\u2028", max_size=12))
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_cell_begins_with_a_formula_for_any_separator(separator: str, text: str) -> None:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([neutral("x"), neutral(text), "y"])
    assert len(line.getvalue().splitlines()) == 1
    (cells,) = csv.reader([line.getvalue()], delimiter=separator)
    for cell in cells:
        assert not re.match(r'[\s"]*[=+\-@\uff1d]', cell)


def test_each_row_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "files.csv"
    records = [FileRecord("a", FileStatus.QUARANTINED, 'first\r\nsecond\nthird\rfourth, "x"')]
    write_files_csv(path, Plate("P", "/", "x", (), (), tuple(records)))
    assert len(path.read_text().splitlines()) == 2
    assert _rows(path)[0]["reason"] == 'first second third fourth, "x"'


def test_wells_round_trip_with_missing_values_empty(tmp_path: Path) -> None:
    path = tmp_path / "wells.csv"
    wells = pd.DataFrame(
        {
            "Metadata_Well": ["A01", "A02", "=1"],
            "Count_Nuclei": pd.array([3, None, 0], "Int64"),
            "Mean_Area": [0.1 + 0.2, np.nan, -1e-300],
        },
        index=[7, 8, 9],
    )
    write_wells(path, wells)
    assert path.read_text().splitlines() == [
        "Metadata_Well,Count_Nuclei,Mean_Area",
        "A01,3,0.30000000000000004",
        "A02,,",
        "'=1,0,-1e-300",
    ]


def test_an_empty_wells_table_has_its_columns(tmp_path: Path) -> None:
    write_wells(tmp_path / "wells.csv", pd.DataFrame({"Metadata_Well": [], "Count_Nuclei": []}))
    assert (tmp_path / "wells.csv").read_text() == "Metadata_Well,Count_Nuclei\n"


def test_run_json_keeps_order_and_rejects_nan(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_run(path, {"version": "0.1.0", "device": "µ", "a": [1, None]})
    assert list(json.loads(path.read_text(encoding="utf-8"))) == ["version", "device", "a"]
    assert "µ" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_run(path, {"x": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8"))["version"] == "0.1.0"
