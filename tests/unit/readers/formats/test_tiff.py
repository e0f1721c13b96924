"""Boxes of a TIFF equal the whole image there, and read only overlapping tiles or strips."""

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.core.tiles import Box
from nucbatch.readers.formats import open_plane, open_source, reads_by_box, whole

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 4000, (150, 203)).astype(np.uint16)
RGB = RNG.integers(0, 256, (150, 203, 3)).astype(np.uint8)

# tiles of 32 × 48: rows 0-4, columns 0-4; the box touches tile rows 1-2 and columns 0-2
TILED = {"tile": (32, 48)}
BOX = Box(40, 10, 90, 100)

KINDS = {
    "tiles": (GREY, TILED),
    "tiles, BigTIFF, LZW": (GREY, {**TILED, "bigtiff": True, "compression": "lzw", "predictor": True}),
    "tiles, deflate": (GREY, {**TILED, "compression": "deflate", "predictor": True}),
    "tiles, zstd": (GREY, {**TILED, "compression": "zstd"}),
    "tiles, big-endian": (GREY, {**TILED, "byteorder": ">", "compression": "deflate", "predictor": True}),
    "tiles, lossless JPEG 2000": (GREY, {**TILED, "compression": "jpeg2000"}),
    "tiles, float": (GREY.astype(np.float32), {**TILED, "compression": "zstd", "predictor": True}),
    "tiles, RGB": (RGB, {**TILED, "photometric": "rgb", "compression": "deflate"}),
    "tiles, RGB, JPEG 2000": (RGB, {**TILED, "photometric": "rgb", "compression": "jpeg2000"}),
}


CUTTINGS = [
    {"tile": (16, 16)},
    {"tile": (64, 32), "compression": "zstd"},
    {"rowsperstrip": 11},
    {"rowsperstrip": 13, "compression": "lzw"},
]


def write(path, pixels, **options):
    tifffile.imwrite(path, pixels, **options)
    return path


@pytest.mark.parametrize("kind", list(KINDS))
def test_only_tiles_overlapping_a_box_are_read(tmp_path, kind):
    pixels, options = KINDS[kind]
    path = write(tmp_path / "a.tif", pixels, **options)
    with open_plane(path) as window:
        assert (window.shape, window.dtype) == (pixels.shape, pixels.dtype)
        assert window.cost.pieces == 0
        np.testing.assert_array_equal(window.read(BOX), pixels[BOX.slices])
        assert window.cost.pieces == 2 * 3
        assert window.piece_bytes == 32 * 48 * pixels[0, 0].nbytes
        np.testing.assert_array_equal(window.read(whole(window)), pixels)


def test_jpeg_tiles_with_shared_tables(tmp_path):
    smooth = np.add.outer(np.arange(150), np.arange(203))[..., None] // np.array([2, 3, 4])
    path = write(tmp_path / "a.tif", smooth.astype(np.uint8), **TILED, photometric="rgb", compression="jpeg")
    with open_plane(path) as window:
        assert np.abs(window.read(BOX).astype(int) - smooth[BOX.slices]).max() <= 6
        assert window.cost.pieces == 6


def test_separate_planes_are_combined(tmp_path):
    for name, options in (("t", TILED), ("s", {"rowsperstrip": 16, "compression": "zstd"}), ("u", {})):
        stored = np.moveaxis(RGB, -1, 0)
        path = write(tmp_path / f"{name}.tif", stored, photometric="rgb", planarconfig="separate", **options)
        with open_plane(path) as window:
            np.testing.assert_array_equal(window.read(BOX), RGB[BOX.slices])


@pytest.mark.parametrize("compression", ["zstd", "lzw", "packbits"])
def test_only_strips_overlapping_a_box_are_read(tmp_path, compression):
    path = write(tmp_path / "a.tif", GREY, rowsperstrip=8, compression=compression)
    with open_plane(path) as window:
        np.testing.assert_array_equal(window.read(Box(15, 3, 33, 9)), GREY[15:33, 3:9])
        assert window.cost.pieces == 4  # rows 8-15, 16-23, 24-31, 32-39
        assert window.piece_bytes == 8 * 203 * 2


@pytest.mark.parametrize(
    "options", [{}, {"rowsperstrip": 7}, {"byteorder": ">"}, {"photometric": "miniswhite"}]
)
def test_uncompressed_rows_read_only_the_bytes_of_the_box(tmp_path, options):
    path = write(tmp_path / "a.tif", GREY, **options)
    meant = 65535 - GREY if "photometric" in options else GREY
    with open_plane(path) as window:
        np.testing.assert_array_equal(window.read(BOX), meant[BOX.slices])
        assert window.cost.stored_bytes == 50 * 90 * 2
        assert window.dtype.isnative
        np.testing.assert_array_equal(window.read(whole(window)), meant)


