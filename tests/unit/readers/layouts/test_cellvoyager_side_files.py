"""CellVoyager: where side files lie, damaged and foreign ones, names alone, and real plates."""

import shutil
from pathlib import Path

import cellvoyager_types
import openreadout
import pytest
from golden import every, fields, ignored, quarantined, write_images
from golden.cellvoyager import FIELD, make, mrf, record, write_side_files

from nucbatch.core.errors import InputError
from nucbatch.core.plate import FileStatus
from nucbatch.core.plate_geometry import well_name
from nucbatch.readers.find import open_plate


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


def test_side_files_in_a_folder_beside_the_images(tmp_path):
    names = list(every(FIELD, w=("C03",), f=(1, 2)))
    write_images(tmp_path, [f"images/{name}" for name in names])
    (tmp_path / "metadata").mkdir()
    write_side_files(tmp_path / "metadata", map(record, names))
    plate = open_plate(tmp_path)
    assert (plate.evidence, len(plate.fields)) == ("side file", 2)


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
