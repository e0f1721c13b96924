"""CellVoyager: records of images and of lost fields, gaps, and the fields of the protocol."""

import pytest
from golden import every, fields, quarantined, write_images
from golden.cellvoyager import FIELD, lost, make, mes, mlf, record, write_side_files

from nucbatch.readers.find import open_plate


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


def test_a_field_lost_at_one_time_is_a_gap_at_that_time(tmp_path):
    names = [f"p_C03_T000{t}F00{f}L01A01Z01C01.tif" for t, f in ((1, 1), (1, 2), (2, 1))]
    plate = open_plate(make(tmp_path, names, (lost("C03", 2, TimePoint=2, TimelineIndex=1),)))
    assert [key for key, problem in fields(plate).items() if problem] == [("C03", 2, 1)]


def test_images_converted_to_png_belong_to_their_records(tmp_path):
    make(tmp_path, list(every("p_C03_T0001F00{f}L01A01Z01C01.png", f=(1, 2))))
    path = tmp_path / "MeasurementData.mlf"
    path.write_text(path.read_text().replace(".png", ".tif"))
    plate = open_plate(tmp_path)
    assert (plate.evidence, plate.fields[0].position_um) == ("side file", (-402.9, -567.1))


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
