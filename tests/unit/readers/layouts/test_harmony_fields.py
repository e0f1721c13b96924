"""Harmony's fields: names, channels, positions, pixel sizes, time, and what another library reads."""

from pathlib import Path

import numpy as np
import openreadout
import pytest
import tifffile
from golden import write_images
from golden.harmony import ONE, PROFILE, STAINS, TREES, named, new_name, old_name, places, written

from nucbatch.core.plate import Plate
from nucbatch.planning.plan import nuclear_channel
from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.harmony_name import HarmonyName, measurement_folder, parse
from nucbatch.readers.pixels import FieldReader
from nucbatch.readers.plate_cache import cache_content, load_plate


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
