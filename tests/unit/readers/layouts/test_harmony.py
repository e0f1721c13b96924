"""Harmony's and Columbus' layout: index and names."""

import re
import tracemalloc
from pathlib import Path

import imagecodecs
import numpy as np
import openreadout
import pytest
import tifffile
from golden import write_images
from golden.harmony import PROFILE, STAINS, TREES, index, new_name, old_name, places

from nucbatch.core.errors import InputError
from nucbatch.core.plate import FileStatus, Plate
from nucbatch.planning.plan import nuclear_channel
from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.harmony_index import read_index
from nucbatch.readers.layouts.harmony_name import HarmonyName, measurement_folder, parse
from nucbatch.readers.listing import scan
from nucbatch.readers.pixels import FieldReader
from nucbatch.readers.plate_cache import cache_content, load_plate

Edit = tuple[str, str]


def written(
    folder: Path, listed, *edits: Edit, name: str = "Index.idx.xml", version: str = "V5", **how
) -> Path:
    """A measurement of these images, with the index' text edited by (regex, replacement)."""
    write_images(folder, (name for _, name in listed))
    text = index(listed, version, **how)
    for regex, replacement in edits:
        text, count = re.subn(regex, replacement, text)
        assert count
    (folder / name).write_text(text, encoding="utf-8-sig")
    return folder


def named(listed) -> list:
    return [(place, old_name(place)) for place in listed]


ONE = named(places([(2, 3)], 2))


def reasons(plate: Plate) -> dict[str, str]:
    return {record.path: record.reason for record in plate.files if record.status is FileStatus.QUARANTINED}


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("r01c02f03p04-ch5sk6fk1fl1.tiff", HarmonyName("A02", 3, 5, 3, 5)),
        ("r16c24f100p01-ch01t12.tiff", HarmonyName("P24", 100, 1, 0, 11)),
        ("R32C48F01P100-CH12SK1FK1FL1.TIF", HarmonyName("AF48", 1, 12, 99, 0)),
        ("r00c01f01p01-ch1sk1fk1fl1.tiff", None),
        ("r33c01f01p01-ch1sk1fk1fl1.tiff", None),
        ("r01c49f01p01-ch1sk1fk1fl1.tiff", None),
        ("r01c01f00p01-ch1sk1fk1fl1.tiff", None),
        ("r01c01f01p01-ch1sk0fk1fl1.tiff", None),
        ("r01c01f01p01-ch1sk1fk1fl1.png", HarmonyName("A01", 1, 1, 0, 0)),
        ("r01c01f01p01-ch1sk1fk1fl1.xml", None),
        ("r01c01f01p01-ch1.tiff", None),
    ],
)
def test_names(name, place):
    assert parse(name) == place


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("a.tiff", ""),
        ("Images/a.tiff", ""),
        ("p__2022-Measurement 1/Images/r03c07/a.tiff", "p__2022-Measurement 1"),
        ("p/images/a.tiff", "p"),
        ("p/other/a.tiff", "p/other"),
    ],
)
def test_the_folder_of_a_measurement(path, folder):
    assert measurement_folder(path) == folder


@pytest.mark.parametrize(("version", "named_by"), [("V5", old_name), ("V6", old_name), ("V7", new_name)])
def test_channels_positions_and_times_are_those_of_the_index(tmp_path, version, named_by):
    listed = [(place, named_by(place)) for place in places([(2, 3)], 5, planes=2, channels=3, times=2)]
    plate = open_plate(written(tmp_path, listed, version=version))
    assert (plate.name, plate.rows, plate.columns) == ("Plate 7", 16, 24)
    assert [bool(channel.flat_field) for channel in plate.channels] == [False, True, True]
    assert [(one.name, one.aliases, one.excitation_nm, one.emission_nm) for one in plate.channels] == [
        (STAINS[0], ("ch1",), 405, 456),
        (STAINS[1], ("ch2",), 488, 522),
        (STAINS[2], ("ch3",), 740, None),
    ]
    assert plate.channel("CH2").name == STAINS[1]
    assert {field.t for field in plate.fields} == {0, 1}
    assert {field.site: field.position_um for field in plate.fields} == {
        1: (0, 0),
        2: (0, -640),
        3: (0, 640),
        4: (-640, 0),  # Y is up in the index
        5: (-640, -640),
    }
    assert {round(field.pixel_size_um, 6) for field in plate.fields} == {0.296688}
    first = plate.fields[0]
    assert first.time == ("2022-12-19T10:19:21.58+01:00" if version == "V5" else "")
    assert [(plane.path, plane.channel, plane.z) for plane in first.planes] == [
        (named_by((2, 3, 1, z + 1, c, 1)), STAINS[c - 1], z) for c in (1, 2, 3) for z in (0, 1)
    ]
    assert load_of_cache(plate, tmp_path) == plate


