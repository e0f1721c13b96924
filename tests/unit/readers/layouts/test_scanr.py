"""ScanR names, wells from side files, lost files, and side files that cannot be trusted."""

import re
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
import tifffile
from golden import write_images
from golden.scanr import IMAQ, STEM, descriptor, metadata
from hypothesis import given
from hypothesis import strategies as st

from nucbatch.core.errors import InputError
from nucbatch.core.plate import FileStatus
from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.scanr_names import parse
from nucbatch.readers.pixels import read_field


def name(well: str, number: int, position: int = 1, z: int = 0, t: int = 0, channel: str = "DAPI") -> str:
    return f"{well}--" + STEM.format(w=number, p=position, z=z, t=t, c=channel)


def reasons(plate, status=FileStatus.QUARANTINED) -> dict[str, str]:
    return {Path(record.path).name: record.reason for record in plate.files if record.status is status}


@given(
    well=st.sampled_from(["", "A1", "B03", "P24", "AF48"]),
    numbers=st.tuples(*[st.integers(0, 99_999)] * 4),
    channel=st.text("abGFP0159 #-_.()", min_size=1, max_size=12).filter(lambda text: text.strip() == text),
)
def test_every_combination_of_name_parts_is_parsed(well, numbers, channel):
    number, position, z, t = numbers
    found = parse(f"data/{name(well, number, position, z, t, channel)}")
    assert found is not None
    normal = re.sub(r"^([A-Z]+)([0-9])$", r"\g<1>0\2", well)
    assert (found.well, found.number, found.position, found.z, found.t) == (normal, *numbers)
    assert found.channel == channel.removesuffix(".ome")


@pytest.mark.parametrize(
    "other", ["W0021--P000--T0000--Z000--C00.tif", "A1--W1--P1--Z0--T0--DAPI.tif", "A1.tif"]
)
def test_other_names_are_not_scanr(other):
    assert parse(other) is None


def test_positions_pixel_size_and_order_of_channels_come_from_the_metadata(tmp_path):
    files = [name("B2", 14, p, channel=c) for p in (1, 2) for c in ("Cy3", "405 nm #1")]
    write_images(tmp_path / "data", files)
    images = [(14, 1, "B2", 100.0, 60_000.0, files[:2]), (14, 2, "B2", 700.0, 59_400.0, files[2:])]
    (tmp_path / "data/metadata.ome.xml").write_text(metadata(images, ["405 nm #1", "Cy3"]))
    plate = open_plate(tmp_path)
    assert [channel.name for channel in plate.channels] == ["405 nm #1", "Cy3"]
    assert [field.position_um for field in plate.fields] == [(-60_000.0, 100.0), (-59_400.0, 700.0)]
    assert [(field.pixel_size_um, field.time) for field in plate.fields] == [(0.325, "4.888 s")] * 2


@pytest.mark.parametrize(("size", "well"), [((8, 12), "B02"), ((4, 6), "C02"), ((16, 24), "A14")])
def test_a_number_is_counted_on_the_plates_own_columns(tmp_path, size, well):
    write_images(tmp_path / "data", [name("", 14)])
    (tmp_path / "experiment_descriptor.xml").write_bytes(descriptor(*size))
    plate = open_plate(tmp_path)
    assert (list(plate.wells()), plate.rows, plate.columns) == ([well], *size)
    assert plate.name == "Prüfplatte µ"


def test_a_descriptor_of_two_plate_sizes_tells_none(tmp_path):
    write_images(tmp_path / "data", [name("", 14)])
    one, other = (
        descriptor(*size).removeprefix(b"<LVData>").removesuffix(b"</LVData>") for size in ((8, 12), (4, 6))
    )
    (tmp_path / "experiment_descriptor.xml").write_bytes(b"<LVData>" + one + other + b"</LVData>")
    with pytest.raises(InputError, match="without a well in their names"):
        open_plate(tmp_path)
    (tmp_path / "experiment_descriptor.xml").write_bytes(b"<LVData>" + one + one + b"</LVData>")
    assert list(open_plate(tmp_path).wells()) == ["B02"]


