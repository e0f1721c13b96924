"""Rows of a manifest become fields, whatever happens to their files."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from golden import write_images
from golden.loaddata import BATCH, IMAGES, MEASUREMENT, write_gallery

from nucbatch.core.errors import InputError
from nucbatch.core.plate import FileStatus
from nucbatch.readers.contract import ReadOptions
from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.manifest import ManifestReader
from nucbatch.readers.listing import scan
from nucbatch.readers.pixels import read_field

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


def test_file_urls_are_read_and_others_rejected(tmp_path):
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


def test_a_file_named_twice_is_rejected_everywhere(tmp_path):
    text = "FileName_DNA,Metadata_Well\na.tif,A01\na.tif,A02\nb.tif,A03\nload.csv,A04\n"
    plate = read(tmp_path, text, "a.tif", "b.tif")
    assert fates(plate) == {"a.tif": "the manifest names it 2 times"}
    assert [bool(f.problem) for f in plate.fields] == [True, True, False, True]
    assert len({record.path for record in plate.files}) == len(plate.files)


def test_a_manifest_without_wells_is_a_collection(tmp_path):
    plate = read(tmp_path, "FileName_DNA\nx/a.tif\nx/b.tif\n\n", "x/a.tif", "x/b.tif")
    assert not plate.is_plate
    assert [(f.group, f.site) for f in plate.fields] == [("a", 1), ("b", 2)]


def test_rows_and_columns_times_and_excel_numbers(tmp_path):
    head = "FileName_DNA,Metadata_Row,Metadata_Col,Metadata_Site,Metadata_Time\n"
    plate = read(tmp_path, head + "a.tif,2,3,0.0,1\nb.tif,B,03,1,2\n", "a.tif", "b.tif")
    assert [(f.well, f.site, f.t) for f in plate.fields] == [("B03", 1, 0), ("B03", 2, 1)]


def test_illumination_corrections_are_not_channels(tmp_path):
    head = "FileName_OrigDNA,FileName_IllumDNA,PathName_IllumDNA,FileName_CorrGFP,Metadata_Well\n"
    rows = "a.tif,i.npy,illum,c.mat,A01\nb.tif,i.npy,illum,c.mat,A02\n"
    plate = read(tmp_path, head + rows, "a.tif", "b.tif", "illum/i.npy")
    assert [channel.name for channel in plate.channels] == ["OrigDNA"]
    assert [(f.problem, f.lacking) for f in plate.fields] == [("", ()), ("", ())]
    reasons = {record.path: record.reason.split(":")[0] for record in plate.files if record.reason}
    assert reasons == {"load.csv": "manifest", "illum/i.npy": "illumination-correction"}


@pytest.mark.parametrize(
    "folder",
    [
        "/mnt/share/screen/plate1/images",
        r"D:\screen\plate1\images",
        r"\\server\share\screen\plate1\images\\",
        "../plate1/images",
        "plate1/images",
        "images",
        "",
    ],
)
def test_paths_of_another_machine_are_found_below_the_root(tmp_path, folder):
    (tmp_path / "here" / "images").mkdir(parents=True)
    (tmp_path / "here" / "images" / "a.tif").write_bytes(b"x")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "load.csv").write_text(
        f"FileName_DNA,PathName_DNA,Metadata_Well\na.tif,{folder},A01\n", encoding="utf-8"
    )
    root = tmp_path / "here" / ("" if folder else "images")
    plate = ManifestReader().read(scan(tmp_path / "lists" / "load.csv"), ReadOptions(root=root))
    (only,) = plate.fields
    assert [plane.path for plane in only.planes] == ["images/a.tif" if folder else "a.tif"]
    assert plate.root == str(root)
    assert fates(plate) == {}


def test_the_longest_matching_path_tail_is_the_image(tmp_path):
    text = (
        "FileName_DNA,PathName_DNA,Metadata_Well\n"
        + "a.tif,/x/p1/img,A01\na.tif,/x/p2/img,A02\na.tif,/y/img,A03\n"
    )
    for place in ("p1/img", "p2/img", "img"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "a.tif").write_bytes(b"x")
    (tmp_path / "load.csv").write_text(text, encoding="utf-8")
    plate = ManifestReader().read(scan(tmp_path / "load.csv"), ReadOptions(root=tmp_path))
    paths = [plane.path for field in plate.fields for plane in field.planes]
    assert paths == ["p1/img/a.tif", "p2/img/a.tif", "img/a.tif"]


GALLERY_ROOTS = (
    ".",
    "images",
    f"images/{BATCH}",
    f"images/{BATCH}/images",
    f"images/{BATCH}/images/{MEASUREMENT}",
    f"images/{BATCH}/images/{MEASUREMENT}/Images",
)


@pytest.mark.parametrize("root", GALLERY_ROOTS)
def test_images_of_the_cell_painting_gallery_are_found_from_every_folder_above_them(tmp_path, root):
    table = write_gallery(tmp_path)
    write_images(tmp_path / "images/2021/images/BR1__x/Images", ["r01c01f01p01-ch5sk1fk1fl1.tiff"])
    plate = ManifestReader().read(scan(table), ReadOptions(root=tmp_path / root))
    assert (plate.name, len(plate.fields)) == ("BR00116991", 6)
    used = [Path(plate.root, plane.path) for field in plate.fields for plane in field.planes]
    assert len(used) == 11
    assert {path.parent for path in used} == {tmp_path / IMAGES}


def test_a_table_in_parquet_is_read_as_its_text(tmp_path):
    """As in the JUMP datasets: paths are addresses in a bucket, numbers are numbers, and some are missing."""
    folder = "cpg0016-jump/source_4/images/2021_08_23_Batch12/images/BR1__x/Images/"
    write_images(tmp_path / "source_4/images/2021_08_23_Batch12/images/BR1__x/Images", ["a.tiff", "b.tiff"])
    table = pd.DataFrame(
        {
            "FileName_OrigDNA": ["a.tiff", "b.tiff"],
            "PathName_OrigDNA": [f"s3://cellpainting-gallery/{folder}"] * 2,
            "Metadata_Plate": ["BR1", "BR1"],
            "Metadata_Well": ["A01", "A02"],
            "Metadata_Site": [1, 2],
            "Metadata_Dose": [0.5, None],
            "Metadata_Source": ["source_4", None],
        }
    )
    path = tmp_path / "source_4/load_data_with_illum.parquet"
    table.to_parquet(path)
    plate = open_plate(path, root=tmp_path)
    assert [(f.well, f.site, bool(f.planes)) for f in plate.fields] == [("A01", 1, True), ("A02", 2, True)]
    assert plate.fields[0].metadata == (("Metadata_Dose", 0.5), ("Metadata_Source", "source_4"))
    assert plate.fields[1].metadata == (("Metadata_Dose", None), ("Metadata_Source", ""))
    alone = ManifestReader().read(scan(path), ReadOptions())
    assert all(
        "name the folder that holds the images with --root" in reason for reason in fates(alone).values()
    )
    path.write_bytes(b"PAR1")
    with pytest.raises(InputError, match="can't be read as Parquet"):
        open_plate(path)


def test_a_folder_of_the_same_name_alone_may_be_another_plate(tmp_path):
    """The image exists below the root, but in another plate's folder Images."""
    write_images(tmp_path, ["P1/Images/a.tif"])
    (tmp_path / "load.csv").write_text("FileName_D,PathName_D,Metadata_Well\na.tif,/x/P9/Images,A01\n")
    plate = ManifestReader().read(scan(tmp_path / "load.csv"), ReadOptions(root=tmp_path))
    assert fates(plate) == {"/x/P9/Images/a.tif": "no such file"}