def load_of_cache(plate: Plate, folder: Path) -> Plate | None:
    (folder / "cache").write_bytes(cache_content(plate))
    return load_plate(folder / "cache", plate.listed, plate.root)


def test_the_time_point_in_the_names_decides_from_where_the_index_counts(tmp_path):
    listed = [(place, new_name(place)) for place in places([(2, 3)], 1, times=3)][2:]  # times 2 and 3
    plate = open_plate(written(tmp_path, listed, ('Version="2"', 'Version="1"'), version="V7"))
    assert [field.t for field in plate.fields] == [1, 2]


@pytest.mark.parametrize("with_index", [True, False])
@pytest.mark.parametrize(
    "tags",
    [
        {"resolution": (10_000 / 0.645, 10_000 / 0.645), "resolutionunit": 3},
        {"imagej": True, "resolution": (1 / 0.645, 1 / 0.645), "metadata": {"unit": "um"}},
    ],
)
def test_the_resolution_of_the_camera_is_never_used(tmp_path, tags, with_index):
    written(tmp_path, ONE, ("<ImageResolution.*?</ImageResolutionY>", ""))
    for _, name in ONE:
        tifffile.imwrite(tmp_path / name, np.zeros((16, 16), np.uint16), **tags)
    if not with_index:
        (tmp_path / "Index.idx.xml").unlink()
    assert [field.pixel_size_um for field in open_plate(tmp_path).fields] == [None, None]
    assert open_plate(tmp_path, pixel_size_um=0.5).fields[0].pixel_size_um == 0.5


def test_in_other_layouts_too_the_resolution_of_harmony_is_the_cameras(tmp_path):
    xml = b'<?xml version="1.0"?><TiffImageDescription/>'
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.zeros((16, 16), np.uint16),
        resolution=(10_000 / 0.645, 10_000 / 0.645),
        resolutionunit=3,
        extratags=[(65500, 7, len(xml), xml, True)],
    )
    assert open_plate(tmp_path).fields[0].pixel_size_um is None


def test_names_alone_say_what_is_unknown(tmp_path):
    folder = tmp_path / "Plate X__2022-12-19T10_18_52-Measurement 1" / "Images"
    write_images(folder, (name for _, name in ONE))
    plate = open_plate(folder.parent)
    assert (plate.name, plate.evidence) == ("Plate X", "names")
    assert open_plate(folder).name == "Plate X"
    (remark,) = plate.remarks
    assert "no usable index" in remark
    assert "--pixel-size" in remark
    assert all(field.position_um is None for field in plate.fields)