def test_names_without_a_well_are_rejected_without_the_plates_size(tmp_path):
    write_images(tmp_path / "data", [name("", 14, p) for p in (1, 2)])
    with pytest.raises(
        InputError, match=r"(?s)without a well.*experiment_descriptor\.xml.*well_of_96"
    ) as caught:
        open_plate(tmp_path)
    pattern = re.search(r"--pattern '(.*)'", str(caught.value))[1]
    assert list(open_plate(tmp_path, pattern=pattern).wells()) == ["B02"]


def test_a_number_beyond_the_plate_is_rejected(tmp_path):
    write_images(tmp_path / "data", [name("", 14), name("", 25)])
    (tmp_path / "experiment_descriptor.xml").write_bytes(descriptor(4, 6))
    with pytest.raises(InputError, match="W00025 is not on the plate of 4 × 6 wells"):
        open_plate(tmp_path)


def test_wells_come_from_the_metadata_where_names_have_none(tmp_path):
    files = [name("", 14), name("", 15)]
    write_images(tmp_path / "data", files)
    images = [(14, 1, "B2", 0, 0, files[:1]), (15, 1, "B3", 0, 0, files[1:])]
    (tmp_path / "data/metadata.ome.xml").write_text(metadata(images, ["DAPI"]))
    assert list(open_plate(tmp_path).wells()) == ["B02", "B03"]


def test_listed_files_that_do_not_exist_are_gaps(tmp_path):
    present = [name("B2", 14, channel=c, z=z) for c in ("DAPI", "GFP") for z in (0, 1)]
    lost = [name("B2", 14, 2, channel=c, z=z) for c in ("DAPI", "GFP") for z in (0, 1)]
    other = name("C5", 29)
    write_images(tmp_path / "data", present[:3])
    images = [(14, 1, "B2", 0, 0, present), (14, 2, "B2", 0, 0, lost), (29, 1, "C5", 0, 0, [other])]
    images.append((30, 1, "C6", 0, 0, []))
    (tmp_path / "data/metadata.ome.xml").write_text(metadata(images, ["DAPI", "GFP"]))
    plate = open_plate(tmp_path)
    assert [(field.well, field.site) for field in plate.fields] == [
        ("B02", 1),
        ("B02", 2),
        ("C05", 1),
        ("C06", 1),
    ]
    whole, *gaps = plate.fields
    assert whole.problem == ""
    assert dict(whole.lacking) == {"GFP": f"data/metadata.ome.xml lists {present[3]}, which is not there"}
    assert [field.problem for field in gaps] == [
        f"no image: data/metadata.ome.xml lists {lost[0]} and 3 more files of it, which are not there",
        f"no image: data/metadata.ome.xml lists {other}, which is not there",
        "no image: data/metadata.ome.xml lists no file of this position",
    ]


def test_images_that_the_metadata_do_not_list_are_quarantined(tmp_path):
    files = [name("B2", 14), name("B3", 15)]
    write_images(tmp_path / "data", files)
    (tmp_path / "data/metadata.ome.xml").write_text(metadata([(14, 1, "B2", 0, 0, files[:1])], ["DAPI"]))
    plate = open_plate(tmp_path)
    assert list(plate.wells()) == ["B02"]
    assert reasons(plate) == {files[1]: "data/metadata.ome.xml lists no image of this name"}


