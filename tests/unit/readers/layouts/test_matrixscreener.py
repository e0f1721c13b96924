"""Names of MatrixScreener, acquisitions, slides, and stage positions on the grid of fields."""

import pytest
from golden import write_images
from golden.matrixscreener import image, write_position

from nucbatch.core.errors import InputError
from nucbatch.core.plate import FileStatus
from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.matrixscreener import parse

FIELDS = ((0, 0), (1, 0), (0, 1), (1, 1))


def placed(folder, at, fields=FIELDS):
    write_images(folder, (image(0, 0, *field) for field in fields))
    for field in fields:
        write_position(folder, 0, 0, *field, at(*field))
    plate = open_plate(folder)
    return plate, [
        field.position_um and tuple(round(one) for one in field.position_um) for field in plate.fields
    ]


def test_names_with_fewer_parts_are_parsed():
    path = "b--S00/c--U01--V00/d--X00--Y00/image--L0000--S00--U01--V00--J01--X00--Y00--T0000--C00.ome.tif"
    assert parse(path) == {"L": 0, "S": 0, "U": 1, "V": 0, "J": 1, "X": 0, "Y": 0, "T": 0, "C": 0}
    assert parse("image--S00--U01.tif") is None


def test_columns_rows_and_the_grid_of_fields_count_from_0(tmp_path):
    write_images(tmp_path, (image(3, 1, x, y) for x, y in FIELDS))
    plate = open_plate(tmp_path)
    assert {field.well for field in plate.fields} == {"B04"}
    assert [parse(field.planes[0].path) for field in plate.fields] == [
        parse(image(3, 1, x, y)) for x, y in FIELDS
    ]


@pytest.mark.parametrize(
    "at",
    [
        lambda x, y: (0.02 + 4e-4 * x, 0.05 - 4e-4 * y),
        lambda x, y: (0.02 - 4e-4 * x, 0.05 + 4e-4 * y),
        lambda x, y: (0.02 - 4.2e-4 * x + 1e-6 * y, 0.05 - 3.8e-4 * y - 1e-6 * x),
    ],
)
def test_positions_run_right_and_down_however_the_stage_does(tmp_path, at):
    plate, positions = placed(tmp_path, at)
    (y0, x0), (y1, x1), (y2, x2) = positions[:3]
    assert (x1 - x0, y2 - y0) == (pytest.approx(400, abs=25), pytest.approx(400, abs=25))
    assert (y1 - y0, x2 - x0) == (pytest.approx(0, abs=2), pytest.approx(0, abs=2))
    assert plate.evidence == "side file"


@pytest.mark.parametrize(
    "at",
    [
        lambda x, y: (0.02, 0.05),  # all equal
        lambda x, y: (0.02 + 4e-4 * y, 0.05 + 4e-4 * x),  # axes exchanged
        lambda x, y: (0.02 + 4e-4 * x, 0.05 + 4e-4 * y * (1 if x else -1)),
    ],
)
def test_positions_off_the_grid_are_left_out(tmp_path, at):
    plate, positions = placed(tmp_path, at)
    assert positions == [None] * 4
    assert "they do not follow the grid" in plate.remarks[1]


def test_one_row_of_fields(tmp_path):
    _, positions = placed(tmp_path, lambda x, y: (0.02 - 4e-4 * x, 0.05), ((0, 0), (1, 0), (2, 0)))
    assert [(y - positions[0][0], x - positions[0][1]) for y, x in positions] == [(0, 0), (0, 400), (0, 800)]


def test_several_acquisitions_are_listed_and_one_is_chosen(tmp_path):
    write_images(
        tmp_path,
        (image(0, 0, x, 0, j=j, scan=scan) for x in (0, 1) for j, scan in ((8, 0), (20, 0), (20, 1))),
    )
    with pytest.raises(InputError, match=r"3 acquisitions(?s:.*)L00--J08\n.*L00--J20\n.*L01--J20"):
        open_plate(tmp_path)
    with pytest.raises(InputError, match="'J20' does not choose one"):
        open_plate(tmp_path, acquisition="J20")
    with pytest.raises(InputError, match="'x' does not choose one"):
        open_plate(tmp_path, acquisition="x")
    for wanted, name in (("J8", "L00--J08"), ("L01--J20", "L01--J20")):
        plate = open_plate(tmp_path, acquisition=wanted)
        assert (plate.acquisition, {field.acquisition for field in plate.fields}) == (name, {name})
        reasons = [record.reason for record in plate.files if record.status is FileStatus.IGNORED]
        assert len(reasons) == 4
        assert all(reason.startswith("other-acquisition") for reason in reasons)


def test_loops_are_acquisitions_only_where_they_repeat_a_plane(tmp_path):
    other_loop = image(0, 0, 1, 0).replace("E00", "E04")
    write_images(tmp_path, [image(0, 0, 0, 0), other_loop])
    write_position(tmp_path, 0, 0, 0, 0, (0, 0))
    plate = open_plate(tmp_path)
    assert ([field.site for field in plate.fields], plate.acquisition) == ([1, 2], "")
    write_images(tmp_path, [image(0, 0, 1, 0)])
    with pytest.raises(InputError, match=r"2 acquisitions(?s:.*) E00\n.* E04"):
        open_plate(tmp_path)
    assert open_plate(tmp_path, acquisition="E4").acquisition == "L00--J08--E04"
    assert len(open_plate(tmp_path, acquisition="E0").fields) == 2


def test_slides_and_experiments_are_plates_of_their_own(tmp_path):
    for root in ("one", "two"):
        write_images(tmp_path / root, [image(0, 0, 0, 0)])
    with pytest.raises(InputError, match=r"2 plates(?s:.*)run .*/one/slide--S00 -o .*\n.*/two/slide--S00 -o"):
        open_plate(tmp_path)
    other = image(0, 0, 0, 0).replace("S00", "S01")
    write_images(tmp_path / "one", [other])
    with pytest.raises(InputError, match=r"/one/slide--S00 -o .*\n.*/one/slide--S01 -o"):
        open_plate(tmp_path / "one")
    write_images(tmp_path / "flat", [image(0, 0, 0, 0).rpartition("/")[2], other.rpartition("/")[2]])
    with pytest.raises(InputError, match="mixes images of 2 slides"):
        open_plate(tmp_path / "flat")


def test_damaged_metadata_and_impossible_wells_are_quarantined(tmp_path):
    write_images(tmp_path, [image(0, 0, 0, 0), image(60, 0, 0, 0)])
    write_position(tmp_path, 0, 0, 0, 0, (0, 0))
    (path,) = tmp_path.rglob("*.xml")
    path.write_text("<OME><Image>")
    plate = open_plate(tmp_path)
    reasons = sorted(record.reason for record in plate.files if record.status is FileStatus.QUARANTINED)
    assert (list(plate.wells()), plate.evidence) == (["A01"], "names")
    assert reasons[0].startswith("it ends too early")
    assert reasons[1] == "no plate has a well U60--V0"