def test_two_folders_that_fit_are_both_rejected(tmp_path):
    write_images(tmp_path, ["one/P1/Images/a.tif", "two/P1/Images/a.tif", "two/P1/Images/b.tif"])
    rows = "a.tif,/x/P1/Images,A01\nb.tif,/x/P1/Images,A02\n"
    (tmp_path / "load.csv").write_text(f"FileName_D,PathName_D,Metadata_Well\n{rows}")
    plate = ManifestReader().read(scan(tmp_path / "load.csv"), ReadOptions(root=tmp_path))
    assert [field.planes for field in plate.fields] == [(), ()]
    (reason,) = set(fates(plate).values())
    assert f"{tmp_path}/one/P1/Images and {tmp_path}/two/P1/Images: name one of them" in reason
    narrower = ManifestReader().read(scan(tmp_path / "load.csv"), ReadOptions(root=tmp_path / "two"))
    assert len([field for field in narrower.fields if field.planes]) == 2


def test_positions_of_harmony_are_metres_with_y_up(tmp_path):
    plate = ManifestReader().read(scan(write_gallery(tmp_path)), ReadOptions(root=tmp_path))
    first, second = plate.fields[:2]
    assert first.position_um == (0, 0)
    assert second.position_um == pytest.approx((323, 323))  # written as x 323, y -323: below and to the right
    assert (second.pixel_size_um, plate.evidence) == (pytest.approx(0.598), "side file")
    assert dict(second.metadata)["Metadata_PositionY"] == -0.000323


