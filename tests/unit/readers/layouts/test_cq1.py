"""CQ1 and CQ3K: wells of OME-XML, records and numbers, projections, tiles, and what is rejected."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import tifffile
from golden import every, write_images
from golden.cellvoyager import mlf, mrf, record
from golden.cq1 import FIELD_UM, ome

from nucbatch.core.errors import InputError
from nucbatch.core.plate import FileStatus, Plate
from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.cq1 import parse

NAMES = list(every("Image/W{w:04d}F{f:04d}T0001Z001C{c}.tif", w=(14, 27), f=(1, 2), c=(1, 2)))
IMAGES = {
    f"W{w}(R{r}C{c}),A1,F{f}": [f"Image/W{w:04d}F{f:04d}T0001Z001C{ch}.tif" for ch in (1, 2)]
    for w, r, c in ((14, 2, 2), (27, 3, 3))
    for f in (1, 2)
}


def make(folder: Path, text: str = "", names: list[str] = NAMES) -> Path:
    write_images(folder, names)
    (folder / "MeasurementResult.ome.xml").write_text(text or ome(IMAGES))
    return folder


def quarantined(plate: Plate) -> dict[str, str]:
    return {one.path: one.reason for one in plate.files if one.status is FileStatus.QUARANTINED}


def places(plate: Plate) -> list[tuple[str, int]]:
    return [(one.well, one.site) for one in plate.fields if not one.problem]


EVERY_PLACE = [("B02", 1), ("B02", 2), ("C03", 1), ("C03", 2)]


def test_every_part_of_a_name_is_parsed():
    found = parse("x/Projection/W0029F0003T0004Z000C2.TIF")
    assert found is not None
    number, shot = found
    assert (number, shot.site, shot.time_point, shot.z_step, shot.channel) == (29, 3, 4, 0, 2)
    assert shot.projection
    assert parse("W0000F0001T0001Z001C1.tif") is None
    assert parse("W0001F0001T0001Z001C1_mask.tif") is None


def test_wells_channels_pixel_size_and_positions_come_from_the_ome_xml(tmp_path):
    plate = open_plate(make(tmp_path))
    assert (plate.layout, plate.evidence, plate.rows, plate.columns) == ("cq1", "side file", 8, 12)
    assert places(plate) == EVERY_PLACE
    first = plate.channels[0]
    assert (first.name, first.excitation_nm, first.emission_nm, first.color) == (
        "CH1",
        405.0,
        447.0,
        "0000FF",
    )
    assert plate.fields[1].pixel_size_um == 0.65
    assert plate.fields[1].position_um == (0.0, 0.9 * FIELD_UM)


def test_rows_further_up_have_larger_positions(tmp_path):
    names = list(every("Image/W0014F{f:04d}T0001Z001C1.tif", f=(1, 2, 3)))
    images = {f"W14(R2C2),A1,F{f}": [names[f - 1]] for f in (1, 2, 3)}
    plate = open_plate(make(tmp_path, ome(images), names))
    assert plate.fields[2].position_um == (0.9 * FIELD_UM, 0.0)  # Y is -0.9 fields in the file


@pytest.mark.parametrize(
    ("unit", "step_um", "known"),
    [
        ("", 0.9 * FIELD_UM, True),
        ("", 0.9 * FIELD_UM / 1000, False),  # millimetres
        ("", 0.0, False),
        ("µm", 0.9 * FIELD_UM, True),
        ("µm", 3.0 * FIELD_UM, True),
        ("mm", 0.9 * FIELD_UM / 1000, False),
        ("reference frame", 0.9 * FIELD_UM, True),
    ],
)
def test_positions_are_used_where_their_unit_is_certain(tmp_path, unit, step_um, known):
    plate = open_plate(make(tmp_path, ome(IMAGES, unit=unit, step_um=step_um)))
    assert places(plate) == EVERY_PLACE
    assert (plate.fields[0].position_um is not None) == known
    assert any("unknown unit" in remark for remark in plate.remarks) != known


@pytest.mark.parametrize(
    ("columns", "images", "wells"),
    [
        (24, {"W26(R2C2),A1,F1": "W0026"}, ["B02"]),
        (48, {"W1536(R32C48),A1,F1": "W1536"}, ["AF48"]),
        (12, {"W1(R0C0),A1,F1": "W0001", "W14(R1C1),A1,F1": "W0014"}, ["A01", "B02"]),
        (0, {"W26(R2C2),A1,F1": "W0026"}, ["B02"]),
        (12, {"W14(R02, C02),A0001,F0001": "W0014"}, ["B02"]),
    ],
)
def test_rows_and_columns_agree_with_the_wells_numbers(tmp_path, columns, images, wells):
    paths = {name: [f"Image/{stem}F0001T0001Z001C1.tif"] for name, stem in images.items()}
    plate = open_plate(make(tmp_path, ome(paths, columns=columns), [path for (path,) in paths.values()]))
    assert list(plate.wells()) == wells


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[:-100], "it ends too early"),
        (lambda text: text.replace("W14(R2C2)", "W14(R2C3)"), "contradict their rows and columns"),
        (lambda text: text.replace("W14(R2C2)", "W15(R2C3)"), "to well number 15"),
        (lambda text: text.replace("(R", "[R"), "it names no image such as"),
        (lambda text: text.replace("Image/W", "Image/X"), "none of the images that it lists is here"),
    ],
)
@pytest.mark.parametrize("columns", [12, 0])
def test_an_ome_xml_that_cannot_be_trusted_is_not_used(tmp_path, damage, said, columns):
    make(tmp_path, damage(ome(IMAGES)))
    if not columns:
        with pytest.raises(InputError, match=re.escape(said)):
            open_plate(tmp_path)
        return
    (tmp_path / "MeasurementDetail.mrf").write_text(mrf(columns=columns))
    plate = open_plate(tmp_path)
    assert (places(plate), plate.evidence) == (EVERY_PLACE, "names")
    assert said in quarantined(plate)["MeasurementResult.ome.xml"]


def test_names_alone_are_refused_with_a_pattern_for_each_plate(tmp_path):
    write_images(tmp_path, NAMES)
    with pytest.raises(InputError, match="columns of the plate are unknown") as error:
        open_plate(tmp_path)
    lines = [line for line in str(error.value).splitlines() if "--pattern" in line]
    read = [open_plate(tmp_path, pattern=shlex.split(line)[-1]) for line in lines]
    assert [list(plate.wells()) for plate in read] == [["B02", "C03"], ["A14", "B03"]]


def test_records_above_the_input_are_pointed_out(tmp_path):
    write_images(tmp_path, NAMES)
    (tmp_path / "MeasurementData.mlf").write_text(mlf([]))
    with pytest.raises(InputError, match="lies in the folder above the input"):
        open_plate(tmp_path / "Image")


@pytest.mark.parametrize("side", ["MeasurementDetail.mrf", "plate.wpp"])
def test_numbers_are_wells_where_a_side_file_gives_the_columns(tmp_path, side):
    write_images(tmp_path, ["Image/W0026F0001T0001Z001C1.tif", "Image/W0385F0001T0001Z001C1.tif"])
    text = mrf(rows=16, columns=24) if side.endswith("mrf") else '<WellPlateProduct Rows="16" Columns="24"/>'
    (tmp_path / side).write_text(text)
    plate = open_plate(tmp_path)
    assert (places(plate), plate.rows, plate.columns) == ([("B02", 1)], 16, 24)
    reason = "well number 385 is not on a plate of 16 × 24 wells"
    assert quarantined(plate) == {"Image/W0385F0001T0001Z001C1.tif": reason}


def test_a_listed_image_that_is_not_here_is_a_gap(tmp_path):
    make(tmp_path)
    for name in NAMES[:3]:
        (tmp_path / name).unlink()
    plate = open_plate(tmp_path)
    assert "W0014F0001T0001Z001C1.tif, which is not here" in plate.fields[0].problem
    assert [channel for channel, _ in plate.fields[1].lacking] == ["CH1"]


def test_an_image_that_the_ome_xml_does_not_list_is_quarantined(tmp_path):
    make(tmp_path)
    write_images(tmp_path, ["Image/W0028F0001T0001Z001C1.tif"])
    plate = open_plate(tmp_path)
    assert quarantined(plate) == {
        "Image/W0028F0001T0001Z001C1.tif": "MeasurementResult.ome.xml does not list this image"
    }


def test_projections_are_used_instead_of_z_steps(tmp_path):
    steps = list(every("Image/W0014F0001T0001Z00{z}C1.tif", z=(1, 2)))
    projected = "Projection/W0014F0001T0001Z000C1.tif"
    make(tmp_path, ome({"W14(R2C2),A1,F1": steps}), [*steps, projected])
    (tmp_path / "MeasurementResultMIP.ome.xml").write_text(ome({"W14(R2C2),A1,F1": [projected]}))
    plate = open_plate(tmp_path)
    assert [plane.path for plane in plate.fields[0].planes] == [projected]
    for path in steps:
        (tmp_path / path).unlink()
    assert places(open_plate(tmp_path)) == [("B02", 1)]


def test_projections_of_another_kind_than_maximum_are_pointed_out(tmp_path):
    write_images(tmp_path, ["Projection/W0014F0001T0001Z000C1.tif"])
    (tmp_path / "MeasurementDetail.mrf").write_text(mrf())
    assert any("of the kind unknown" in remark for remark in open_plate(tmp_path).remarks)
    name = "Projection/W0014F0001T0001Z000C1.tif"
    numbers = {"Row": 2, "Column": 2, "FieldIndex": 1, "Ch": 1}
    for kind, said in (("Sum", True), ("Maximum", False)):
        text = mlf([record(path=name, ZImageProcessing=kind, **numbers)])
        (tmp_path / "MeasurementData.mlf").write_text(text)
        assert any("of the kind Sum" in remark for remark in open_plate(tmp_path).remarks) == said


def test_a_container_that_describes_the_plate_is_left_to_its_layout(tmp_path):
    write_images(tmp_path, NAMES)
    wells = "".join(
        f'<Well ID="Well:{row}" Row="{row}" Column="{row}">'
        f'<WellSample ID="WellSample:{first}" Index="{first}"><ImageRef ID="Image:{first}"/></WellSample>'
        f'<WellSample ID="WellSample:{first + 1}" Index="{first + 1}"><ImageRef ID="Image:{first + 1}"/>'
        "</WellSample></Well>"
        for row, first in ((1, 1), (2, 3))
    )
    form = 'DimensionOrder="XYZCT" Type="uint16" SizeZ="1" SizeC="2" SizeT="1"'
    text = ome(IMAGES).replace('Columns="12" />', f'Columns="12">{wells}</Plate>')
    text = text.replace("<Pixels ID", f"<Pixels {form} ID")
    text = text.replace("<Pixels SizeX", f'<Pixels {form} ID="Pixels:0" SizeX')
    pixels = np.zeros((16, 16), np.uint16)
    tifffile.imwrite(tmp_path / "MeasurementResult.ome.tif", pixels, description=text.encode(), metadata=None)
    plate = open_plate(tmp_path)
    assert (plate.layout, places(plate)) == ("ometiff", EVERY_PLACE)


def test_the_container_of_the_metadata_is_no_image(tmp_path):
    make(tmp_path)
    write_images(tmp_path, ["MeasurementResult.ome.tif"])
    plate = open_plate(tmp_path)
    (rule,) = (one.reason for one in plate.files if one.path == "MeasurementResult.ome.tif")
    assert rule.startswith("vendor-metadata")
    assert places(plate) == EVERY_PLACE


def test_several_measurements_are_refused_with_a_command_for_each(tmp_path):
    make(tmp_path / "20251201T134840_a")
    make(tmp_path / "20251201T150000_b")
    with pytest.raises(InputError, match="2 plates") as error:
        open_plate(tmp_path)
    assert str(error.value).count("nucbatch run") == 2


def _cq3k(folder: Path, paths: list[str], **values: object) -> Path:
    write_images(folder, paths)
    records = []
    for path in paths:
        shot = parse(path)[1]
        numbers = {"Row": 3, "Column": 5, "TimePoint": 1, "FieldIndex": shot.site, "Ch": shot.channel}
        records.append(record(path=path, **{**numbers, "X": 0.0, "Y": 0.0, **values}))
    (folder / "MeasurementData.mlf").write_text(mlf(records))
    return folder


def test_z_steps_without_an_index_have_that_of_their_names(tmp_path):
    names = list(every("Image/W0029F0001T0001Z00{z}C1.tif", z=(1, 2, 3)))
    (one,) = open_plate(_cq3k(tmp_path, names)).fields
    assert [plane.z for plane in one.planes] == [0, 1, 2]


def test_tiles_of_one_field_are_fields_by_their_names(tmp_path):
    names = list(every("Image/W0029F000{f}T0001Z001C1.tif", f=(1, 2)))
    plate = open_plate(_cq3k(tmp_path, names, FieldIndex=1, TileXIndex=1, ZIndex=1))
    assert places(plate) == [("C05", 1), ("C05", 2)]
    assert not quarantined(plate)


def test_records_that_contradict_the_wells_numbers_are_not_used(tmp_path):
    _cq3k(tmp_path, ["Image/W0029F0001T0001Z001C1.tif"], Row=4, ZIndex=1)
    (tmp_path / "MeasurementDetail.mrf").write_text(mrf())
    plate = open_plate(tmp_path)
    assert places(plate) == [("C05", 1)]
    assert "well D05" in quarantined(plate)["MeasurementData.mlf"]


def test_records_that_contradict_the_names_leave_the_wells_unknown(tmp_path):
    _cq3k(tmp_path, ["Image/W0029F0001T0001Z001C1.tif"], FieldIndex=2, ZIndex=1)
    with pytest.raises(InputError, match=r"contradicts the name of Image/W0029F0001T0001Z001C1.tif: field 2"):
        open_plate(tmp_path)
