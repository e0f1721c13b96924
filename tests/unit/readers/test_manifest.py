"""Manifests: rows become fields, whatever became of the files they name."""

from pathlib import Path

import pytest

from nucbatch.errors import InputError
from nucbatch.plate import FileStatus
from nucbatch.readers.contract import ReadOptions
from nucbatch.readers.listing import scan
from nucbatch.readers.manifest import ManifestReader

HEAD = "FileName_DNA,PathName_DNA,FileName_GFP,PathName_GFP,Metadata_Plate,Metadata_Well,Metadata_Site\n"


def read(folder: Path, text: str, *files: str):
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"x")
    (folder / "load.csv").write_text(text, encoding="utf-8")
    return ManifestReader().read(scan(folder / "load.csv"), ReadOptions())


def fates(plate) -> dict[str, str]:
    return {record.path: record.reason for record in plate.files if record.status is FileStatus.QUARANTINED}


def test_rows_become_fields(tmp_path):
    text = HEAD + "d.tif,x,g.tif,.,P1,b3,2\n" + f"d2.tif,{tmp_path}/x,g2.tif,,P1,B04,1\n"
    plate = read(tmp_path, text, "x/d.tif", "g.tif", "x/d2.tif", "g2.tif", "unnamed.tif")
    assert plate.name == "P1"
    assert [channel.name for channel in plate.channels] == ["DNA", "GFP"]
    assert [(f.well, f.site, [p.path for p in f.planes]) for f in plate.fields] == [
        ("B03", 2, ["x/d.tif", "g.tif"]),
        ("B04", 1, ["x/d2.tif", "g2.tif"]),
    ]
    assert {record.path for record in plate.files} == {"load.csv", "x/d.tif", "g.tif", "x/d2.tif", "g2.tif"}


def test_columns_may_begin_with_image_as_cellprofiler_allows(tmp_path):
    text = "Image_FileName_DNA,Image_PathName_DNA,Image_URL_GFP,Metadata_Well\nd.tif,x,g.tif,A01\n"
    plate = read(tmp_path, text, "x/d.tif", "g.tif")
    assert [channel.name for channel in plate.channels] == ["DNA", "GFP"]
    assert [plane.path for plane in plate.fields[0].planes] == ["x/d.tif", "g.tif"]


def test_urls_of_files_are_read_and_others_refused(tmp_path):
    inside = f"file://{tmp_path}/a%20b.tif"
    text = f"URL_DNA,Metadata_Well\n{inside},A01\ns3://bucket/x.tif,A02\nhttps://host/x.tif,A03\n"
    plate = read(tmp_path, text, "a b.tif")
    assert [(f.well, bool(f.problem)) for f in plate.fields] == [("A01", False), ("A02", True), ("A03", True)]
    assert set(fates(plate)) == {"s3://bucket/x.tif", "https://host/x.tif"}


@pytest.mark.parametrize("path", ["../secret.tif", "/etc/hosts", "x/../../secret.tif", "link.tif"])
def test_paths_that_leave_the_folder_are_quarantined(tmp_path, path):
    folder = tmp_path / "in"
    (folder / "x").mkdir(parents=True)
    (tmp_path / "secret.tif").write_bytes(b"x")
    (folder / "link.tif").symlink_to("../secret.tif")
    plate = read(folder, f"FileName_DNA,Metadata_Well\n{path},A01\n")
    assert "leads out of the folder" in fates(plate)[path]
    assert [(f.well, f.planes) for f in plate.fields] == [("A01", ())]
    assert "leads out" in plate.fields[0].problem


def test_missing_files_keep_their_field(tmp_path):
    plate = read(tmp_path, HEAD + "d.tif,,gone.tif,,P,A01,1\n" + "d2.tif,,,,P,A02,1\n", "d.tif", "d2.tif")
    assert fates(plate) == {"gone.tif": "no such file"}
    assert [(f.problem, dict(f.lacking)) for f in plate.fields] == [
        ("", {"GFP": "channel GFP: gone.tif: no such file"}),
        ("", {"GFP": "its row names no file for channel GFP"}),
    ]


def test_a_row_without_any_usable_file_keeps_its_field(tmp_path):
    plate = read(tmp_path, HEAD + "gone.tif,,,,P,A01,1\n" + "d2.tif,,d3.tif,,P,A02,1\n", "d2.tif", "d3.tif")
    problem = "channel DNA: gone.tif: no such file; its row names no file for channel GFP"
    assert [(f.well, f.problem) for f in plate.fields] == [("A01", problem), ("A02", "")]


def test_a_file_named_twice_is_refused_everywhere(tmp_path):
    text = "FileName_DNA,Metadata_Well\na.tif,A01\na.tif,A02\nb.tif,A03\nload.csv,A04\n"
    plate = read(tmp_path, text, "a.tif", "b.tif")
    assert fates(plate) == {"a.tif": "the manifest names it 2 times"}
    assert [bool(f.problem) for f in plate.fields] == [True, True, False, True]
    assert len({record.path for record in plate.files}) == len(plate.files)


def test_without_wells_it_is_a_collection(tmp_path):
    plate = read(tmp_path, "FileName_DNA\nx/a.tif\nx/b.tif\n\n", "x/a.tif", "x/b.tif")
    assert not plate.is_plate
    assert [(f.group, f.site) for f in plate.fields] == [("a", 1), ("b", 2)]


def test_rows_and_columns_times_and_excel_numbers(tmp_path):
    head = "FileName_DNA,Metadata_Row,Metadata_Col,Metadata_Site,Metadata_Time\n"
    plate = read(tmp_path, head + "a.tif,2,3,0.0,1\nb.tif,B,03,1,2\n", "a.tif", "b.tif")
    assert [(f.well, f.site, f.t) for f in plate.fields] == [("B03", 1, 0), ("B03", 2, 1)]


def test_frames_inside_files_are_refused(tmp_path):
    plate = read(
        tmp_path, "FileName_DNA,Frame_DNA,Metadata_Well\na.tif,0,A01\nb.tif,3,A02\n", "a.tif", "b.tif"
    )
    assert "frame or series" in fates(plate)["b.tif"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no rows"),
        ("a,b\n1,2\n", "no column FileName_<Channel>"),
        ("FileName_D,Metadata_Well\na.tif,A99\n", "row 1: 'A99' is no well"),
        ("FileName_D,Metadata_Well,Metadata_Site\na.tif,A01,one\n", "row 1: Metadata_Site 'one'"),
        ("FileName_D,Metadata_Well,Metadata_Plate\na.tif,A01,P\nb.tif,A02,Q\n", r"names 2 plates \(P, Q\)"),
    ],
)
def test_bad_manifests_say_how_to_mend_them(tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        read(tmp_path, text)


def test_a_binary_file_is_no_manifest(tmp_path):
    (tmp_path / "load.csv").write_bytes(b"\xff\xfe\0\0")
    with pytest.raises(InputError, match="no CSV in UTF-8"):
        ManifestReader().read(scan(tmp_path / "load.csv"), ReadOptions())