def test_uncompressed_strips_in_any_order(tmp_path):
    path = write(tmp_path / "a.tif", GREY, rowsperstrip=50)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        offsets = tiff.pages[0].tags["StripOffsets"]
        first, second, third = offsets.value
        offsets.overwrite((second, first, third))
    with open_plane(path) as window:
        swapped = np.concatenate([GREY[50:100], GREY[:50], GREY[100:]])
        np.testing.assert_array_equal(window.read(BOX), swapped[BOX.slices])
        assert window.cost.stored_bytes == 50 * 90 * 2


def test_only_damage_inside_the_box_is_an_error(tmp_path):
    path = write(tmp_path / "a.tif", GREY, **TILED, compression="deflate")
    with tifffile.TiffFile(path) as tiff:
        offsets, counts = tiff.pages[0].dataoffsets, tiff.pages[0].databytecounts
    touched = {row * 5 + column for row in (1, 2) for column in (0, 1, 2)}
    whole_file = bytearray(path.read_bytes())
    for index in set(range(25)) - touched:
        whole_file[offsets[index] : offsets[index] + counts[index]] = b"\xff" * counts[index]
    path.write_bytes(bytes(whole_file))
    with open_plane(path) as window:
        np.testing.assert_array_equal(window.read(BOX), GREY[BOX.slices])
        with pytest.raises(UnreadableImage, match=r"a\.tif: can't be decoded"):
            window.read(Box(0, 0, 1, 1))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_box_of_any_tiling(tmp_path, data):
    options = data.draw(st.sampled_from(CUTTINGS))
    path = tmp_path / "a.tif"
    write(path, RGB, photometric="rgb", **options)
    y0, x0 = data.draw(st.integers(0, 149)), data.draw(st.integers(0, 202))
    box = Box(y0, x0, data.draw(st.integers(y0 + 1, 150)), data.draw(st.integers(x0 + 1, 203)))
    with open_plane(path) as window:
        np.testing.assert_array_equal(window.read(box), RGB[box.slices])


@pytest.mark.parametrize("box", [Box(0, 0, 151, 1), Box(5, 5, 5, 9), Box(-1, 0, 3, 3), Box(0, 200, 3, 204)])
def test_a_box_beyond_the_image_is_rejected(tmp_path, box):
    path = write(tmp_path / "a.tif", GREY)
    with open_plane(path) as window, pytest.raises(InputError, match="the image has 150 × 203 px"):
        window.read(box)


def test_pages_of_a_stack_and_missing_pages(tmp_path):
    path = write(tmp_path / "a.tif", np.stack([GREY, GREY + 1]), photometric="minisblack", **TILED)
    with open_source(path) as source:
        np.testing.assert_array_equal(source.plane(1).read(BOX), GREY[BOX.slices] + 1)
        with pytest.raises(InputError, match=r"has no page 2: it has 2, counted from 0"):
            source.plane(2)
        with pytest.raises(InputError, match="has no level 1: it has 1"):
            source.plane(0, 1)


def test_imagej_stacks_behind_one_directory(tmp_path):
    stack = np.stack([GREY + number for number in range(6)]).reshape(3, 2, *GREY.shape)
    path = write(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
    # ImageJ ends the chain of directories after the first when a file exceeds 4 GB
    with tifffile.TiffFile(path) as tiff:
        begin, count = tiff.pages[0].offset, len(tiff.pages[0].tags)
    content = bytearray(path.read_bytes())
    order = "little" if content[:2] == b"II" else "big"
    tags = int.from_bytes(content[begin : begin + 2], order)
    assert tags == count
    content[begin + 2 + 12 * tags : begin + 6 + 12 * tags] = b"\0\0\0\0"
    path.write_bytes(bytes(content))
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == 1
    with open_source(path) as source:
        for page in range(6):
            np.testing.assert_array_equal(source.plane(page).read(BOX), GREY[BOX.slices] + page)


def test_one_compressed_strip_does_not_read_by_box(tmp_path):
    pixels = np.zeros((6000, 6000), np.uint16)
    with open_plane(write(tmp_path / "a.tif", pixels, rowsperstrip=6000, compression="zstd")) as window:
        assert not reads_by_box(window)
    with open_plane(write(tmp_path / "b.tif", pixels, tile=(512, 512), compression="zstd")) as window:
        assert reads_by_box(window)


def test_aperio_ycbcr_is_converted_to_rgb(tmp_path):
    # grey has no colour difference; a strong red has Cr above and Cb below the middle
    ycbcr = np.zeros((32, 48, 3), np.uint8)
    ycbcr[:, :24] = 90, 128, 128
    ycbcr[:, 24:] = 76, 85, 255
    path = write(
        tmp_path / "a.tif",
        ycbcr,
        **TILED,
        photometric="rgb",
        compression="jpeg2000",
        compressionargs={"mct": False},
    )
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["Compression"].overwrite(33003)
    with open_plane(path) as window:
        rgb = window.read(whole(window))
    np.testing.assert_array_equal(rgb[0, 0], [90, 90, 90])
    assert np.abs(rgb[0, -1].astype(int) - [254, 0, 0]).max() <= 1
