"""Pages of a TIFF are planes or levels if the file says so; otherwise it is rejected."""

import numpy as np
import pytest
import tifffile

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.plate import FileStatus
from nucbatch.core.tiles import Box
from nucbatch.readers.find import open_plate
from nucbatch.readers.formats import open_plane, open_source, whole
from nucbatch.readers.formats.headers import read_header
from nucbatch.readers.formats.levels import level_for_diameter, level_for_pixel_size
from nucbatch.readers.pixels import FieldReader, field_channels, read_field, read_image

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 900, (2, 3, 4, 40, 60)).astype(np.uint16)  # T, C, Z, Y, X
SLIDE = RNG.integers(0, 256, (160, 240, 3)).astype(np.uint8)
APERIO = (
    "Aperio Image Library v12.0.15\r\n240x160 [0,0 240x160] (16x16) JPEG/RGB Q=70|AppMag = 20|MPP = 0.4990"
)


def write_svs(path, base=SLIDE):
    """Levels as pages, the thumbnail between them, label and macro behind, as Aperio's scanners do."""
    tiles = {"photometric": "rgb", "tile": (16, 16), "metadata": None, "compression": "deflate"}
    strips = {"photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        writer.write(base, description=APERIO, **tiles)
        writer.write(base[::3, ::3], description=APERIO, **strips)
        writer.write(base[::4, ::4], description=APERIO, **tiles)
        writer.write(np.zeros((30, 30, 3), np.uint8), description="Aperio label", subfiletype=1, **strips)
        writer.write(np.zeros((20, 70, 3), np.uint8), description="Aperio macro", subfiletype=9, **strips)


def write_pyramid(path, planes, **options):
    """OME-TIFF with two lower levels in SubIFDs of each page."""
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(planes, subifds=2, tile=(16, 16), compression="zstd", **options)
        options.pop("metadata", None)
        for step in (2, 4):
            lower = planes[..., ::step, ::step] if planes.shape[-1] != 3 else planes[..., ::step, ::step, :]
            writer.write(lower, subfiletype=1, tile=(16, 16), compression="zstd", metadata=None, **options)


def refused(path) -> str:
    with pytest.raises(UnreadableImage) as caught:
        read_header(path)
    return str(caught.value)


def test_a_slide_is_its_full_resolution(tmp_path):
    write_svs(tmp_path / "a.svs")
    info = read_header(tmp_path / "a.svs")
    assert (info.height_px, info.width_px, info.samples, info.pages) == (160, 240, 3, 1)
    assert info.pixel_size_um == 0.499
    np.testing.assert_array_equal(read_image(tmp_path / "a.svs"), SLIDE)
    with open_source(tmp_path / "a.svs") as source:
        assert [(level.height_px, level.width_px) for level in source.levels()] == [(160, 240), (40, 60)]
        assert [level.downsample for level in source.levels()] == [1, 4]
        window = source.plane(0, 1)
        np.testing.assert_array_equal(window.read(Box(0, 0, 16, 17)), SLIDE[::4, ::4][:16, :17])
        assert window.cost.pieces == 2


def test_slides_are_a_folder_of_images(tmp_path):
    write_svs(tmp_path / "a.svs")
    write_svs(tmp_path / "b.svs", SLIDE[::-1])
    plate = open_plate(tmp_path)
    assert [(field.name, field.pixel_size_um, field.problem) for field in plate.fields] == [
        ("a", 0.499, ""),
        ("b", 0.499, ""),
    ]
    assert [record.status for record in plate.files] == [FileStatus.USED] * 2
    array = read_field(plate.root, plate.fields[1], field_channels(plate, plate.fields[1]))
    np.testing.assert_array_equal(array, np.moveaxis(SLIDE[::-1], -1, 0))
    assert open_plate(tmp_path / "a.svs").layout == "single"


def test_levels_in_subifds_belong_to_their_page(tmp_path):
    planes = STACK[0, :, 0]
    write_pyramid(tmp_path / "a.ome.tif", planes, metadata={"axes": "CYX", "PhysicalSizeX": 0.25})
    assert read_header(tmp_path / "a.ome.tif").stack.channels == ("C1", "C2", "C3")
    with open_source(tmp_path / "a.ome.tif") as source:
        assert [level.pixel_size_um for level in source.levels(1)] == [0.25, 0.5, 1.0]
        lower = source.plane(2, 1)
        np.testing.assert_array_equal(lower.read(whole(lower)), planes[2, ::2, ::2])


def test_smaller_pages_are_levels(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for step in (1, 2, 4):
            writer.write(
                STACK[0, 0, 0, ::step, ::step], metadata=None, resolution=(20000, 20000), resolutionunit=3
            )
    info = read_header(tmp_path / "a.tif")
    assert (info.pages, info.pixel_size_um) == (1, 0.5)
    with open_plane(tmp_path / "a.tif", level=2) as window:
        np.testing.assert_array_equal(window.read(whole(window)), STACK[0, 0, 0, ::4, ::4])


def stored(axes: str) -> np.ndarray:
    """STACK in the order of the axes; of those left out the first."""
    kept = STACK[tuple(slice(None) if axis in axes else 0 for axis in "TCZYX")]
    return kept.transpose(["".join(axis for axis in "TCZYX" if axis in axes).index(axis) for axis in axes])


@pytest.mark.parametrize(
    ("kind", "axes"),
    [
        *[("ome", axes) for axes in ("TCZYX", "ZCTYX", "CTYX", "ZYX")],
        *[("tifffile", axes) for axes in ("TCZYX", "ZTCYX", "CYX")],
        *[("imagej", axes) for axes in ("TZCYX", "ZCYX", "TYX", "ZYX")],
    ],
)
def test_axes_become_channels_projections_and_fields(tmp_path, kind, axes):
    options = {"imagej": True} if kind == "imagej" else {"ome": kind == "ome"}
    tifffile.imwrite(
        tmp_path / "a.tif", stored(axes), photometric="minisblack", metadata={"axes": axes}, **options
    )
    plate = open_plate(tmp_path)
    moments = STACK if "T" in axes else STACK[:1]
    channels = ["C1", "C2", "C3"] if "C" in axes else ["Grey"]
    assert [channel.name for channel in plate.channels] == channels
    assert [field.t for field in plate.fields] == list(range(len(moments)))
    assert [(record.path, record.status) for record in plate.files] == [("a.tif", FileStatus.USED)]
    for field, moment in zip(plate.fields, moments, strict=True):
        wanted = moment[: len(channels), : 4 if "Z" in axes else 1].max(axis=1)
        np.testing.assert_array_equal(read_field(plate.root, field, plate.channels), wanted)
        part = FieldReader(plate.root).read_box(field, plate.channels, Box(3, 5, 20, 50))
        np.testing.assert_array_equal(part, wanted[:, 3:20, 5:50])


def test_channel_names_come_from_the_file(tmp_path):
    described = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP", "Cy5"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK[0, :, 0], photometric="minisblack", metadata=described)
    plate = open_plate(tmp_path)
    assert [channel.name for channel in plate.channels] == ["DAPI", "GFP", "Cy5"]
    array = read_field(plate.root, plate.fields[0], (plate.channel("Cy5"),))
    np.testing.assert_array_equal(array[0], STACK[0, 2, 0])


def test_time_points_in_a_file_are_separate_fields(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK[:, 0, 0], photometric="minisblack", metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "a_t1.tif", STACK[0, 0, 0])
    plate = open_plate(tmp_path)
    assert [(field.name, field.t) for field in plate.fields] == [("a_t0", 0), ("a_t1-2", 1), ("a_t1", 0)]
    assert [(record.t, record.group) for record in plate.files] == [(None, "a_t0"), (0, "a_t1")]


PLATE = r"(?P<well>[A-H]\d\d)(?:_(?P<channel>\w))?(?:_t(?P<t>\d))?\.tif"


def reasons(plate) -> dict[str, str]:
    return {record.path: record.reason for record in plate.files if record.reason}


def test_a_plate_of_stacks_has_timed_groups_and_no_gaps(tmp_path):
    described = {"axes": "TCYX"}
    for well in ("A01", "A02"):
        tifffile.imwrite(
            tmp_path / f"{well}.tif", STACK[:, :, 0], photometric="minisblack", metadata=described
        )
    plate = open_plate(tmp_path, pattern=PLATE)
    assert [field.group for field in plate.fields] == ["A/1/1t0", "A/1/1t1", "A/2/1t0", "A/2/1t1"]
    assert [channel.name for channel in plate.channels] == ["C1", "C2", "C3"]
    tifffile.imwrite(tmp_path / "A02.tif", STACK[:, :2, 0], photometric="minisblack", metadata=described)
    plate = open_plate(tmp_path, pattern=PLATE)
    assert [(field.problem, dict(field.lacking)) for field in plate.fields] == [
        ("", {}),
        ("", {}),
        ("", {"C3": "it has no channel C3"}),
        ("", {"C3": "it has no channel C3"}),
    ]
    assert reasons(plate) == {}


def test_a_stack_is_rejected_if_its_name_identifies_one_plane(tmp_path):
    tifffile.imwrite(
        tmp_path / "A01_a.tif", STACK[0, :, 0], photometric="minisblack", metadata={"axes": "CYX"}
    )
    assert reasons(open_plate(tmp_path, pattern=PLATE)) == {
        "A01_a.tif": "3 channels in one file whose name identifies one: split it into single planes"
    }
    for number in (1, 2):
        tifffile.imwrite(
            tmp_path / f"B01_a_t{number}.tif",
            STACK[:, 0, 0],
            photometric="minisblack",
            metadata={"axes": "TYX"},
        )
    said = reasons(open_plate(tmp_path, pattern=PLATE))
    assert said["B01_a_t1.tif"].startswith("2 time points in one file, but names identify time points")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"metadata": None}, "3 pages instead of one plane, and the file does not say whether"),
        ({"metadata": {"axes": "QYX"}}, "3 pages instead of one plane"),
    ],
)
def test_pages_without_recorded_roles_are_rejected(tmp_path, options, reason):
    tifffile.imwrite(tmp_path / "a.tif", STACK[0, :, 0], photometric="minisblack", **options)
    assert refused(tmp_path / "a.tif").startswith(reason)


