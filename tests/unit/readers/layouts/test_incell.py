"""IN Cell names and the .xdce: what it adds, what is lost, and when it is not trusted."""

import pytest
from golden import write_images
from golden.incell import listed, stem, xdce

from nucbatch.core.errors import InputError
from nucbatch.core.plate import FileStatus
from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.incell import InCellName, parse

ONE, TWO = ("A", 1, 1, 0), ("A", 2, 1, 0)


def reasons(plate, status=FileStatus.QUARANTINED) -> dict[str, str]:
    return {record.path: record.reason for record in plate.files if record.status is status}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("A - 1(fld 1 wv DAPI - DAPI).tif", ("A01", 1, "DAPI - DAPI", 0, 0)),
        ("A - 14(fld 1 wv UV - DAPI).tif", ("A14", 1, "UV - DAPI", 0, 0)),
        ("x/AA - 01(fld 01 wv 390 - Blue z 07).TIF", ("AA01", 1, "390 - Blue", 6, 0)),
        (
            "B - 2(fld 3 wv TL-Brightfield - Cy3 z 2 time 4 - 0ms).tif",
            ("B02", 3, "TL-Brightfield - Cy3", 1, 3),
        ),
        ("B - 2(fld 3 wv UV - DAPI time 2 - 3600000 ms z 3).tif", ("B02", 3, "UV - DAPI", 2, 1)),
        ("B - 02(fld 1 wv Cy3 - Cy3 time 2 - 60000 z 2).tif", ("B02", 1, "Cy3 - Cy3", 1, 1)),
        ("B - 02(fld 1 wv Cy3 - Cy3 t 2).tif", ("B02", 1, "Cy3 - Cy3", 0, 1)),
        ("B - 02(fld 1 z 3 t 2 wv Cy3 - Cy3).tif", ("B02", 1, "Cy3 - Cy3", 2, 1)),
        ("B - 2 (fld 3 wv Green#2 - d(Red)).tif", ("B02", 3, "Green#2 - d(Red)", 0, 0)),
    ],
)
def test_names(name, parts):
    assert parse(name) == InCellName(*parts)


@pytest.mark.parametrize(
    "name",
    [
        "A - 1.tif",
        "A - 49(fld 1 wv a - b).tif",
        "A01_s1_w1.tif",
        "A - 1(fld 1 z 1 wv a - b z 2).tif",
    ],
)
def test_other_names(name):
    assert parse(name) is None


def test_filters_binning_and_plate_size_come_from_the_xdce(tmp_path):
    write_images(tmp_path, [stem(*ONE), stem("A", 1, 1, 1)])
    (tmp_path / "p.xdce").write_bytes(xdce([listed(*ONE), listed("A", 1, 1, 1)]))
    plate = open_plate(tmp_path)
    dapi = plate.channel("dapi")
    assert (dapi.name, dapi.index, dapi.excitation_nm, dapi.emission_nm) == ("UV - DAPI", 0, 350, 455)
    (field,) = plate.fields
    assert (field.pixel_size_um, field.position_um, field.time) == (0.65, None, "1250 ms")
    assert field.stage_um in ((0, 0), (-300, 650.5))
    assert (plate.name, plate.rows, plate.columns) == ("p", 4, 6)


@pytest.mark.parametrize(
    ("binning", "size"), [("1 X 1", 0.325), ("4x4", 1.3), ("1 X 2", None), ("auto", None)]
)
def test_an_unclear_binning_gives_no_pixel_size(tmp_path, binning, size):
    write_images(tmp_path, [stem(*ONE)])
    (tmp_path / "p.xdce").write_bytes(xdce([listed(*ONE)], binning=binning))
    assert open_plate(tmp_path).fields[0].pixel_size_um == size


def test_names_of_another_program_are_read_by_the_xdce_alone(tmp_path):
    write_images(tmp_path, ["t1_E03_w1_z1.tif", "t1_E04_w1_z1.tif"])
    images = [listed("E", 3, 1, 0, file="t1_E03_w1_z1.tif")]
    images.append(listed("E", 4, 1, 0, file="SUB\\T1_E04_W1_Z1.TIF"))
    (tmp_path / "p.xdce").write_bytes(xdce(images))
    assert list(open_plate(tmp_path).wells()) == ["E03", "E04"]
    (tmp_path / "p.xdce").write_bytes(b"<ImageStack>")
    with pytest.raises(InputError, match=r"p\.xdce can't be used \(it ends too early"):
        open_plate(tmp_path)


def test_lost_and_unlisted_images(tmp_path):
    write_images(tmp_path, [stem(*ONE), stem("B", 1, 1, 0)])
    (tmp_path / "p.xdce").write_bytes(xdce([listed(*ONE), listed("A", 1, 1, 1), listed(*TWO)]))
    plate = open_plate(tmp_path)
    whole, gap = plate.fields
    assert dict(whole.lacking) == {"390 - Blue": f"p.xdce lists {stem('A', 1, 1, 1)}, which is not there"}
    assert (gap.well, gap.problem) == ("A02", f"no image: p.xdce lists {stem(*TWO)}, which is not there")
    assert reasons(plate) == {stem("B", 1, 1, 0): "p.xdce lists no image of this name"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (xdce([listed(*ONE)])[:-40], "it ends too early"),
        (
            xdce([listed("C", 5, 1, 0, file=stem(*ONE))]),
            "it has well C05, field 1, z 1 and time 1 for A - 1(",
        ),
        (xdce([listed("A", 1, 1, 1, file=stem(*ONE))]), "it has another channel for A - 1("),
        (xdce([listed("D", 1, 1, 0)]), "it lists 1 image and none of these"),
        (xdce([listed(*ONE), listed("A", 1, 2, 0, file=stem(*ONE))]), "it lists 1 image twice"),
        (xdce([listed(*ONE).replace('field_index="0"', 'field_index="?"')]), "1 image without a usable well"),
    ],
)
def test_names_decide_where_the_xdce_cannot_be_trusted(tmp_path, content, why):
    write_images(tmp_path, [stem(*ONE), stem(*TWO)])
    (tmp_path / "p.xdce").write_bytes(content)
    plate = open_plate(tmp_path)
    assert (list(plate.wells()), plate.evidence) == (["A01", "A02"], "names")
    assert why in reasons(plate)["p.xdce"]


def test_several_plates_are_rejected_with_commands(tmp_path):
    for folder in ("one", "two"):
        write_images(tmp_path / folder, [f"A - 1/{stem(*ONE)}"])
    commands = r"2 plates(?s:.*)run .*/one -o out/one\n.*run .*/two -o out/two"
    with pytest.raises(InputError, match=commands):
        open_plate(tmp_path)
    (tmp_path / "one/p.xdce").write_bytes(xdce([listed(*ONE)]))
    with pytest.raises(InputError, match=commands):
        open_plate(tmp_path)
    (tmp_path / "one/q.xdce").write_bytes(xdce([listed(*ONE)]))
    with pytest.raises(InputError, match=r"2 \.xdce files in one folder \(p\.xdce, q\.xdce\)"):
        open_plate(tmp_path / "one")
