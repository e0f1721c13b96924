"""CellVoyager: records and names, lost fields, time, timelines, actions, projections, damaged side files."""

import shutil
from pathlib import Path

import cellvoyager_types
import openreadout
import pytest
import tifffile
from golden import every, write_images
from golden.cellvoyager import mes, mlf, mrf, record, write_side_files
from hypothesis import given
from hypothesis import strategies as st

from nucbatch.core.errors import InputError
from nucbatch.core.plate import FileStatus, Plate
from nucbatch.core.plate_geometry import well_name
from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.cellvoyager import parse

FIELD = "p_{w}_T0001F00{f}L01A01Z01C01.tif"


def lost(well: str, site: int | None = 1, text: str = "AF Error", **values: object) -> str:
    row, column = ord(well[0]) - 64, int(well[1:])
    return record(lost=text, **{"Row": row, "Column": column, "TimePoint": 1, "FieldIndex": site, **values})


def fields(plate: Plate) -> dict[tuple[str, int, int], str]:
    return {(one.well, one.site, one.t): one.problem for one in plate.fields}


def quarantined(plate: Plate) -> dict[str, str]:
    return {one.path: one.reason for one in plate.files if one.status is FileStatus.QUARANTINED}


def ignored(plate: Plate) -> dict[str, str]:
    return {one.path: one.reason.partition(":")[0] for one in plate.files if one.status is FileStatus.IGNORED}


def make(folder: Path, names: list[str], more: tuple[str, ...] = (), **detail: object) -> Path:
    write_images(folder, names)
    write_side_files(folder, [*map(record, names), *more], **detail)
    return folder


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


def test_a_lost_field_is_listed_with_the_vendors_reason(tmp_path):
    text = "AF Error at D03 No. 1 (SAMPLE_PLATE)"
    plate = open_plate(make(tmp_path, list(every(FIELD, w=("C03",), f=(1, 2))), (lost("D03", 2, text),)))
    assert fields(plate) == {("C03", 1, 0): "", ("C03", 2, 0): "", ("D03", 2, 0): text}


def test_a_later_success_makes_up_for_a_loss(tmp_path):
    names = list(every(FIELD, w=("C03",), f=(1, 2)))
    plate = open_plate(make(tmp_path, names, (lost("C03", 2),)))
    assert fields(plate) == {("C03", 1, 0): "", ("C03", 2, 0): ""}


def test_a_loss_after_the_first_action_costs_the_channels_that_are_missing(tmp_path):
    names = list(every("p_C03_T0001F00{f}L01A0{c}Z01C0{c}.tif", f=(1, 2), c=(1, 2)))
    plate = open_plate(make(tmp_path, names[:-1], (lost("C03", 2, "AF Error at C03"),)))
    assert fields(plate) == {("C03", 1, 0): "", ("C03", 2, 0): ""}
    assert plate.fields[1].lacking == (("488 BP525/50", "AF Error at C03"),)


def test_a_loss_within_a_stack_costs_its_channel(tmp_path):
    names = list(every("p_C03_T0001F00{f}L01A01Z0{z}C01.tif", f=(1, 2), z=(1, 2, 3)))
    plate = open_plate(make(tmp_path, names[:-1], (lost("C03", 2, "Z stage error"),)))
    assert fields(plate) == {("C03", 1, 0): "", ("C03", 2, 0): "Z stage error"}


def test_a_loss_without_a_field_has_the_field_at_its_position(tmp_path):
    names = list(every(FIELD, w=("C03",), f=(1, 2)))
    there = lost("D03", None, X=82.8, Y=402.9, PartialTileIndex=1)
    elsewhere = lost("E03", None, X=-20.0, Y=25.0, PartialTileIndex=1)
    beside = lost("C03", None, X=-20.0, Y=25.0, PartialTileIndex=1)
    plate = open_plate(make(tmp_path, names, (there, elsewhere, beside)))
    assert [key for key, problem in fields(plate).items() if problem] == [
        ("C03", 3, 0),
        ("D03", 2, 0),
        ("E03", 1, 0),
    ]