def test_listed_images_that_are_not_there_are_gaps_with_the_reason(tmp_path):
    listed = named(places([(2, 3), (3, 7)], 2, planes=2))
    written(tmp_path, listed)
    for place, name in listed:
        if place[:3] == (2, 3, 2) or place[:5] == (3, 7, 1, 1, 2):
            (tmp_path / name).unlink()
    (tmp_path / "r05c05f01p01-ch1sk1fk1fl1.tiff").write_bytes((tmp_path / listed[0][1]).read_bytes())
    plate = open_plate(tmp_path)
    fields = {(field.well, field.site): field for field in plate.fields}
    assert list(fields) == [("B03", 1), ("B03", 2), ("C07", 1), ("C07", 2)]
    lost = "r02c03f02p01-ch1sk1fk1fl1.tiff, listed in Index.idx.xml, is not there (and 3 more images)"
    assert fields["B03", 2].problem == lost
    assert fields["B03", 2].position_um == (0, -640)
    # one of two planes is gone: a projection of the other would not be comparable
    gone = "r03c07f01p01-ch2sk1fk1fl1.tiff, listed in Index.idx.xml, is not there"
    assert fields["C07", 1].lacking == ((STAINS[1], gone),)
    assert reasons(plate) == {"r05c05f01p01-ch1sk1fk1fl1.tiff": "Index.idx.xml does not list it"}


def test_an_image_whose_state_is_not_ok_is_not_used(tmp_path):
    bad = old_name((2, 3, 2, 1, 1, 1))
    plate = open_plate(written(tmp_path, ONE, states={bad: "Error"}))
    reason = "Index.idx.xml gives its state as Error"
    assert reasons(plate) == {bad: reason}
    (record,) = [record for record in plate.files if record.path == bad]
    assert (record.well, record.site, record.channel, record.z, record.t) == ("B03", 2, STAINS[0], 0, 0)
    assert plate.fields[1].lacking == ((STAINS[0], reason),)


def test_a_channel_that_was_not_acquired_in_some_wells_is_not_missed(tmp_path):
    listed = named([*places([(2, 3)], 1, channels=3), *places([(3, 7)], 1, channels=2)])
    plate = open_plate(written(tmp_path, listed))
    assert [(field.well, field.problem, field.lacking) for field in plate.fields] == [
        ("B03", "", ()),
        ("C07", "", ()),
    ]


def test_a_lost_nuclear_channel_is_not_replaced_by_the_one_that_is_left(tmp_path):
    written(tmp_path, ONE)
    for place, name in ONE:
        if place[4] == 1:
            (tmp_path / name).unlink()
    assert nuclear_channel(open_plate(tmp_path), "") == STAINS[0]


def test_a_well_that_was_measured_and_has_no_image_is_a_gap(tmp_path):
    plate = open_plate(written(tmp_path, ONE, ('<Well id="0203" />', '<Well id="0203" /><Well id="0415" />')))
    assert [(field.well, field.problem) for field in plate.fields][2:] == [
        ("D15", "Index.idx.xml lists the well as measured, but no image of it")
    ]


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (("</Images></EvaluationInputData>", ""), "it ends too early"),
        (("<Images>", "<Images"), "it is damaged"),
        (("<Row>2</Row>", "<Row>5</Row>"), "as well E03, field 1"),
        (("<FieldID>2</FieldID>", "<FieldID>1</FieldID>"), "as well B03, field 1"),
        (("<TimepointID>0</TimepointID>", "<TimepointID>4</TimepointID>"), "its TimepointID contradict"),
        (("<ChannelID>2</ChannelID>", ""), "has no usable place: Row 2, Col 3"),
        (("<Row>2</Row>", "<Row>99</Row>"), "has no usable place"),
        ((STAINS[1] + "</ChannelName>(.*)f02", r"GFP</ChannelName>\1f02"), "names channel 2 both"),
        (("f02p01-ch2", "f02p01-ch1"), "as well B03, field 2, plane 1, channel 2"),
        (("<Images>.*</Images>", "<Images/>"), "it lists no image"),
        (("EvaluationInputData", "Something"), None),
        (("r02c03f", "r04c04f"), "as well B03"),
        (('<\\?xml version="1.0" encoding="utf-8"\\?>', "<!DOCTYPE a>"), "declares a document type"),
    ],
)
def test_an_index_that_is_wrong_is_quarantined_and_names_are_used(tmp_path, edit, reason):
    plate = open_plate(written(tmp_path, ONE, (f"(?s){edit[0]}", edit[1])))
    if reason is None:  # the root's name does not matter
        assert plate.evidence == "side file"
        return
    assert reason in reasons(plate)["Index.idx.xml"]
    assert (plate.evidence, len(plate.fields)) == ("names", 2)
    assert plate.remarks[0].startswith("Index.idx.xml is not used: ")