@pytest.mark.parametrize(
    ("columns", "values", "said"),
    [
        ("PositionX,PositionY", "100,200", "known for tables of Harmony only"),
        ("PositionX,PositionY,ImageResolutionX", "1e-4,1e-4,5e-7", "known for tables of Harmony only"),
        ("AbsTime,ImageResolutionX", "2020,0.598", r"ImageResolutionX not read: 0\.598 can't be metres"),
        ("AbsTime,ImageResolutionX,PositionX,PositionY", "x,5e-7,323,-323", r"-323\.0 can't be metres"),
        ("AbsTime,ImageResolutionX,PositionX,PositionY", "x,5e-7,a,b", "'b' can't be metres"),
    ],
)
def test_positions_whose_units_are_not_certain_are_not_read(tmp_path, columns, values, said):
    head = ",".join(f"Metadata_{name}" for name in columns.split(","))
    plate = read(tmp_path, f"FileName_D,Metadata_Well,{head}\na.tif,A01,{values}\n", "a.tif")
    assert plate.fields[0].position_um is None
    assert re.search(said, plate.remarks[0])


@pytest.mark.parametrize("url", ["s3://bucket/screen/p1/a%20b.tif", "file:///C:/screen/p1/a%20b.tif"])
def test_urls_are_found_below_the_root(tmp_path, url):
    (tmp_path / "p1").mkdir()
    (tmp_path / "p1" / "a b.tif").write_bytes(b"x")
    (tmp_path / "load.csv").write_text(f"URL_DNA,Metadata_Well\n{url},A01\n", encoding="utf-8")
    plate = ManifestReader().read(scan(tmp_path / "load.csv"), ReadOptions(root=tmp_path))
    assert [plane.path for plane in plate.fields[0].planes] == ["p1/a b.tif"]