def test_a_listed_image_that_is_not_here_is_a_gap(tmp_path):
    make(tmp_path, list(every("p_C03_T0001F00{f}L01A0{c}Z01C0{c}.tif", f=(1, 2), c=(1, 2))))
    for name in ("F001L01A02Z01C02", "F002L01A01Z01C01", "F002L01A02Z01C02"):
        (tmp_path / f"p_C03_T0001{name}.tif").unlink()
    plate = open_plate(tmp_path)
    assert plate.fields[0].lacking == (
        (
            "488 BP525/50",
            "MeasurementData.mlf lists p_C03_T0001F001L01A02Z01C02.tif, which is not here",
        ),
    )
    assert "p_C03_T0001F002L01A01Z01C01.tif, which is not here" in plate.fields[1].problem


def test_a_missing_z_step_costs_its_channel(tmp_path):
    make(tmp_path, list(every("p_C03_T0001F001L01A01Z0{z}C0{c}.tif", z=(1, 2, 3), c=(1, 2))))
    (tmp_path / "p_C03_T0001F001L01A01Z02C01.tif").unlink()
    (one,) = open_plate(tmp_path).fields
    assert [plane.channel for plane in one.planes] == ["488 BP525/50"] * 3
    assert "(1 of 3 images)" in dict(one.lacking)["405 BP445/45"]


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


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[:-300].encode(), "it ends too early"),
        (lambda text: text.replace('Row="3"', 'Row="99"').encode(), "row '99'"),
        (lambda text: text.replace("bts:Ch=", "bts:Chan=").encode(), "lacks Ch"),
        (lambda text: text.replace('Column="3"', 'Column="4"').encode(), "it contradicts the name of"),
        (lambda text: text.replace('bts:Ch="1"', 'bts:Ch="2"').encode(), "it contradicts the name of"),
        (lambda text: text.replace('FieldIndex="1"', 'FieldIndex="2"').encode(), "it contradicts the name"),
        (lambda text: text.replace(">p_", ">other_").encode(), "none of the images that it lists is here"),
        (lambda text: ("<!DOCTYPE a [<!ENTITY b 'c'>]>" + text[39:]).encode(), "declares a document type"),
        (lambda text: b"", "it ends too early"),
    ],
)
def test_a_record_that_cannot_be_trusted_is_quarantined_and_names_are_read(tmp_path, damage, said):
    make(tmp_path, list(every(FIELD, w=("C03", "D03"), f=(1, 2))))
    path = tmp_path / "MeasurementData.mlf"
    path.write_bytes(damage(path.read_text()))
    plate = open_plate(tmp_path)
    assert (plate.evidence, len(plate.fields)) == ("names", 4)
    assert said in quarantined(plate)["MeasurementData.mlf"]
    assert any(said in remark and "not listed" in remark for remark in plate.remarks)
    assert {one.pixel_size_um for one in plate.fields} == {0.325}  # from the .mrf file
    assert {one.position_um for one in plate.fields} == {None}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_records_in_other_encodings(tmp_path, encoding):
    make(tmp_path, ["p_C03_T0001F001L01A01Z01C01.tif"])
    path = tmp_path / "MeasurementData.mlf"
    path.write_bytes(path.read_text().replace("utf-8", encoding.removesuffix("-sig")).encode(encoding))
    assert open_plate(tmp_path).evidence == "side file"


@pytest.mark.parametrize("path", ["../other/{}", "/data/other/{}", "C:\\other\\{}"])
def test_a_record_of_a_file_out_of_the_plate_is_a_gap(tmp_path, path):
    plate_folder, name = tmp_path / "plate", "p_C03_T0001F001L01A01Z01C01.tif"
    write_images(tmp_path / "other", [name])
    write_images(plate_folder, ["p_D03_T0001F001L01A01Z01C01.tif"])
    records = [record("p_D03_T0001F001L01A01Z01C01.tif"), record(name).replace(name, path.format(name))]
    write_side_files(plate_folder, records)
    plate = open_plate(plate_folder)
    assert "leads out of the plate's folder" in fields(plate)["C03", 1, 0]
    assert [one.well for one in plate.fields if not one.problem] == ["D03"]


