"""All planes that the metadata promise must exist."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.plate import FileStatus, Plate
from nucbatch.readers.find import open_plate
from nucbatch.readers.formats.headers import read_header
from nucbatch.readers.pixels import read_field

STACK = np.random.default_rng(0).integers(1, 900, (10, 64, 48)).astype(np.uint16)


def refused(path: Path) -> str:
    with pytest.raises(UnreadableImage) as caught:
        read_header(path)
    return str(caught.value)


def reasons(plate: Plate) -> dict[str, str]:
    return {record.path: record.reason for record in plate.files if record.status is FileStatus.QUARANTINED}


def cut(path: Path, part: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])


@pytest.mark.parametrize(
    "options",
    [
        {"metadata": {"axes": "ZYX"}},
        {"metadata": {"axes": "TYX"}, "compression": "deflate"},
        {"metadata": {}},
        {"metadata": {"axes": "ZYX"}, "bigtiff": True, "byteorder": ">"},
        {"metadata": {"axes": "ZYX"}, "imagej": True},
    ],
)
@pytest.mark.parametrize("part", [0.5, 0.85])
def test_a_truncated_stack_is_not_a_smaller_one(tmp_path: Path, options: dict, part: float) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", **options)
    cut(path, part)
    assert refused(path).startswith("its metadata promise 10 planes, ")


def test_truncation_is_detected_with_metadata_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", metadata={"axes": "ZYX"})
    for part in (0.1, 0.5, 0.99):
        cut(path, part)
        assert refused(path).startswith("truncated: the value of its tag 270 should lie at bytes")


def test_messages_count_planes(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", metadata={"axes": "ZYX"})
    cut(path, 0.5)
    plate = open_plate(tmp_path)
    assert reasons(plate) == {"a.tif": "its metadata promise 10 planes, 1 is there"}


def test_a_broken_directory_chain_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", metadata=None)
    cut(path, 0.5)
    assert refused(path).startswith("truncated: directory 2 should lie at byte")
    with tifffile.TiffWriter(path) as writer:  # directories between the pixels
        for plane in STACK[:3]:
            writer.write(plane, metadata=None, contiguous=False)
    with tifffile.TiffFile(path) as tiff:
        second = tiff.pages[1].offset
    content = path.read_bytes()
    path.write_bytes(content[:second] + bytes(len(content) - second))
    assert "directory 2" in refused(path) or "2 pages" in refused(path)


def imagej(path: Path, description: str, planes: np.ndarray, **options: object) -> None:
    tifffile.imwrite(
        path,
        planes,
        description=f"ImageJ=1.54\n{description}",
        metadata=None,
        photometric="minisblack",
        **options,
    )


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ("images=10\nslices=10\n", "promise 10 planes, 4 are there"),
        ("images=2\nslices=2\n", "promise 2 planes, 4 are there"),
        (
            "images=4\nslices=2\nframes=3\n",
            r"promise 4 planes, 6 are there by its frames × slices × channels",
        ),
        ("images=4\n", "promise 4 planes, 1 is there by its frames"),
        ("slices=5\nhyperstack=true\n", "promise 5 planes, 4 are there"),
        ("unit=um\n", "4 pages instead of one plane"),
    ],
)
def test_imagej_descriptions_are_checked_against_the_pages(
    tmp_path: Path, description: str, reason: str
) -> None:
    imagej(tmp_path / "a.tif", description, STACK[:4])
    assert reason in refused(tmp_path / "a.tif")


def test_imagej_planes_behind_one_directory_are_checked_by_file_size(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    imagej(path, "images=10\nslices=10\n", STACK[0])
    content = path.read_bytes()
    path.write_bytes(content + STACK[1:].tobytes())
    assert read_header(path).stack.depth == 10
    np.testing.assert_array_equal(
        read_field(tmp_path, (plate := open_plate(path)).fields[0], plate.channels)[0], STACK.max(axis=0)
    )
    path.write_bytes(content + STACK[1:4].tobytes())
    assert refused(path).startswith("its metadata promise 10 planes, 4 are there (truncated")
    imagej(path, "images=10\nslices=10\n", STACK[0], compression="deflate")
    assert "10 compressed pages behind one directory" in refused(path)


def test_tifffile_shapes_are_checked_against_the_pages(tmp_path: Path) -> None:
    for described, reason in (
        (
            '{"shape": [10, 64, 48], "axes": "ZYX", "truncated": true}',
            "promise 10 planes, 1 is there: it was",
        ),
        ("shape=(10, 64, 48)", "promise 10 planes, 1 is there"),
    ):
        tifffile.imwrite(tmp_path / "a.tif", STACK[0], description=described, metadata=None)
        assert reason in refused(tmp_path / "a.tif")
    for description in (
        '{"shape": [1, 1, 64, 48], "axes": "TCYX"}',
        '{"shape": [640, 480]}',
        '{"shape": "x"}',
    ):
        tifffile.imwrite(tmp_path / "a.tif", STACK[0], description=description, metadata=None)
        assert read_header(tmp_path / "a.tif").pages == 1


def test_micro_manager_indices_are_checked_against_the_pages(tmp_path: Path) -> None:
    path, size = tmp_path / "a.tif", STACK[0].nbytes
    entries = [
        (256, 48),
        (257, 64),
        (258, 16),
        (259, 1),
        (262, 1),
        (273, 16),
        (277, 1),
        (278, 64),
        (279, size),
    ]
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in entries) + bytes(4)
    end = 16 + size + len(directory)
    head = b"II*\0" + struct.pack("<III", 16 + size, 54_773_648, end)
    for images, reason in ((1, ""), (3, "its metadata promise 3 planes, 1 is there")):
        path.write_bytes(head + STACK[0].tobytes() + directory + struct.pack("<II", 3_453_623, images))
        assert read_header(path).pages == 1 if not reason else refused(path) == reason
    path.write_bytes(path.read_bytes()[:end])
    assert refused(path).startswith("truncated: Micro-Manager's list of its images")


# OME-XML

FILE = (
    '<TiffData FirstT="{t}" FirstC="{c}" FirstZ="{z}" IFD="0" PlaneCount="1">'
    '<UUID FileName="{name}">{uuid}</UUID></TiffData>'
)


def ome(images: str, root: str = "") -> str:
    schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    return f'<?xml version="1.0"?><OME xmlns="{schema}" {root}>{images}</OME>'


def pixels(t: int, c: int, z: int, data: str, name: str = "one", size: tuple[int, int] = (64, 48)) -> str:
    channels = "".join(f'<Channel ID="Channel:0:{number}" Name="stain {number}"/>' for number in range(c))
    return (
        f'<Image Name="{name}"><Pixels DimensionOrder="XYZCT" Type="uint16" '
        f'SizeX="{size[1]}" SizeY="{size[0]}" SizeT="{t}" SizeC="{c}" SizeZ="{z}">'
        f"{channels}{data}</Pixels></Image>"
    )


def write(path: Path, planes: np.ndarray, text: str) -> None:
    tifffile.imwrite(path, planes, description=text.encode(), metadata=None, photometric="minisblack")


def write_set(folder: Path, axis: str, count: int, pattern: str = "p{}.tif") -> list[Path]:
    """Files of one plane each, each of which describes all."""
    places = [{"t": 0, "c": 0, "z": 0} | {axis: index} for index in range(count)]
    names = [pattern.format(index) for index in range(count)]
    data = "".join(
        FILE.format(**place, name=name, uuid="") for place, name in zip(places, names, strict=True)
    )
    sizes = {"t": 1, "c": 1, "z": 1} | {axis: count}
    for index, name in enumerate(names):
        write(folder / name, STACK[index], ome(pixels(sizes["t"], sizes["c"], sizes["z"], data)))
    return [folder / name for name in names]


def test_a_missing_named_file_makes_the_set_unusable(tmp_path: Path) -> None:
    first, second = write_set(tmp_path, "z", 2)
    second.unlink()
    assert refused(first) == "its metadata promise 2 planes, 1 is there: p1.tif not beside it"


@pytest.mark.parametrize("axis", ["c", "z"])
def test_parts_of_one_image_are_not_separate_images(tmp_path: Path, axis: str) -> None:
    write_set(tmp_path, axis, 3)
    said = reasons(open_plate(tmp_path))
    assert len(said) == 3
    assert said["p0.tif"].startswith("1 of the 3 planes of one image, the others are in p1.tif, p2.tif")


def test_time_points_in_separate_files_are_images(tmp_path: Path) -> None:
    write_set(tmp_path, "t", 3)
    assert reasons(open_plate(tmp_path)) == {}


def test_a_set_of_files_with_plane_names_is_a_plate(tmp_path: Path) -> None:
    pattern = r"(?P<well>[A-H]\d\d)_z(?P<z>\d)\.tif"
    paths = write_set(tmp_path, "z", 3, "A01_z{}.tif")
    plate = open_plate(tmp_path, pattern=pattern)
    assert reasons(plate) == {}
    assert read_field(plate.root, plate.fields[0], plate.channels)[0].max() == STACK[:3].max()
    paths[1].unlink()
    said = reasons(open_plate(tmp_path, pattern=pattern))
    assert set(said.values()) == {"its metadata promise 3 planes, 2 are there: A01_z1.tif not beside it"}


def test_a_missing_channel_file_is_detected(tmp_path: Path) -> None:
    paths = write_set(tmp_path, "c", 2, "A01_c{}.tif")
    paths[1].unlink()
    assert "promise 2 planes, 1 is there: A01_c1.tif" in reasons(open_plate(paths[0]))["A01_c0.tif"]
    plate = open_plate(tmp_path, pattern=r"(?P<well>[A-H]\d\d)_c(?P<channel>\d)\.tif")
    assert reasons(plate) == {}  # its own channel is whole


def test_micro_manager_uses_the_files_own_position(tmp_path: Path) -> None:
    names = [f"exp_MMStack_Pos{number}.ome.tif" for number in range(2)]
    data = "".join(
        pixels(
            1,
            2,
            1,
            "".join(
                f'<TiffData FirstC="{c}" IFD="{c}" PlaneCount="1"><UUID FileName="{name}">u</UUID></TiffData>'
                for c in range(2)
            ),
            name,
        )
        for name in names
    )
    for number, name in enumerate(names):
        write(tmp_path / name, STACK[2 * number : 2 * number + 2], ome(data))
    plate = open_plate(tmp_path)
    assert reasons(plate) == {}
    assert [channel.name for channel in plate.channels] == ["stain 0", "stain 1"]
    np.testing.assert_array_equal(read_field(plate.root, plate.fields[1], plate.channels), STACK[2:4])
    (tmp_path / names[1]).unlink()
    assert reasons(open_plate(tmp_path)) == {}  # one position is whole without the others


def test_renamed_files_are_recognised(tmp_path: Path) -> None:
    data = FILE.format(t=0, c=0, z=0, name="old.tif", uuid="urn:uuid:1")
    write(tmp_path / "new.tif", STACK[0], ome(pixels(1, 1, 1, data)))
    assert read_header(tmp_path / "new.tif").pages == 1
    both = data + FILE.format(t=1, c=0, z=0, name="other.tif", uuid="urn:uuid:2")
    write(tmp_path / "new.tif", STACK[0], ome(pixels(2, 1, 1, both), 'UUID="urn:uuid:1"'))
    write(tmp_path / "other.tif", STACK[1], ome(pixels(2, 1, 1, both), 'UUID="urn:uuid:2"'))
    assert read_header(tmp_path / "new.tif").pages == 1
    write(tmp_path / "new.tif", STACK[0], ome(pixels(2, 1, 1, both)))
    assert refused(tmp_path / "new.tif").startswith("its OME-XML describes other files (old.tif, other.tif)")


def test_companion_metadata_must_exist_and_the_name_identifies_the_plane(tmp_path: Path) -> None:
    path = tmp_path / "A01_z0.ome.tif"
    text = ome('<BinaryOnly MetadataFile="a.companion.ome" UUID="urn:uuid:1"/>')
    write(path, STACK[0], text)
    assert (
        refused(path) == "its metadata are in 'a.companion.ome', which is not beside it: copy the whole set"
    )
    (tmp_path / "a.companion.ome").touch()
    assert reasons(open_plate(tmp_path, pattern=r"(?P<well>[A-H]\d\d)_z(?P<z>\d)\.ome\.tif")) == {}
    assert reasons(open_plate(path))[path.name].startswith(
        "its metadata are in a.companion.ome, which is not read"
    )
    write(path, STACK, text)
    assert refused(path).startswith("10 pages that are described only in a.companion.ome")


def test_unrecorded_rgb_and_malformed_xml(tmp_path: Path) -> None:
    rgb = np.zeros((64, 48, 3), np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", description=ome(pixels(1, 3, 1, "")), metadata=None)
    assert read_header(path).samples == 3
    tifffile.imwrite(path, rgb, photometric="rgb", description=ome(pixels(1, 3, 1, ""))[:-9], metadata=None)
    assert read_header(path).samples == 3
    write(path, STACK[0], ome(pixels(1, 1, 9, ""))[:-9])
    assert refused(path) == "its metadata promise 9 planes, 1 is there"


@pytest.mark.parametrize(
    ("described", "reason"),
    [
        (pixels(1, 1, 9, ""), "its metadata promise 9 planes, 4 are there"),
        (pixels(1, 1, 3, ""), "its metadata promise 3 planes, 4 are there"),
        (pixels(2, 3, 1, ""), "its metadata promise 6 planes, 4 are there"),
        (pixels(1, 1, 4, '<TiffData IFD="2" PlaneCount="4"/>'), "its metadata promise 4 planes, 2 are there"),
        (pixels(1, 1, 4, "", size=(128, 96)), "its OME-XML promises 128 × 96 px, its pages have 64 × 48"),
    ],
)
def test_ome_xml_is_checked_against_the_pages(tmp_path: Path, described: str, reason: str) -> None:
    write(tmp_path / "a.tif", STACK[:4], ome(described))
    assert refused(tmp_path / "a.tif").startswith(reason)