def test_paths_stay_below_the_root(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.tif").write_bytes(b"x")
    (tmp_path / "in" / "link.tif").symlink_to("../secret.tif")
    rows = "link.tif,/x,A01\nsecret.tif,/x/..,A02\n../secret.tif,/x,A03\n"
    (tmp_path / "load.csv").write_text(f"FileName_DNA,PathName_DNA,Metadata_Well\n{rows}", encoding="utf-8")
    plate = ManifestReader().read(scan(tmp_path / "load.csv"), ReadOptions(root=tmp_path / "in"))
    assert [field.planes for field in plate.fields] == [(), (), ()]
    assert "leads out of the folder" in fates(plate)["/x/link.tif"]


def test_the_message_without_a_root_suggests_it(tmp_path):
    rows = "a.tif,/mnt/share,A01\nb.tif,D:\\screen,A02\n"
    plate = read(tmp_path, f"FileName_DNA,PathName_DNA,Metadata_Well\n{rows}", "a.tif", "b.tif")
    assert all("--root" in reason for reason in fates(plate).values())
    assert len(fates(plate)) == 2


def test_a_root_must_be_a_folder(tmp_path):
    (tmp_path / "load.csv").write_text("FileName_DNA\na.tif\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"--root .*nowhere is no folder"):
        ManifestReader().read(scan(tmp_path / "load.csv"), ReadOptions(root=tmp_path / "nowhere"))
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 9), np.uint8))
    with pytest.raises(InputError, match="--root is for a manifest"):
        open_plate(tmp_path / "a.tif", root=tmp_path)


@pytest.mark.parametrize("url", ["http://[x/y", "//[::1", "http://[fe80::/a.tif"])
def test_an_invalid_url_affects_its_row_only(tmp_path, url):
    plate = read(tmp_path, f"URL_DNA,Metadata_Well\n{url},A01\nb.tif,A02\n", "b.tif")
    assert [(f.well, bool(f.problem)) for f in plate.fields] == [("A01", True), ("A02", False)]
    assert "no address that can be read" in fates(plate)[url]