def test_images_that_no_record_names_are_quarantined(tmp_path):
    make(tmp_path, ["p_C03_T0001F001L01A01Z01C01.tif"])
    write_images(tmp_path, ["q_E03_T0001F001L01A01Z01C01.tif", "notes.tif"])
    plate = open_plate(tmp_path)
    assert fields(plate) == {("C03", 1, 0): ""}
    assert "no record of MeasurementData.mlf" in quarantined(plate)["q_E03_T0001F001L01A01Z01C01.tif"]
    assert "does not fit" in quarantined(plate)["notes.tif"]


@pytest.mark.parametrize("images", ["", "Image/", "C03/"])
def test_side_files_above_the_images(tmp_path, images):
    names = list(every(FIELD, w=("C03",), f=(1, 2)))
    write_images(tmp_path, [f"plate/{images}{name}" for name in names])
    write_side_files(tmp_path / "plate", map(record, names))
    plate = open_plate(tmp_path)
    assert (plate.evidence, len(plate.fields)) == ("side file", 2)


def test_side_files_above_the_input_are_pointed_out(tmp_path):
    names = list(every(FIELD, w=("C03",), f=(1, 2)))
    write_images(tmp_path / "Image", names)
    write_side_files(tmp_path, map(record, names))
    plate = open_plate(tmp_path / "Image")
    assert plate.evidence == "names"
    assert any("MeasurementData.mlf lies in the folder above" in remark for remark in plate.remarks)


def test_a_field_lost_at_one_time_is_a_gap_at_that_time(tmp_path):
    names = [f"p_C03_T000{t}F00{f}L01A01Z01C01.tif" for t, f in ((1, 1), (1, 2), (2, 1))]
    plate = open_plate(make(tmp_path, names, (lost("C03", 2, TimePoint=2, TimelineIndex=1),)))
    assert [key for key, problem in fields(plate).items() if problem] == [("C03", 2, 1)]


def test_side_files_in_a_folder_beside_the_images(tmp_path):
    names = list(every(FIELD, w=("C03",), f=(1, 2)))
    write_images(tmp_path, [f"images/{name}" for name in names])
    (tmp_path / "metadata").mkdir()
    write_side_files(tmp_path / "metadata", map(record, names))
    plate = open_plate(tmp_path)
    assert (plate.evidence, len(plate.fields)) == ("side file", 2)


def test_images_converted_to_png_belong_to_their_records(tmp_path):
    make(tmp_path, list(every("p_C03_T0001F00{f}L01A01Z01C01.png", f=(1, 2))))
    path = tmp_path / "MeasurementData.mlf"
    path.write_text(path.read_text().replace(".png", ".tif"))
    plate = open_plate(tmp_path)
    assert (plate.evidence, plate.fields[0].position_um) == ("side file", (-402.9, -567.1))


def test_the_second_record_file_is_not_used(tmp_path):
    make(tmp_path, ["p_C03_T0001F001L01A01Z01C01.tif"])
    shutil.copy(tmp_path / "MeasurementData.mlf", tmp_path / "MeasurementData (1).mlf")
    plate = open_plate(tmp_path)
    assert plate.evidence == "side file"
    assert quarantined(plate) == {"MeasurementData (1).mlf": "not used: MeasurementData.mlf is"}
    (tmp_path / "MeasurementData.mlf").rename(tmp_path / "MeasurementData (2).mlf")
    plate = open_plate(tmp_path)
    assert plate.evidence == "names"
    assert len(quarantined(plate)) == 2


@pytest.mark.parametrize("records", [True, False])
def test_several_plates_are_refused_with_a_command_for_each(tmp_path, records):
    for folder in ("one plate", "two"):
        write_images(tmp_path / folder, ["p_C03_T0001F001L01A01Z01C01.tif"])
        if records:
            write_side_files(tmp_path / folder, [record("p_C03_T0001F001L01A01Z01C01.tif")])
    with pytest.raises(InputError, match="2 plates") as error:
        open_plate(tmp_path)
    assert str(error.value).count("nucbatch run") == 2


def test_two_plates_in_one_folder_are_refused_by_their_names(tmp_path):
    write_images(tmp_path, ["p_C03_T0001F001L01A01Z01C01.tif", "q_C03_T0001F001L01A01Z01C01.tif"])
    with pytest.raises(InputError, match="mixes images of 2 plates"):
        open_plate(tmp_path)