def test_further_images_and_incomplete_sets_are_rejected(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        writer.write(STACK[0, 0, 0], metadata={"Name": "one"})
        writer.write(STACK[0, 0, 0], metadata={"Name": "two"})
    assert refused(tmp_path / "a.ome.tif").startswith("2 images in one file: split it, one image per file")
    tifffile.imwrite(tmp_path / "b.ome.tif", STACK[0, 0], photometric="minisblack", metadata={"axes": "ZYX"})
    content = (tmp_path / "b.ome.tif").read_bytes()
    (tmp_path / "b.ome.tif").write_bytes(content.replace(b'SizeZ="4"', b'SizeZ="9"'))
    assert refused(tmp_path / "b.ome.tif") == "its metadata promise 9 planes, 4 are there"


def test_an_rgb_stack_is_rejected(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.stack([SLIDE, SLIDE]), photometric="rgb", metadata={"axes": "ZYXS"}
    )
    assert refused(tmp_path / "a.tif").startswith("2 RGB pages of one time point")


def test_a_truncated_stack_is_detected(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK[0, 0], imagej=True, metadata={"axes": "ZYX"})
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:-100])
    assert refused(tmp_path / "a.tif").startswith(("truncated", "page 4: truncated", "damaged"))


def test_levels_are_chosen_by_pixel_size_or_diameter(tmp_path):
    write_pyramid(tmp_path / "a.ome.tif", STACK[0, :1, 0], metadata={"axes": "CYX", "PhysicalSizeX": 0.25})
    with open_source(tmp_path / "a.ome.tif") as source:
        levels = source.levels()
    chosen = {
        um: level_for_pixel_size(levels, um).index for um in (0.1, 0.25, 0.37, 0.38, 0.5, 0.74, 0.76, 9)
    }
    assert chosen == {0.1: 0, 0.25: 0, 0.37: 0, 0.38: 1, 0.5: 1, 0.74: 1, 0.76: 2, 9: 2}
    assert level_for_diameter(levels, 80, 20).index == 2
    assert level_for_diameter(levels, 20, 20).index == 0