@pytest.mark.parametrize(("disk", "listed"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_accents_may_be_written_in_another_form_than_in_the_metadata(tmp_path, disk, listed):
    written = name("B2", 14, channel="Hoechst gr\u00fcn")
    write_images(tmp_path / "data", [normalize(disk, written)])
    content = metadata([(14, 1, "B2", 0, 0, [normalize(listed, written)])], ["x"])
    (tmp_path / "data/metadata.ome.xml").write_text(content)
    plate = open_plate(tmp_path)
    assert (reasons(plate), plate.fields[0].problem) == ({}, "")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (metadata([(14, 1, "B2", 0, 0, [name("B2", 14)])], ["DAPI"])[:-300], "it ends too early"),
        (
            metadata([(14, 1, "D9", 0, 0, [name("B2", 14)])], ["DAPI"]),
            "it has well D09 for W00014, the names B02",
        ),
        (metadata([(1, 1, "A1", 0, 0, [name("A1", 1)])], ["DAPI"]), "it lists 1 image and none of these"),
        (
            metadata([(14, 1, "B2", 0, 0, [name("B2", 14)]), (15, 1, "B2", 0, 0, [])], ["DAPI"]),
            "it has the same well for W00014 and W00015",
        ),
        (
            metadata([(14, 1, "B2", 0, 0, [name("B2", 14)]), (15, 1, "?", 0, 0, [])], ["DAPI"]),
            "it lists W00015 without its well",
        ),
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><OME>&b;</OME>', "declares a document type"),
    ],
)
def test_names_decide_where_the_metadata_cannot_be_trusted(tmp_path, content, why):
    write_images(tmp_path / "data", [name("B2", 14)])
    (tmp_path / "data/metadata.ome.xml").write_text(content)
    plate = open_plate(tmp_path)
    assert (list(plate.wells()), plate.evidence) == (["B02"], "names")
    assert why in reasons(plate)["metadata.ome.xml"]


def test_a_descriptor_of_another_plate_is_not_used(tmp_path):
    write_images(tmp_path / "data", [name("B2", 14)])
    (tmp_path / "experiment_descriptor.xml").write_bytes(descriptor(4, 6))
    plate = open_plate(tmp_path)
    assert (list(plate.wells()), plate.rows, plate.fields[0].pixel_size_um) == (["B02"], 0, None)
    assert "on its plate of 4 × 6 wells W00014 is not B02" in reasons(plate)["experiment_descriptor.xml"]


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        (name("A1", 1), name("A2", 1), "W00001 the wells A01 and A02"),
        (name("A1", 1), name("A01", 13, 2), "W00001 and W00013 are both well A01"),
    ],
)
def test_names_of_several_plates_are_rejected(tmp_path, one, other, why):
    write_images(tmp_path / "data", [one, other])
    with pytest.raises(InputError, match=why):
        open_plate(tmp_path)


def test_several_plates_below_the_input_are_rejected_with_commands(tmp_path):
    for plate in ("one", "two"):
        write_images(tmp_path / plate / "data", [name("A1", 1)])
    with pytest.raises(InputError, match=r"(?s)2 plates.*run .*/one -o out/one\n.*run .*/two -o out/two"):
        open_plate(tmp_path)


def test_positions_may_count_from_0(tmp_path):
    write_images(tmp_path / "data", [name("A1", 1, p) for p in (0, 1)])
    assert [field.site for field in open_plate(tmp_path).fields] == [1, 2]


def test_the_sign_bit_is_decided_by_file(tmp_path):
    for number, (value, software) in enumerate([(0x8000 + 300, IMAQ), (40_000, "scanR 3.3")], start=1):
        pixels = np.full((4, 5), value, np.uint16)
        tifffile.imwrite(tmp_path / name(f"A{number}", number), pixels, software=software, metadata=None)
    plate = open_plate(tmp_path)
    values = [read_field(plate.root, field, plate.channels).max() for field in plate.fields]
    assert values == [300, 40_000]


@pytest.mark.real_data
def test_the_metadata_of_a_real_plate(tmp_path, shared_data):
    content = (shared_data / "plates/scanr_metadata/metadata.ome.xml").read_bytes()
    write_images(tmp_path / "data", ["B2--W00014--P00001--Z00000--T00000--405 nm #1.tif"])
    (tmp_path / "data/metadata.ome.xml").write_bytes(content)
    plate = open_plate(tmp_path)
    (field,) = plate.fields
    assert (field.well, field.pixel_size_um, field.position_um) == ("B02", 0.325, (-61_827.0, 100_090.0))
    assert (plate.channels[0].name, reasons(plate)) == ("405 nm #1", {})