def test_names_alone_give_no_pixel_size_and_no_position(tmp_path):
    write_images(tmp_path, list(every(FIELD, w=("A01", "AF48"), f=(1, 2))))
    plate = open_plate(tmp_path)
    assert (plate.layout, plate.evidence) == ("cellvoyager", "names")
    assert {(one.pixel_size_um, one.position_um) for one in plate.fields} == {(None, None)}


def test_a_plate_size_that_lacks_a_well_is_not_used(tmp_path):
    plate = open_plate(make(tmp_path, ["p_P24_T0001F001L01A01Z01C01.tif"]))
    assert (plate.rows, plate.columns) == (0, 0)
    assert any("it has no well P24" in remark for remark in plate.remarks)


def test_a_damaged_detail_file_costs_what_it_records(tmp_path):
    make(tmp_path, ["p_C03_T0001F001L01A01Z01C01.tif"])
    (tmp_path / "MeasurementDetail.mrf").write_text(mrf()[:-60])
    plate = open_plate(tmp_path)
    assert "MeasurementDetail.mrf" in quarantined(plate)
    assert plate.fields[0].pixel_size_um is None
    assert plate.fields[0].position_um == (-402.9, -567.1)


@pytest.mark.parametrize("size", ["0", "nan", "inf", "-0.3", "", "0,325"])
def test_an_impossible_pixel_size_is_unknown(tmp_path, size):
    make(tmp_path, ["p_C03_T0001F001L01A01Z01C01.tif"])
    (tmp_path / "MeasurementDetail.mrf").write_text(mrf().replace("0.325", size))
    assert open_plate(tmp_path).fields[0].pixel_size_um is None


def test_a_correction_named_by_the_detail_file_is_no_image(tmp_path):
    make(tmp_path, ["p_C03_T0001F001L01A01Z01C01.tif"], correction="shading 1.tif")
    write_images(tmp_path, ["shading 1.tif"])
    assert ignored(open_plate(tmp_path))["shading 1.tif"] == "illumination-correction"


def test_a_plate_whose_name_begins_like_a_correction(tmp_path):
    plate = open_plate(make(tmp_path, ["SC_1_C03_T0001F001L01A01Z01C01.tif"]))
    assert fields(plate) == {("C03", 1, 0): ""}


def test_records_of_unknown_types_are_counted_out(tmp_path):
    make(tmp_path, ["p_C03_T0001F001L01A01Z01C01.tif"])
    odd = record("p_C03_T0001F001L01A01Z01C01.tif").replace('"IMG"', '"INF"')
    (tmp_path / "MeasurementData.mlf").write_text(mlf([record("p_C03_T0001F001L01A01Z01C01.tif"), odd]))
    assert any("1 record of type 'INF'" in remark for remark in open_plate(tmp_path).remarks)


@pytest.mark.parametrize("records", [True, False])
def test_fields_of_the_protocol_that_were_never_taken_are_gaps(tmp_path, records):
    make(tmp_path, ["p_C03_T0001F001L01A01Z01C01.tif"])
    (tmp_path / "protocol.mes").write_text(mes(timelines=[[(3, 3), (4, 3)]]))
    if not records:
        (tmp_path / "MeasurementData.mlf").unlink()
    plate = open_plate(tmp_path)
    reason = "protocol.mes selects this field, but there is no image of it"
    assert fields(plate) == {
        ("C03", 1, 0): "",
        ("C03", 2, 0): reason,
        ("D03", 1, 0): reason,
        ("D03", 2, 0): reason,
    }


def test_a_lost_field_keeps_the_vendors_reason_beside_the_protocol(tmp_path):
    make(tmp_path, ["p_C03_T0001F001L01A01Z01C01.tif"], (lost("C03", 2),))
    (tmp_path / "protocol.mes").write_text(mes(timelines=[[(3, 3)]]))
    assert fields(open_plate(tmp_path)) == {("C03", 1, 0): "", ("C03", 2, 0): "AF Error"}


