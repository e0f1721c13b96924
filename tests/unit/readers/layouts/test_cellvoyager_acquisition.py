"""CellVoyager: names, channels, positions, z-steps, projections, time, timelines and actions."""

from pathlib import Path

import pytest
import tifffile
from golden import every, fields, ignored, write_images
from golden.cellvoyager import make, mes, record, write_side_files
from hypothesis import given
from hypothesis import strategies as st

from nucbatch.core.errors import InputError
from nucbatch.core.plate_geometry import well_name
from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.cellvoyager import parse


@given(
    plate=st.text("abcXYZ019_- #.", max_size=20),
    row=st.sampled_from(["A", "P", "AF"]),
    column=st.integers(1, 48),
    numbers=st.tuples(*[st.integers(1, 99)] * 6),
)
def test_every_part_of_a_name_is_parsed(plate, row, column, numbers):
    t, site, timeline, action, z, channel = numbers
    well = well_name(row, column)
    name = f"{plate}_{well}_T{t:04d}F{site:03d}L{timeline:02d}A{action:02d}Z{z:02d}C{channel:02d}.TIF"
    found = parse(f"x/{name}")
    assert found is not None
    prefix, shot = found
    assert (prefix, shot.well) == (plate, well)
    assert (shot.time_point, shot.site, shot.timeline, shot.action, shot.z_step, shot.channel) == numbers


@pytest.mark.parametrize(
    "name",
    [
        "SC_BP445-45_20x v2_M01_CH01.tif",
        "DC_DCAM#2_CAM4.tif",
        "p_T0001F001L01A01Z01C01.tif",
        "p_Z03_T0001F001L01A01Z01C01.tif",
        "p_C49_T0001F001L01A01Z01C01.tif",
        "p_C03_T0000F001L01A01Z01C01.tif",
        "p_C03_T0001F001L01A01Z01C01_mask.tif",
    ],
)
def test_other_names_are_not_parsed(name):
    assert name.startswith("p_Z03") or parse(name) is None


def test_positions_pixel_size_channels_and_plate_come_from_the_side_files(tmp_path):
    names = list(every("p_{w}_T0001F00{f}L01A0{c}Z01C0{c}.tif", w=("C03", "D03"), f=(1, 2), c=(1, 2)))
    plate = open_plate(make(tmp_path, names))
    assert (plate.rows, plate.columns, plate.evidence) == (8, 12, "side file")
    first = plate.channels[0]
    assert (first.name, first.excitation_nm, first.emission_nm, first.color) == (
        "405 BP445/45",
        405.0,
        445.0,
        "002FFF",
    )
    assert plate.channel("c01") is first
    assert plate.channel("BP445/45") is first
    one = plate.fields[0]
    assert one.position_um == (-402.9, -567.1)  # Y up in the file, down here
    assert one.pixel_size_um == 0.325
    assert one.time == "2023-09-18T13:58:44.438+02:00"


def test_the_tiffs_own_resolution_does_not_replace_the_side_files(tmp_path):
    plate_folder = make(tmp_path, ["p_C03_T0001F001L01A01Z01C01.tif"])
    image = tifffile.imread(plate_folder / "p_C03_T0001F001L01A01Z01C01.tif")
    tifffile.imwrite(
        plate_folder / "p_C03_T0001F001L01A01Z01C01.tif",
        image,
        resolution=(1e4 / 4.5, 1e4 / 4.5),
        resolutionunit="CENTIMETER",
    )
    assert open_plate(plate_folder).fields[0].pixel_size_um == 0.325


@pytest.mark.parametrize(
    ("targets", "stains", "names"),
    [
        ((405, 488), ("DAPI", ""), ["DAPI", "488 BP525/50"]),
        (("Brightfield", "FITC"), (), ["Brightfield", "FITC"]),
        ((488, 488), (), ["488 BP525/50 (C01)", "488 BP525/50 (C02)"]),
        ((405,), (), ["405 BP445/45", "C02"]),
    ],
)
def test_channels_are_named_after_stain_target_or_light(tmp_path, targets, stains, names):
    make(tmp_path, ["p_C03_T0001F001L01A01Z01C01.tif", "p_C03_T0001F001L01A01Z01C02.tif"])
    (tmp_path / "protocol.mes").write_text(mes(targets, stains=stains))
    assert [channel.name for channel in open_plate(tmp_path).channels] == names


def test_z_steps_of_some_channels_only(tmp_path):
    names = [*every("p_C03_T0001F001L01A01Z0{z}C01.tif", z=(1, 2, 3)), "p_C03_T0001F001L01A02Z01C02.tif"]
    (one,) = open_plate(make(tmp_path, names)).fields
    assert [(plane.channel[:3], plane.z) for plane in one.planes] == [
        ("405", 0),
        ("405", 1),
        ("405", 2),
        ("488", 0),
    ]


def test_a_projection_is_used_instead_of_its_z_steps(tmp_path):
    names = list(every("p_C03_T0001F001L01A01Z0{z}C01.tif", z=(1, 2)))
    others = {kind: f"{kind}/p_C03_T0001F001L01A01Z01C01.tif" for kind in ("Maximum", "Sum")}
    write_images(tmp_path, [*names, *others.values()])
    records = [record(name) for name in names]
    for kind, path in others.items():
        records.append(
            record(names[0], ZImageProcessing=kind).replace(f">{names[0]}", f">{path.replace('/', chr(92))}")
        )
    write_side_files(tmp_path, records)
    plate = open_plate(tmp_path)
    assert [plane.path for plane in plate.fields[0].planes] == [others["Maximum"]]
    assert {path for path, rule in ignored(plate).items() if rule == "z-step"} == {*names, others["Sum"]}