def test_backslashes_separate_folders_unless_part_of_a_name(tmp_path):
    rows = "x\\a.tif,A01\nb\\c.tif,A02\n"
    plate = read(tmp_path, f"FileName_DNA,Metadata_Well\n{rows}", "x/a.tif", "b\\c.tif")
    assert [plane.path for f in plate.fields for plane in f.planes] == ["x/a.tif", "b\\c.tif"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("named", [False, True])
def test_separators_byte_order_marks_and_empty_rows(tmp_path, separator, encoding, named):
    (tmp_path / "a, b.tif").write_bytes(b"x")
    lines = [
        ["filename_DNA", "metadata_well", "Metadata_Dose"],
        ['"a, b.tif"', "A01", "0.5"],
        ["", " ", ""],
        [],
    ]
    text = "".join(separator.join(line) + "\r\n" for line in lines)
    text = f"sep={separator}\r\n{text}" if named else text
    (tmp_path / "load.csv").write_bytes(text.encode(encoding))
    plate = ManifestReader().read(scan(tmp_path / "load.csv"), ReadOptions())
    (only,) = plate.fields
    assert ([p.path for p in only.planes], only.metadata) == (["a, b.tif"], (("Metadata_Dose", 0.5),))


def test_a_row_is_named_by_its_line(tmp_path):
    with pytest.raises(InputError, match="row 3: 'A99' is no well"):
        read(tmp_path, "FileName_D,Metadata_Well\na.tif,A01\n,\nb.tif,A99\n", "a.tif", "b.tif")


def test_operetta_well_names_are_read(tmp_path):
    plate = read(tmp_path, "FileName_DNA,Metadata_Well\na.tif,r02c03\nb.tif,R16C24\n", "a.tif", "b.tif")
    assert [field.well for field in plate.fields] == ["B03", "P24"]


def test_plane_ids_are_z_steps(tmp_path):
    head = "FileName_DNA,Metadata_Well,Metadata_FieldID,Metadata_PlaneID,Metadata_Dose,Metadata_PositionZ\n"
    rows = "a1.tif,A01,1,1,3,0\na2.tif,A01,1,2,3,2e-6\nb1.tif,A02,1,1,4,0\n"
    plate = read(tmp_path, head + rows, "a1.tif", "a2.tif", "b1.tif")
    assert [[(p.path, p.z) for p in f.planes] for f in plate.fields] == [
        [("a1.tif", 0), ("a2.tif", 1)],
        [("b1.tif", 0)],
    ]
    assert [dict(f.metadata) for f in plate.fields] == [
        {"Metadata_FieldID": 1, "Metadata_PlaneID": None, "Metadata_Dose": 3, "Metadata_PositionZ": None},
        {"Metadata_FieldID": 1, "Metadata_PlaneID": 1, "Metadata_Dose": 4, "Metadata_PositionZ": 0},
    ]


def test_metadata_columns_are_numeric_only_if_all_values_are(tmp_path):
    head = (
        "FileName_DNA,Metadata_Well,Metadata_Site,Metadata_Dose,Metadata_Barcode,Metadata_Mixed,Metadata_No\n"
    )
    rows = "a.tif,A01,1,1e-3,007,1,\nb.tif,A02,1,,12,x,\n"
    plate = read(tmp_path, head + rows, "a.tif", "b.tif")
    assert [dict(f.metadata) for f in plate.fields] == [
        {"Metadata_Dose": 0.001, "Metadata_Barcode": "007", "Metadata_Mixed": "1"},
        {"Metadata_Dose": None, "Metadata_Barcode": "12", "Metadata_Mixed": "x"},
    ]


def test_a_frame_is_one_page_of_its_file(tmp_path):
    pages = np.arange(3 * 8 * 9, dtype=np.uint16).reshape(3, 8, 9)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:  # nothing says what its pages are
        for page in pages:
            writer.write(page, contiguous=False, metadata=None)
    tifffile.imwrite(tmp_path / "b.tif", pages, imagej=True)  # all pages behind one directory
    rows = "a.tif,2,b.tif,0,A01\na.tif,0,b.tif,2,A02\na.tif,1,b.tif,1,A03\n"
    text = f"FileName_DNA,Frame_DNA,FileName_GFP,Frame_GFP,Metadata_Well\n{rows}"
    (tmp_path / "load.csv").write_text(text, encoding="utf-8")
    plate = open_plate(tmp_path / "load.csv")
    assert [field.problem for field in plate.fields] == ["", "", ""]
    for field, expected in zip(plate.fields, ([2, 0], [0, 2], [1, 1]), strict=True):
        np.testing.assert_array_equal(read_field(plate.root, field, plate.channels), pages[expected])
    assert sorted(record.path for record in plate.files) == ["a.tif", "b.tif", "load.csv"]
    assert {record.path: record.channel for record in plate.files if record.channel} == {
        "a.tif": "DNA",
        "b.tif": "GFP",
    }


def test_a_missing_frame_affects_its_channel_only(tmp_path):
    for name in ("a", "b", "c", "d"):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((8, 9), np.uint16))
    rows = "a.tif,3,b.tif,0,,A01\nc.tif,x,d.tif,,1,A02\n"
    text = f"FileName_DNA,Frame_DNA,FileName_GFP,Frame_GFP,Series_GFP,Metadata_Well\n{rows}"
    (tmp_path / "load.csv").write_text(text, encoding="utf-8")
    plate = open_plate(tmp_path / "load.csv")
    assert fates(plate) == {
        "a.tif": "it has no frame 3: its 1 are counted from 0",
        "c.tif": "its frame 'x' must be a whole number from 0",
        "d.tif": "a series inside a file of many can't be read: split the file",
    }
    assert [[p.path for p in field.planes] for field in plate.fields] == [["b.tif"], []]


def test_a_frame_named_twice_is_rejected(tmp_path):
    text = "FileName_DNA,Frame_DNA,Metadata_Well\na.tif,1,A01\na.tif,1,A02\n"
    assert fates(read(tmp_path, text, "a.tif")) == {"a.tif": "the manifest names it 2 times"}


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
def test_invalid_manifests_give_the_remedy(tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        read(tmp_path, text)


def test_a_binary_file_is_rejected(tmp_path):
    (tmp_path / "load.csv").write_bytes(b"\xff\xfe\0\0")
    with pytest.raises(InputError, match="no CSV in UTF-8"):
        ManifestReader().read(scan(tmp_path / "load.csv"), ReadOptions())