def test_fields_of_each_timeline_are_those_of_its_own_wells(tmp_path):
    make(tmp_path, ["p_C03_T0001F001L01A01Z01C01.tif", "p_D03_T0002F001L02A01Z01C01.tif"])
    (tmp_path / "protocol.mes").write_text(mes(timelines=[[(3, 3)], [(4, 3), (5, 3)]], points=1))
    assert [key for key, problem in fields(open_plate(tmp_path)).items() if problem] == [("E03", 1, 0)]


def test_only_wells_are_known_where_the_microscope_chose_the_fields(tmp_path):
    make(tmp_path, ["p_C03_T0001F001L01A01Z01C01.tif"])
    text = mes(timelines=[[(3, 3), (4, 3)]], points=9).replace('Method="FixedPosition"', 'Method="Search"')
    (tmp_path / "protocol.mes").write_text(text)
    assert [key for key, problem in fields(open_plate(tmp_path)).items() if problem] == [("D03", 1, 0)]


@pytest.mark.parametrize(
    ("timelines", "points"),
    [([[(4, 3)]], 2), ([[(3, 3), (4, 3)]], 1), ([], 2), ([[(4, 3)], [(3, 3)]], 2)],
)
def test_the_protocol_of_another_measurement_loses_no_fields(tmp_path, timelines, points):
    make(tmp_path, list(every(FIELD, w=("C03",), f=(1, 2))))
    (tmp_path / "protocol.mes").write_text(mes(timelines=timelines, points=points))
    plate = open_plate(tmp_path)
    assert fields(plate) == {("C03", 1, 0): "", ("C03", 2, 0): ""}
    assert plate.channels[0].name == "405 BP445/45"


def test_wells_of_a_sequence_that_is_not_selected_are_not_expected(tmp_path):
    make(tmp_path, ["p_C03_T0001F001L01A01Z01C01.tif"])
    text = mes(timelines=[[(3, 3), (4, 3)]], points=1)
    (tmp_path / "protocol.mes").write_text(
        text.replace("<bts:WellSequence>", '<bts:WellSequence bts:IsSelected="false">')
    )
    assert fields(open_plate(tmp_path)) == {("C03", 1, 0): ""}


def test_a_loss_without_a_field_or_a_neighbour_lists_its_well(tmp_path):
    """As in a real plate: PNG for TIFF, another time point than the name, losses of whole wells."""
    write_images(tmp_path, ["p_B03_T0001F001L01A01Z01C01.tif"])
    (tmp_path / "p_B03_T0001F001L01A01Z01C01.tif").rename(tmp_path / "p_B03_T0001F001L01A01Z01C01.png")
    wells = [lost(well, None, X=-20.0, Y=25.0, PartialTileIndex=1) for well in ("C14", "N09")]
    records = [record("p_B03_T0001F001L01A01Z01C01.tif", TimePoint=2), *wells]
    (tmp_path / "MeasurementData.mlf").write_text(mlf(records))
    plate = open_plate(tmp_path)
    assert plate.evidence == "side file"
    assert fields(plate) == {("B03", 1, 0): "", ("C14", 1, 0): "AF Error", ("N09", 1, 0): "AF Error"}


def test_a_protocol_that_the_detail_file_does_not_name_is_not_used(tmp_path):
    make(tmp_path, ["p_C03_T0001F001L01A01Z01C01.tif"])
    (tmp_path / "protocol.mes").rename(tmp_path / "other.mes")
    assert open_plate(tmp_path).channels[0].name == "C01"


def test_every_field_of_a_well_can_be_lost(tmp_path):
    gone = tuple(lost("D03", site, f"AF Error {site}") for site in (1, 2))
    plate = open_plate(make(tmp_path, list(every(FIELD, w=("C03",), f=(1, 2))), gone))
    assert [problem for (well, _, _), problem in fields(plate).items() if well == "D03"] == [
        "AF Error 1",
        "AF Error 2",
    ]
    assert list(plate.wells()) == ["C03", "D03"]


def test_an_image_taken_again_is_recorded_twice_and_used_once(tmp_path):
    names = ["p_C03_T0001F001L01A01Z01C01.tif"]
    plate = open_plate(make(tmp_path, names, (record(names[0], X=10.0),)))
    assert fields(plate) == {("C03", 1, 0): ""}
    assert plate.fields[0].position_um == (-402.9, 10.0)