def test_the_index_of_another_measurement_is_not_used(tmp_path):
    written(tmp_path, ONE)
    (tmp_path / "Index.idx.xml").write_text(index(named(places([(5, 5)], 2))))
    plate = open_plate(tmp_path)
    assert reasons(plate) == {"Index.idx.xml": "it lists 4 images, and none of those that are here"}
    assert {field.well for field in plate.fields} == {"B03"}


@pytest.mark.parametrize(
    "to", ["../outside/", "..\\\\outside\\\\", "{outside}/", "file://{outside}/", "//host/"]
)
def test_an_index_never_leads_out_of_the_input(tmp_path, to):
    (tmp_path / "in").mkdir()
    written(tmp_path / "in", ONE, ("<URL>", f"<URL>{to.format(outside=tmp_path / 'outside')}"))
    (tmp_path / "outside").mkdir()
    gone = ONE[0][1]
    (tmp_path / "in" / gone).rename(tmp_path / "outside" / gone)
    plate = open_plate(tmp_path / "in")
    assert gone not in {plane.path.rpartition("/")[2] for field in plate.fields for plane in field.planes}
    assert sum(len(field.planes) for field in plate.fields) == 3
    assert plate.fields[0].lacking[0][1].endswith("is not there")


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_converted_images_belong_to_their_records(tmp_path, suffix):
    written(tmp_path, ONE)
    for _, name in ONE:
        (tmp_path / name).unlink()
        write_picture(tmp_path / Path(name).with_suffix(suffix))
    plate = open_plate(tmp_path)
    assert (plate.evidence, reasons(plate), len(plate.fields)) == ("side file", {}, 2)
    assert all(len(field.planes) == 2 for field in plate.fields)


def test_beside_the_image_of_the_index_a_converted_one_is_not_used(tmp_path):
    written(tmp_path, ONE)
    (tmp_path / ONE[0][1]).with_suffix(".tif").write_bytes((tmp_path / ONE[0][1]).read_bytes())
    plate = open_plate(tmp_path)
    assert list(reasons(plate).values()) == ["Index.idx.xml does not list it"]
    assert all(len(field.planes) == 2 for field in plate.fields)


def write_picture(path: Path) -> None:
    pixels = np.zeros((16, 16), np.uint16)
    if path.suffix == ".png":
        path.write_bytes(imagecodecs.png_encode(pixels))
    else:
        tifffile.imwrite(path, pixels)


def test_an_index_above_the_input_is_pointed_out(tmp_path):
    written(tmp_path, ONE)
    (tmp_path / "r02c03").mkdir()
    for _, name in ONE:
        (tmp_path / name).rename(tmp_path / "r02c03" / name)
    assert open_plate(tmp_path).evidence == "side file"
    plate = open_plate(tmp_path / "r02c03")
    assert plate.evidence == "names"
    assert plate.remarks[-1] == f"Index.idx.xml lies above the input: give {tmp_path} to have it read."


def test_the_next_index_is_used_if_the_first_is_damaged(tmp_path):
    written(tmp_path, ONE, name="Index.xml")
    (tmp_path / "Index.idx.xml").write_text("<EvaluationInputData>")
    plate = open_plate(tmp_path)
    assert plate.evidence == "side file"
    assert list(reasons(plate)) == ["Index.idx.xml"]


def test_names_that_say_nothing_beside_a_damaged_index_are_refused(tmp_path):
    write_images(tmp_path, ["1.tif", "2.tif"])
    (tmp_path / "Index.idx.xml").write_text("<EvaluationInputData>")
    with pytest.raises(InputError, match=r"Index\.idx\.xml is not used: it ends too early.*export"):
        open_plate(tmp_path)


