"""Tiles and strips that a TIFF marks as never written are background, and counted."""

import csv

import numpy as np
import pytest
import tifffile

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.tiles import Box
from nucbatch.readers.find import open_plate
from nucbatch.readers.formats import open_plane, whole
from nucbatch.readers.formats.converted_copy import convert_once
from nucbatch.readers.formats.headers import read_header
from nucbatch.readers.layouts.single import SingleImageReader
from nucbatch.readers.pixels import FieldReader
from nucbatch.readers.plate_summary import summarise
from nucbatch.store.sheets import write_files_csv

RNG = np.random.default_rng(0)
GREY = RNG.integers(1, 4000, (64, 64)).astype(np.uint16)
RGB = RNG.integers(1, 200, (64, 64, 3)).astype(np.uint8)
TILED = {"tile": (16, 16)}


def forget(path, absent, page=0, offset=0):
    """Marks tiles or strips as never written."""
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tags = tiff.pages[page].tags
        for names, value in (
            (("TileOffsets", "StripOffsets"), offset),
            (("TileByteCounts", "StripByteCounts"), 0),
        ):
            tag = next(tags[name] for name in names if name in tags)
            values = list(np.atleast_1d(tag.value))
            tag.overwrite([value if number in absent else int(old) for number, old in enumerate(values)])
    return path


def tiles_black(pixels, absent, value=0):
    expected = pixels.copy()
    for number in absent:
        row, column = divmod(number, 4)
        expected[row * 16 : (row + 1) * 16, column * 16 : (column + 1) * 16] = value
    return expected


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "predictor": True}, {"byteorder": ">"}])
@pytest.mark.parametrize("absent", [{0}, {3, 5}, set(range(16))])
def test_tiles_never_written_are_black_and_counted(tmp_path, options, absent):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, **TILED, **options)
    forget(path, absent)
    info = read_header(path)
    assert (info.absent_chunks, info.chunks) == (len(absent), 16)
    with open_plane(path) as plane:
        np.testing.assert_array_equal(plane.read(whole(plane)), tiles_black(GREY, absent))
        assert plane.cost.missing == len(absent)
        assert plane.cost.pieces == 16 - len(absent)
        box = Box(10, 20, 40, 64)
        np.testing.assert_array_equal(plane.read(box), tiles_black(GREY, absent)[box.slices])


def test_whole_files_count_no_tiles(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, **TILED)
    assert read_header(tmp_path / "a.tif").chunks == 0


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}])
@pytest.mark.parametrize("rows", [16, 64])
def test_strips_never_written_are_black(tmp_path, options, rows):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, rowsperstrip=rows, **options)
    with tifffile.TiffFile(path) as tiff:
        strips = len(tiff.pages[0].tags["StripOffsets"].value)
    forget(path, {strips - 1})
    assert read_header(path).absent_chunks == 1
    expected = GREY.copy()
    expected[64 - rows :] = 0
    with open_plane(path) as plane:
        np.testing.assert_array_equal(plane.read(whole(plane)), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "rgb", "compression": "zlib"},
        {"photometric": "rgb", "planarconfig": "separate", "compression": "zlib"},
        {"photometric": "ycbcr"},
    ],
)
def test_tiles_never_written_in_colour_are_white_as_bare_glass_is(tmp_path, options):
    path = tmp_path / "a.tif"
    separate = options.get("planarconfig") == "separate"
    tifffile.imwrite(path, RGB.transpose(2, 0, 1) if separate else RGB, **TILED, **options)
    forget(path, {0, 16, 32} if separate else {0})
    with open_plane(path) as plane:
        pixels = plane.read(whole(plane))
        assert (pixels[:16, :16] == 255).all()
        assert (pixels[16:] != 255).any()


def test_where_white_is_zero_background_is_still_dark(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, **TILED, photometric="miniswhite", compression="zlib")
    forget(path, {0})
    with open_plane(path) as plane:
        pixels = plane.read(whole(plane))
        assert (pixels[:16, :16] == 0).all()
        np.testing.assert_array_equal(pixels[16:], 65535 - GREY[16:])


def test_a_strip_too_large_to_decode_is_streamed_as_background(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, rowsperstrip=32, compression="zlib")
    forget(path, {0})
    monkeypatch.setattr("nucbatch.readers.formats.plane_reader.LARGEST_PIECE_BYTES", 1)
    copy = convert_once(path, tmp_path / "copies", lambda *_: None)
    expected = GREY.copy()
    expected[:32] = 0
    np.testing.assert_array_equal(tifffile.imread(copy), expected)


def test_a_tile_without_bytes_at_an_offset_is_damage(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, **TILED, compression="zlib")
    forget(path, {3}, offset=500)
    with pytest.raises(UnreadableImage, match="incomplete: strip or tile 4 of 16 has no bytes"):
        read_header(path)
    with open_plane(path) as plane, pytest.raises(UnreadableImage, match="strip or tile 4 has no bytes"):
        plane.read(whole(plane))


def test_a_truncated_file_with_tiles_never_written_is_still_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, **TILED)
    forget(path, {3})
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tag = tiff.pages[0].tags["TileByteCounts"]
        tag.overwrite([count // 2 for count in tag.value])
    with pytest.raises(UnreadableImage, match="truncated: 3,840 bytes of pixels of 7,680"):
        read_header(path)


def test_inspect_and_files_csv_say_how_many(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", GREY, **TILED)
    tifffile.imwrite(folder / "b.tif", GREY, **TILED)
    forget(folder / "b.tif", {3, 5})
    plate = open_plate(folder)
    assert summarise(plate).incomplete_images == (("b.tif", "2 of 16 chunks or tiles absent"),)
    write_files_csv(tmp_path / "files.csv", plate, {})
    with (tmp_path / "files.csv").open(newline="") as file:
        reasons = {row["path"]: (row["status"], row["reason"]) for row in csv.DictReader(file)}
    assert reasons == {"a.tif": ("used", ""), "b.tif": ("used", "2 of 16 chunks or tiles absent")}


def test_the_part_never_written_is_known_to_the_quality_flags(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, **TILED)
    forget(path, {0, 1, 2, 3})
    plate = open_plate(path)
    (field,) = plate.fields
    assert plate.layout == SingleImageReader.name
    (coverage,) = FieldReader.of(plate).read(field, plate.channels, Box(0, 0, 64, 64)).coverage
    assert coverage.absent == 0.25


@pytest.mark.parametrize("pixels", [GREY, RGB])
def test_the_part_never_written_does_not_depend_on_how_a_plane_is_cut(tmp_path, pixels):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, **TILED)
    forget(path, {1, 6, 15})
    plate = open_plate(path)
    (field,) = plate.fields
    image = Box(0, 0, 64, 64)
    cores = [Box(top, left, top + 24, left + 40).clipped(image) for top in (0, 24, 48) for left in (0, 40)]
    parts = []
    for core in cores:
        window = Box(max(0, core.y0 - 5), max(0, core.x0 - 5), core.y1 + 5, core.x1 + 5).clipped(image)
        parts += FieldReader.of(plate).read(field, plate.channels, window, counted=core).coverage
    assert sum(parts[1:], parts[0]).absent == 3 / 16
    assert FieldReader.of(plate).read(field, plate.channels, image).coverage[0].absent == 3 / 16


def test_pages_of_a_stack_are_counted_together(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.stack([GREY, GREY]), metadata={"axes": "ZYX"}, **TILED)
    forget(path, {1}, page=0)
    forget(path, {2, 3}, page=1)
    info = read_header(path)
    assert (info.absent_chunks, info.chunks) == (3, 32)