def test_images_of_another_width_than_taken_are_pointed_out(tmp_path):
    make(tmp_path, ["p_C03_T0001F001L01A01Z01C01.tif"])
    path = tmp_path / "MeasurementDetail.mrf"
    path.write_text(path.read_text().replace('HorizontalPixels="16"', 'HorizontalPixels="2000"'))
    plate = open_plate(tmp_path)
    assert plate.fields[0].pixel_size_um == 0.325
    assert any("taken 2,000 px wide" in remark and "16 px" in remark for remark in plate.remarks)


def test_channels_of_different_pixel_sizes_have_none_in_common(tmp_path):
    make(tmp_path, list(every("p_C03_T0001F001L01A0{c}Z01C0{c}.tif", c=(1, 2))))
    path = tmp_path / "MeasurementDetail.mrf"
    path.write_text(path.read_text().replace('"0.325"', '"0.65"', 2))
    plate = open_plate(tmp_path)
    assert plate.fields[0].pixel_size_um is None
    assert any("differ in pixel size" in remark for remark in plate.remarks)


def test_a_channel_that_the_detail_file_lacks_has_the_pixel_size_of_the_others(tmp_path):
    make(tmp_path, list(every("p_C03_T0001F001L01A0{c}Z01C0{c}.tif", c=(1, 2))), channels=(1,))
    assert open_plate(tmp_path).fields[0].pixel_size_um == 0.325


def _measurement(data: Path) -> Path:
    name = "CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack"
    return data / f"plates/cellvoyager/{name}_20230918_135839/{name}"


@pytest.mark.real_data
def test_a_real_cv8000_agrees_with_two_other_libraries(shared_data):
    folder = _measurement(shared_data)
    plate = open_plate(folder)
    judged = cellvoyager_types.load_wpi(next(folder.glob("*.wpi")))
    assert list(plate.wells()) == sorted(judged.get_wells_dict())
    taken = judged.get_image_measurement_records()
    used = {record.path for record in plate.files if record.status is FileStatus.USED}
    assert used == {one.value for one in taken}
    places = {
        (well_name("ABCDEFGH"[one.row - 1], one.column), one.field_index): (-one.y, one.x) for one in taken
    }
    assert {(one.well, one.site): one.position_um for one in plate.fields} == places
    seen = openreadout.info(folder)
    for one, image in zip(plate.fields, seen["images"], strict=True):
        assert image["name"] == f"{one.well} field {one.site}"
        assert one.pixel_size_um == image["physical_size"]["x"]
        assert (one.height_px, one.width_px) == (image["size_y"], image["size_x"])
        assert one.z_steps == image["size_z"]
    for channel, expected in zip(plate.channels, seen["images"][0]["channels"], strict=False):
        assert (channel.excitation_nm, channel.emission_nm, f"#{channel.color}") == (
            expected["excitation_nm"],
            expected["emission_nm"],
            expected["color"],
        )
    assert not quarantined(plate)
    corrections = {path for path, rule in ignored(plate).items() if rule == "illumination-correction"}
    assert corrections == {path.name for path in folder.glob("[SD]C_*.tif")}


@pytest.mark.real_data
def test_a_real_cv7000_has_a_timeline_for_each_well(shared_data, tmp_path):
    source = shared_data / "plates/cellvoyager_cv7000"
    judged = cellvoyager_types.load_wpi(next(source.glob("*.wpi")))
    kept = [one for one in judged.get_image_measurement_records() if one.field_index <= 2]
    write_images(tmp_path, [one.value for one in kept])
    for path in source.iterdir():
        shutil.copyfile(path, tmp_path / path.name)
    plate = open_plate(tmp_path)
    assert [(one.well, one.site) for one in plate.fields if not one.problem] == [
        (well, site) for well in judged.get_wells_dict() for site in (1, 2)
    ]
    assert {one.t for one in plate.fields} == {0}
    assert sum(bool(one.problem) for one in plate.fields) == 4 * 14  # images that are not here
    assert {one.z_steps for one in plate.fields if not one.problem} == {31}
    assert (plate.rows, plate.columns) == (8, 12)
    assert plate.fields[0].position_um == (-1350.0, -1350.0)