def test_several_measurements_are_refused_with_the_commands(tmp_path):
    for number in (1, 2):
        folder = tmp_path / f"P__2022-12-19T10_18_52-Measurement {number}" / "Images"
        folder.mkdir(parents=True)
        written(folder, ONE)
    with pytest.raises(InputError, match="2 measurements of Harmony") as caught:
        open_plate(tmp_path)
    for number in (1, 2):
        assert f"/P__2022-12-19T10_18_52-Measurement {number}' -o out/P__2022" in str(caught.value)


def test_a_copy_of_the_images_below_the_measurement_is_refused(tmp_path):
    written(tmp_path, ONE)
    write_images(tmp_path / "copy", (name for _, name in ONE))
    with pytest.raises(InputError, match="copy -o out/copy"):
        open_plate(tmp_path)


def test_an_index_finds_images_in_folders_below_it_and_by_other_case(tmp_path):
    written(tmp_path, ONE)
    (tmp_path / "day 1").mkdir()
    for _, name in ONE:
        (tmp_path / name).rename(tmp_path / "day 1" / name.upper())
    plate = open_plate(tmp_path)
    assert [field.problem for field in plate.fields] == ["", ""]
    assert (plate.evidence, reasons(plate)) == ("side file", {})


@pytest.mark.parametrize(
    ("x", "y", "unit"),
    [
        ("NaN", "0", "m"),
        ("0", "INF", "m"),
        ("1e300", "0", "m"),
        ("2", "0", "m"),
        ("x", "0", "m"),
        ("0", "0", "px"),
    ],
)
def test_impossible_positions_are_unknown(tmp_path, x, y, unit):
    edits = (
        ('<PositionX Unit="m">0.0<', f'<PositionX Unit="{unit}">{x}<'),
        (
            '(<PositionX Unit="(?:m|px)">(?:NaN|0|x|2|1e300)</PositionX><PositionY Unit=)"m">0.0<',
            rf'\1"{unit}">{y}<',
        ),
    )
    plate = open_plate(written(tmp_path, ONE, *edits))
    assert [field.position_um for field in plate.fields] == [None, (0, -640)]
    assert plate.remarks[0] == "Index.idx.xml gives no usable stage position for 1 field."


def test_lengths_without_a_unit_are_metres_if_they_can_be(tmp_path):
    unit = (r'<((?:Position|ImageResolution)[XY]) Unit="m">', r"<\1>")
    fields = open_plate(written(tmp_path, ONE, unit)).fields
    assert [(field.position_um, round(field.pixel_size_um, 6)) for field in fields] == [
        ((0, 0), 0.296688),
        ((0, -640), 0.296688),
    ]
    micrometres = ("<(ImageResolution[XY])>[^<]*", r"<\1>0.65")
    assert open_plate(written(tmp_path, ONE, unit, micrometres)).fields[0].pixel_size_um is None


@pytest.mark.parametrize("size", ["0", "-1e-7", "NaN", "INF", "", "1e3"])
def test_impossible_pixel_sizes_are_unknown(tmp_path, size):
    edit = ('(<ImageResolution[XY] Unit="m">)[^<]*', rf"\g<1>{size}")
    assert open_plate(written(tmp_path, ONE, edit)).fields[0].pixel_size_um is None


def test_channels_of_different_pixel_size_have_none_and_it_is_said(tmp_path):
    edit = (
        '(?s)(Alexa 488, long</ChannelName><ImageResolutionX Unit="m">)[^<]*(.*?Y Unit="m">)[^<]*',
        r"\g<1>6e-7\g<2>6e-7",
    )
    plate = open_plate(written(tmp_path, ONE, edit))
    assert plate.fields[0].pixel_size_um is None
    assert "0.296688" in plate.remarks[0]
    assert "0.6" in plate.remarks[0]


def test_channels_of_one_name_stay_apart(tmp_path):
    plate = open_plate(written(tmp_path, ONE, stains=("DAPI", "DAPI")))
    assert [channel.name for channel in plate.channels] == ["DAPI (ch1)", "DAPI (ch2)"]


