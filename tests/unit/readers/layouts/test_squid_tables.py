"""Squid's tables give positions and the pixel size, and never a guess."""

import json

import pytest
from golden.names_alone import write_squid

from nucbatch.core.plate import FileStatus
from nucbatch.readers.find import open_plate

OPTICS = {"magnification": 10, "tube_lens_f_mm": 180}


def fates(plate) -> dict[str, str]:
    return {record.path: record.reason for record in plate.files if record.status is FileStatus.QUARANTINED}


def test_positions_and_lost_fields(tmp_path):
    plate = open_plate(write_squid(tmp_path))
    first, second = plate.fields[0], plate.fields[2]
    assert (first.well, first.site, first.t) == ("B02", 1, 0)
    assert first.position_um == pytest.approx((20_000, 10_000))
    assert (second.well, second.site) == ("B02", 2)
    assert second.position_um == pytest.approx((19_100, 10_900))  # y runs down, so this field lies above
    (lost,) = [field for field in plate.fields if field.problem]
    assert (lost.well, lost.site, lost.t) == ("C03", 2, 1)
    assert lost.problem == "no image: 1/coordinates.csv lists the field, but it has no file"


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({"sensor_pixel_size_um": 7.52, "tube_lens_mm": 180, "objective": OPTICS}, 0.752),
        ({"sensor_pixel_size_um": 1.85, "tube_lens_mm": 50, "objective": OPTICS}, 0.666),
        ({"sensor_pixel_size_um": 1.85, "tube_lens_mm": 50, "pixel_binning": 1, "objective": OPTICS}, 0.666),
        ({"sensor_pixel_size_um": 1.85, "tube_lens_mm": 50, "pixel_binning": 2, "objective": OPTICS}, None),
        ({"sensor_pixel_size_um": 1.85, "objective": OPTICS}, None),
        ({"sensor_pixel_size_um": "x", "tube_lens_mm": 0, "objective": None}, None),
        ({"objective": 3}, None),
        ({"sensor_pixel_size_um": 1e9, "tube_lens_mm": 50, "objective": OPTICS}, None),
    ],
)
def test_the_pixel_size_follows_from_the_optics(tmp_path, parameters, size):
    write_squid(tmp_path)
    (tmp_path / "acquisition parameters.json").write_text(json.dumps(parameters))
    plate = open_plate(tmp_path)
    assert plate.fields[0].pixel_size_um == (size and pytest.approx(size))
    assert fates(plate) == {}
    assert any("binning" in remark for remark in plate.remarks) == (parameters.get("pixel_binning", 1) > 1)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff\xfe\x00"])
def test_damaged_parameters_are_quarantined(tmp_path, content):
    write_squid(tmp_path)
    (tmp_path / "acquisition parameters.json").write_bytes(content)
    plate = open_plate(tmp_path)
    assert list(fates(plate)) == ["acquisition parameters.json"]
    assert len([field for field in plate.fields if field.position_um]) == 8


@pytest.mark.parametrize(
    "row",
    ["B2,0,0,10,,5,x", "B2,0,0,inf,20,5,x", "B2,x,0,10,20,5,x", "B2,1,0,55,20,5,x", 'B2,"0,0,10,20,5,x'],
)
def test_damaged_coordinates_are_quarantined_and_names_remain(tmp_path, row):
    write_squid(tmp_path)
    for t in (0, 1):
        path = tmp_path / f"{t}/coordinates.csv"
        path.write_text(path.read_text() + row + "\n")
    plate = open_plate(tmp_path)
    assert sorted(fates(plate)) == ["0/coordinates.csv", "1/coordinates.csv"]
    assert [field.position_um for field in plate.fields] == [None] * 7
    assert (plate.evidence, len(plate.fields)) == ("names", 7)


def test_the_pixel_size_needs_no_positions(tmp_path):
    write_squid(tmp_path)
    for t in (0, 1):
        (tmp_path / f"{t}/coordinates.csv").unlink()
    plate = open_plate(tmp_path)
    assert {(field.position_um, field.pixel_size_um) for field in plate.fields} == {(None, 0.752)}


def test_regions_that_are_no_wells_are_left_out(tmp_path):
    write_squid(tmp_path)
    path = tmp_path / "0/coordinates.csv"
    path.write_text(path.read_text() + "manual0,0,0,1,2,3,x\n")
    assert len(open_plate(tmp_path).fields) == 8
