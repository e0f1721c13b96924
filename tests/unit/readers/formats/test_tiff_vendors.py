"""TIFF files of MetaMorph, Zeiss and Opera, whose private tags say what their pages are."""

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from golden import quarantined

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.find import open_plate
from nucbatch.readers.formats.headers import read_header
from nucbatch.readers.pixels import read_field

STACK = np.random.default_rng(0).integers(1, 900, (2, 3, 3, 40, 56)).astype(np.uint16)  # (T, Z, C, Y, X)


def refused(path: Path) -> str:
    with pytest.raises(UnreadableImage) as caught:
        read_header(path)
    return str(caught.value)


def write_lsm(path: Path, stack=STACK, scan: int = 6, **described: float) -> None:
    """Writes a plane of all channels and its thumbnail for each time point and z-step."""
    times, depth, channels, height, width = stack.shape
    info = np.zeros((), np.dtype(tifffile.TIFF.CZ_LSMINFO).newbyteorder("<"))
    info["MagicNumber"], info["StructureSize"] = 50350412, info.nbytes
    values = {"X": width, "Y": height, "Z": depth, "Channels": channels, "Time": times}
    for name, value in values.items():
        info[f"Dimension{name}"] = value
    info["VoxelSizeX"] = info["VoxelSizeY"] = 0.4e-6
    info["ScanType"] = scan
    for name, value in described.items():
        info[name] = value
    tag = [(34412, 1, info.nbytes, info.tobytes(), True)]
    with tifffile.TiffWriter(path) as writer:
        for plane in stack.reshape(-1, channels, height, width):
            options = {"photometric": "minisblack", "metadata": None, "software": None}
            writer.write(plane, planarconfig="separate", extratags=tag, **options)
            writer.write(np.zeros((8, 8, 3), np.uint8), photometric="rgb", subfiletype=1, metadata=None)
            tag = []


def write_stk(path: Path, planes, distances, times) -> None:
    """Writes a MetaMorph stack: all planes behind one directory."""
    count, height, width = planes.shape
    at = 8 + planes.nbytes
    uic2 = b"".join(
        struct.pack("<6I", distance, 1, 2460000, time, 2460000, time)
        for distance, time in zip(distances, times, strict=True)
    )
    calibration = at + len(uic2)
    extra = struct.pack("<4I", 13, 20, 13, 20) + struct.pack("<I", 3) + b"um\0\0"
    uic1 = calibration + len(extra)
    entries = struct.pack(
        "<8I", 3, 1, 4, calibration, 5, calibration + 8, 6, calibration + 16
    )  # calibrated, across, down, unit
    directory = uic1 + len(entries)
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 16),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, height * width * 2),
        (33628, 4, 4, uic1),
        (33629, 5, count, at),
    ]
    packed = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = struct.pack("<2sHI", b"II", 42, directory)
    path.write_bytes(head + planes.tobytes() + uic2 + extra + entries + packed + bytes(4))


def test_an_lsm_file_has_times_z_steps_and_channels_without_thumbnails(tmp_path):
    write_lsm(tmp_path / "a.lsm")
    plate = open_plate(tmp_path / "a.lsm")
    assert [(one.name, one.t, one.z_steps) for one in plate.fields] == [("a_t0", 0, 3), ("a_t1", 1, 3)]
    assert [channel.name for channel in plate.channels] == ["C1", "C2", "C3"]
    assert plate.fields[0].pixel_size_um == pytest.approx(0.4)
    for one in plate.fields:
        np.testing.assert_array_equal(read_field(plate.root, one, plate.channels), STACK[one.t].max(axis=0))


@pytest.mark.parametrize(
    ("described", "reason"),
    [
        ({"DimensionZ": 5}, "its metadata promise 10 planes, 6 are there"),
        ({"DimensionP": 3}, "a Zeiss LSM file of 3 positions or tiles"),
        ({"scan": 4}, "a Zeiss LSM scan of type 4"),
        ({"scan": 0}, "are not described by its scan"),
    ],
)
def test_an_lsm_file_that_is_not_what_it_says_is_refused(tmp_path, described, reason):
    write_lsm(tmp_path / "a.lsm", **described)
    assert reason in refused(tmp_path / "a.lsm")


@pytest.mark.parametrize(
    ("distances", "times", "fields", "z_steps"),
    [([2, 2, 2], [0, 0, 0], 1, 3), ([0, 0, 0], [0, 5, 9], 3, 1)],
)
def test_a_metamorph_stack_has_z_steps_or_time_points(tmp_path, distances, times, fields, z_steps):
    planes = STACK[0, :, 0]
    write_stk(tmp_path / "a.stk", planes, distances, times)
    plate = open_plate(tmp_path / "a.stk")
    assert (len(plate.fields), plate.fields[0].z_steps) == (fields, z_steps)
    assert plate.fields[0].pixel_size_um == pytest.approx(0.65)
    for t, one in enumerate(plate.fields):
        wanted = planes.max(axis=0) if fields == 1 else planes[t]
        np.testing.assert_array_equal(read_field(plate.root, one, plate.channels)[0], wanted)