@pytest.mark.slow
@pytest.mark.parametrize("images", [9_000, pytest.param(100_800, marks=pytest.mark.slow)])
def test_the_memory_of_an_index_is_a_fraction_of_the_file(tmp_path, images):
    measured = [(1 + n // 48, 1 + n % 48) for n in range(images // 90)]
    listed = named(places(measured, 9, channels=5, planes=2))
    text = index(listed, stains=(*STAINS, "4", "5"), profiles=("%d %s",) * 5)
    (tmp_path / "Index.idx.xml").write_text(text)
    tracemalloc.start()
    try:
        found = read_index(scan(tmp_path), "Index.idx.xml")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found.images) == len(listed) == images
    assert peak < 0.6 * len(text) + 2**20  # a real index is twice as long for the same records


def test_pages_of_one_file_are_planes_of_their_own(tmp_path):
    (tree,) = [tree for tree in TREES if tree.name == "Columbus, pages"]
    plate = open_plate(tree.build(tmp_path))
    field = plate.fields[0]
    assert [(plane.channel, plane.z, plane.page) for plane in field.planes] == [
        (STAINS[0], 0, 0),
        (STAINS[0], 1, 2),
        (STAINS[1], 0, 1),
        (STAINS[1], 1, 3),
    ]
    pixels = FieldReader.of(plate).read_whole(field, plate.channels)
    assert pixels[:, 0, 0].tolist() == [512, 768]  # of the upper plane of each channel


def test_images_of_a_format_that_cant_be_decoded_are_quarantined(tmp_path):
    written(tmp_path, ONE, (r"ch2sk1fk1fl1\.tiff", "ch2sk1fk1fl1.tiff.gz"))
    for place, name in ONE:
        if place[4] == 2:
            (tmp_path / name).rename(tmp_path / f"{name}.gz")
    plate = open_plate(tmp_path)
    assert set(reasons(plate).values()) == {
        "Index.idx.xml lists it as an image, but it can't be decoded: convert it to TIFF"
    }
    assert plate.fields[0].lacking == ((STAINS[1], "r02c03f01p01-ch2sk1fk1fl1.tiff.gz can't be decoded"),)


@pytest.mark.parametrize(("of_image", "said"), [("m-1", 0), ("m-2", 1), (None, 0)])
def test_an_index_of_another_measurement_with_the_same_names_is_reported(tmp_path, of_image, said):
    written(tmp_path, ONE, ("<PlateID>", "<MeasurementID>m-1</MeasurementID><PlateID>"))
    xml = f"<TiffImageDescription><MeasurementID>{of_image}</MeasurementID></TiffImageDescription>".encode()
    tags = [] if of_image is None else [(65500, 7, len(xml), xml, True)]
    for _, name in ONE:
        tifffile.imwrite(tmp_path / name, np.zeros((16, 16), np.uint16), extratags=tags)
    remarks = [remark for remark in open_plate(tmp_path).remarks if "belongs to measurement m-1" in remark]
    assert len(remarks) == said


def test_a_damaged_first_image_says_nothing_about_the_measurement(tmp_path):
    written(tmp_path, ONE, ("<PlateID>", "<MeasurementID>m-1</MeasurementID><PlateID>"))
    (tmp_path / ONE[0][1]).write_bytes(b"II*\0 damaged")
    assert not [remark for remark in open_plate(tmp_path).remarks if "belongs" in remark]


def test_profiles_beside_an_index_without_any_are_used(tmp_path):
    written(tmp_path, ONE, ("(?s)<Maps>.*</Maps>", ""))
    (tmp_path / "FFC_Profile").mkdir()
    beside = tmp_path / "FFC_Profile/FFC_Profile_Measurement 1.xml"
    entry = f'<Entry ChannelID="2"><FlatfieldProfile>{PROFILE % (2, "x")}</FlatfieldProfile></Entry>'
    beside.write_text(f"<FFC><Map>{entry}</Map></FFC>")
    plate = open_plate(tmp_path)
    assert [bool(channel.flat_field) for channel in plate.channels] == [False, True]
    beside.write_text("<FFC>")
    assert (
        open_plate(tmp_path).remarks[0].startswith("FFC_Profile/FFC_Profile_Measurement 1.xml is not used: ")
    )


def test_a_plate_smaller_than_its_wells_has_no_size(tmp_path):
    plate = open_plate(written(tmp_path, ONE, ("<PlateRows>16", "<PlateRows>1")))
    assert (plate.rows, plate.columns) == (0, 0)


def test_overlong_names_are_refused(tmp_path):
    plate = open_plate(written(tmp_path, ONE, (STAINS[1], "x" * 1000)))
    assert reasons(plate) == {"Index.idx.xml": "the name of channel 2 has 1,000 characters"}


def test_an_index_without_any_image_here_lists_every_field_as_lost(tmp_path):
    (tmp_path / "Index.ref.xml").write_text(index(ONE))
    plate = open_plate(tmp_path)
    assert [field.problem for field in plate.fields] == [
        f"r02c03f0{site}p01-ch1sk1fk1fl1.tiff, listed in Index.ref.xml, is not there (and 1 more image)"
        for site in (1, 2)
    ]


JUDGED = [tree for tree in TREES if tree.name in ("Harmony V5", "Harmony V6", "Harmony V7, time points")]


def judged(path: Path) -> list[tuple[object, ...]]:
    """What another library reads of a measurement: its fields and their channels."""
    return [
        (
            image["extra"]["well"],
            image["extra"]["field"],
            (image["size_c"], image["size_z"], image["size_t"]),
            [(one["name"], one.get("excitation_nm"), one.get("emission_nm")) for one in image["channels"]],
            round(image["physical_size"]["x"], 6),
            pytest.approx((-image["extra"]["position_y_um"], image["extra"]["position_x_um"])),
        )
        for image in openreadout.info(path)["images"]
    ]


def ours(plate: Plate) -> list[tuple[object, ...]]:
    channels = [(channel.name, channel.excitation_nm, channel.emission_nm) for channel in plate.channels]
    times = len({field.t for field in plate.fields})
    return [
        (
            field.well,
            field.site,
            (len(channels), field.z_steps, times),
            channels,
            round(field.pixel_size_um or 0, 6),
            field.position_um,
        )
        for field in plate.fields
        if field.t == 0
    ]


@pytest.mark.parametrize("tree", JUDGED, ids=lambda tree: tree.name)
def test_another_library_reads_the_same(tmp_path, tree):
    path = tree.build(tmp_path)
    assert ours(open_plate(path)) == judged(path)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["operetta", "operetta_index_v1"])
def test_another_library_reads_the_same_of_real_plates(shared_data, name):
    path = shared_data / "plates" / name
    assert ours(open_plate(path)) == judged(path)


@pytest.mark.real_data
def test_a_real_plate(shared_data):
    plate = open_plate(shared_data / "plates/operetta")
    assert (plate.name, plate.rows, plate.columns) == ("Test_Sample_BALL", 16, 24)
    assert [(channel.name, channel.emission_nm) for channel in plate.channels] == [
        ("Fluorescein (FITC)", 525)
    ]
    assert [(field.well, field.site, field.position_um) for field in plate.fields] == [
        ("C03", 1, (-645.814, -645.814)),
        ("C03", 2, (-645.814, 645.814)),
    ]
    assert plate.fields[0].pixel_size_um == pytest.approx(1.19595, rel=1e-5)


@pytest.mark.real_data
def test_a_real_index_with_one_of_its_six_images(shared_data):
    plate = open_plate(shared_data / "plates/operetta_index_v1")
    (field,) = plate.fields
    assert (len(plate.channels), len(field.lacking), field.pixel_size_um) == (6, 5, pytest.approx(0.597976))
    assert nuclear_channel(plate, "") == "HOECHST 33342"