@pytest.mark.parametrize("records", [True, False])
def test_wells_with_their_own_timeline_are_at_one_time(tmp_path, records):
    names = [
        "p_C03_T0001F001L01A01Z01C01.tif",
        "p_D03_T0002F001L02A01Z01C01.tif",
        "p_E03_T0003F001L03A01Z01C01.tif",
    ]
    write_images(tmp_path, names)
    if records:
        write_side_files(tmp_path, map(record, names))
    plate = open_plate(tmp_path)
    assert fields(plate) == {("C03", 1, 0): "", ("D03", 1, 0): "", ("E03", 1, 0): ""}
    assert any("is not read as time" in remark for remark in plate.remarks)
    assert [one.acquisition for one in plate.fields] == ["L01", "L02", "L03"]


def test_time_points_of_one_timeline_are_time(tmp_path):
    names = ["p_C03_T0001F001L01A01Z01C01.tif", "p_C03_T0003F001L01A01Z01C01.tif"]
    assert sorted(fields(open_plate(make(tmp_path, names)))) == [("C03", 1, 0), ("C03", 1, 2)]


def test_time_points_of_interleaved_timelines_are_counted_in_each(tmp_path):
    names = [f"p_C03_T000{t}F001L01A01Z01C01.tif" for t in (1, 3)]
    names += [f"p_D03_T000{t}F001L02A01Z01C01.tif" for t in (2, 4)]
    plate = open_plate(make(tmp_path, names))
    assert sorted(fields(plate)) == [("C03", 1, 0), ("C03", 1, 1), ("D03", 1, 0), ("D03", 1, 1)]


def test_timelines_that_take_other_channels_of_one_place_are_joined(tmp_path):
    names = ["p_C03_T0001F001L01A01Z01C01.tif", "p_C03_T0002F001L02A01Z01C02.tif"]
    (one,) = open_plate(make(tmp_path, names)).fields
    assert [plane.channel for plane in one.planes] == ["405 BP445/45", "488 BP525/50"]
    assert one.acquisition == "L01+L02"


def _same_channel(folder: Path) -> str:
    make(folder, ["p_C03_T0001F001L01A01Z01C01.tif", "p_C03_T0002F001L02A01Z01C01.tif"])
    return "some take the same channel"


def _repeats(folder: Path) -> str:
    names = [f"p_C03_T000{t}F001L0{(t + 1) % 2 + 1}A01Z01C0{(t + 1) % 2 + 1}.tif" for t in (1, 2, 3, 4)]
    make(folder, names)
    return "they repeat at different times"


def _moved(folder: Path) -> str:
    names = ["p_C03_T0001F001L01A01Z01C01.tif", "p_C03_T0002F001L02A01Z01C02.tif"]
    write_images(folder, names)
    write_side_files(folder, [record(names[0]), record(names[1], X=500.0)])
    return "their fields of one number lie at different places"


def _names_alone(folder: Path) -> str:
    write_images(folder, ["p_C03_T0001F001L01A01Z01C01.tif", "p_C03_T0002F001L02A01Z01C02.tif"])
    return "nothing tells whether"


def _no_positions(folder: Path) -> str:
    names = ["p_C03_T0001F001L01A01Z01C01.tif", "p_C03_T0002F001L02A01Z01C02.tif"]
    write_images(folder, names)
    write_side_files(folder, [record(name, X=None, Y=None) for name in names])
    return "nothing tells whether"


@pytest.mark.parametrize("build", [_same_channel, _repeats, _moved, _names_alone, _no_positions])
def test_timelines_of_the_same_wells_are_never_merged(tmp_path, build):
    reason = build(tmp_path)
    with pytest.raises(InputError, match=reason) as error:
        open_plate(tmp_path)
    assert "--acquisition" in str(error.value)
    assert "L02:" in str(error.value)
    plate = open_plate(tmp_path, acquisition="L02")
    assert plate.acquisition == "L02"
    assert {one.t for one in plate.fields} <= {0, 1}
    used = {plane.path for one in plate.fields for plane in one.planes}
    assert used
    assert all("L02" in path for path in used)
    assert set(ignored(plate).values()) >= {"other-acquisition"}
    with pytest.raises(InputError, match="has no timeline"):
        open_plate(tmp_path, acquisition="L07")


def test_a_channel_taken_by_several_actions_counts_as_several(tmp_path):
    names = [*every("p_C03_T0001F001L01A01Z0{z}C01.tif", z=(1, 2)), "p_C03_T0001F001L01A02Z01C02.tif"]
    plate = open_plate(make(tmp_path, [*names, "p_C03_T0001F001L01A03Z01C01.tif"]))
    assert [channel.name for channel in plate.channels] == [
        "405 BP445/45 A01",
        "405 BP445/45 A03",
        "488 BP525/50",
    ]
    assert [plane.channel[-3:] for plane in plate.fields[0].planes] == ["A01", "A01", "A03", "/50"]


def test_actions_with_an_offset_have_no_common_position(tmp_path):
    names = list(every("p_C03_T0001F001L01A0{c}Z01C0{c}.tif", c=(1, 2)))
    write_images(tmp_path, names)
    write_side_files(tmp_path, [record(names[0]), record(names[1], X=-547.1)])
    plate = open_plate(tmp_path)
    assert plate.fields[0].position_um is None
    assert any("stage position" in remark for remark in plate.remarks)