def test_a_metamorph_stack_that_says_nothing_or_is_truncated_is_refused(tmp_path):
    write_stk(tmp_path / "a.stk", STACK[0, :, 0], [0, 0, 0], [0, 0, 0])
    assert "a MetaMorph stack of 3 planes that does not say" in refused(tmp_path / "a.stk")
    for planes in (1, 5):
        uic2 = (33629, 5, planes, (1, 1) * planes, True)
        uic1 = (33628, 4, planes, (0,) * planes, True)
        tifffile.imwrite(tmp_path / "a.tif", STACK[0, 0, 0], metadata=None, extratags=[uic1, uic2])
        if planes == 1:
            assert read_header(tmp_path / "a.tif").pages == 1
        else:
            assert refused(tmp_path / "a.tif")


def write_flex(path: Path, planes, arrays: str) -> None:
    """Writes a page for each plane, and the description of the arrays in the first."""
    tag = [(65200, 2, 0, f"<Root><FLEX><Arrays>{arrays}</Arrays></FLEX></Root>", True)]
    with tifffile.TiffWriter(path) as writer:
        for plane in planes:
            writer.write(plane, photometric="minisblack", metadata=None, extratags=tag)
            tag = []


def test_opera_files_are_a_plate_with_a_channel_for_each_array(tmp_path):
    arrays = '<Array Name="Exp1Cam1" Factor="1"/><Array Name="Exp2Cam2" Factor="1"/>'
    for name in ("001001000", "001001001", "002003000"):
        write_flex(tmp_path / f"{name}.flex", STACK[0, 0, :2], arrays)
    plate = open_plate(tmp_path)
    assert (plate.is_plate, tuple(plate.wells())) == (True, ("A01", "B03"))
    assert [channel.name for channel in plate.channels] == ["Exp1Cam1", "Exp2Cam2"]
    assert len(plate.fields) == 3
    np.testing.assert_array_equal(read_field(plate.root, plate.fields[0], plate.channels), STACK[0, 0, :2])


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ('<Array Name="Exp1Cam1" Factor="2.5"/><Array Name="Exp2Cam2"/>', "scaled by a factor"),
        ('<Array Name="Exp1Cam1"/>', "an Opera file of 2 pages and 1 arrays"),
    ],
)
def test_opera_files_of_other_kinds_are_refused(tmp_path, arrays, reason):
    write_flex(tmp_path / "001001000.flex", STACK[0, 0, :2], arrays)
    write_flex(tmp_path / "001002000.flex", STACK[0, 0, :2], arrays)
    plate = open_plate(tmp_path)
    assert all(reason in text for text in quarantined(plate).values())
    assert len(quarantined(plate)) == 2


SCN = """<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection
name="s" sizeX="26000000" sizeY="76000000"><image name="macro"><pixels>
<dimension sizeX="20" sizeY="30" r="0" ifd="0"/></pixels>
<view sizeX="26000000" sizeY="76000000" offsetX="0" offsetY="0"/></image>%s</collection></scn>"""
AREA = """<image name="%s"><pixels>%s</pixels><view sizeX="28000" sizeY="20000" offsetX="1000000"
offsetY="2000000"/></image>"""
PLANE = '<dimension sizeX="56" sizeY="40" r="0" c="%d" z="%d" ifd="%d"/>'


def write_scn(path: Path, areas: str, planes) -> None:
    """Writes the picture of the whole slide, with the description, and the planes of the areas."""
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        description = (SCN % areas).replace("\n", " ")
        writer.write(
            np.zeros((30, 20, 3), np.uint8), photometric="rgb", description=description, metadata=None
        )
        for plane in planes:
            writer.write(plane, photometric="rgb" if plane.ndim == 3 else "minisblack", metadata=None)


def test_areas_of_a_leica_slide_are_images_without_the_picture_of_the_slide(tmp_path):
    planes = [STACK[t, z, c] for t in range(2) for c in range(2) for z in range(3)]
    described = [
        "".join(PLANE % (c, z, 1 + 6 * t + 3 * c + z) for c in range(2) for z in range(3)) for t in range(2)
    ]
    areas = "".join(AREA % (f"area{t}", described[t]) for t in range(2))
    write_scn(tmp_path / "a.scn", areas, planes)
    plate = open_plate(tmp_path / "a.scn")
    assert [(one.name, one.z_steps) for one in plate.fields] == [("a_area0", 3), ("a_area1", 3)]
    assert plate.fields[0].pixel_size_um == pytest.approx(0.5)
    for t, one in enumerate(plate.fields):
        wanted = STACK[t, :, :2].max(axis=0)
        np.testing.assert_array_equal(read_field(plate.root, one, plate.channels), wanted)


def test_a_leica_slide_in_colour(tmp_path):
    colours = np.random.default_rng(1).integers(0, 255, (40, 56, 3)).astype(np.uint8)
    write_scn(tmp_path / "a.scn", AREA % ("tissue", PLANE % (0, 0, 1)), [colours])
    plate = open_plate(tmp_path / "a.scn")
    assert [channel.name for channel in plate.channels] == ["Red", "Green", "Blue"]
    got = read_field(plate.root, plate.fields[0], plate.channels)
    np.testing.assert_array_equal(np.moveaxis(got, 0, -1), colours)


def test_a_leica_slide_without_a_plane_is_refused(tmp_path):
    for described, reason in (
        (PLANE % (0, 0, 1) + PLANE % (1, 1, 2), "incomplete: 2 of the 4 planes"),
        (PLANE % (0, 0, 5), "directory 6 of 3 is not there"),
    ):
        write_scn(tmp_path / "a.scn", AREA % ("x", described), STACK[0, 0, :2])
        assert reason in quarantined(open_plate(tmp_path / "a.scn"))["a.scn"]
