"""Planes are read exactly as planned, or rejected."""

from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
import tifffile

from nucbatch.core.errors import MemoryRefused, UnreadableImage
from nucbatch.core.plate import Channel, Field, Plane, Plate
from nucbatch.core.tiles import Box
from nucbatch.readers.pixels import FieldReader, field_channels, probe, read_field, read_image

A, B = Channel("a", 0), Channel("b", 1)
RED, GREEN, BLUE = Channel("Red", 0), Channel("Green", 1), Channel("Blue", 2)


def field(*planes: Plane, dtype: str = "uint16", shape: tuple[int, int] = (4, 6), problem: str = "") -> Field:
    return Field("B03", 1, 0, "B/3/1", "p_B03_s1", planes, *shape, dtype, problem=problem)


def plane_of(value: int, dtype: str = "uint16") -> np.ndarray:
    return np.arange(24, dtype=dtype).reshape(4, 6) + np.dtype(dtype).type(value)


def test_channels_are_in_the_requested_order(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", plane_of(0))
    tifffile.imwrite(tmp_path / "b.tif", plane_of(100))
    both = field(Plane("a.tif", "a"), Plane("b.tif", "b"))
    array = read_field(tmp_path, both, (B, A))
    assert array.dtype == np.uint16
    np.testing.assert_array_equal(array, np.stack([plane_of(100), plane_of(0)]))
    assert read_field(tmp_path, both, (B,)).shape == (1, 4, 6)


def test_only_requested_channels_are_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", plane_of(0))
    array = read_field(tmp_path, field(Plane("a.tif", "a"), Plane("gone.tif", "b")), (A,))
    np.testing.assert_array_equal(array[0], plane_of(0))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_z_planes_are_projected_by_maximum(tmp_path, dtype):
    stack = np.random.default_rng(0).integers(0, 90, (3, 4, 6)).astype(dtype)
    stack -= np.dtype(dtype).type(0 if dtype == "uint8" else 95)
    for z, plane in enumerate(stack):
        tifffile.imwrite(tmp_path / f"{z}.tif", plane)
    planes = [Plane(f"{z}.tif", "a", z) for z in range(3)]
    np.testing.assert_array_equal(
        read_field(tmp_path, field(*planes, dtype=dtype), (A,))[0], stack.max(axis=0)
    )


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_rgb_planes_are_three_channels(tmp_path, planar):
    rgb = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    stored = rgb if planar == "contig" else np.moveaxis(rgb, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar)
    coloured = field(Plane("a.tif", "RGB", samples=3), dtype="uint8")
    array = read_field(tmp_path, coloured, (RED, GREEN, BLUE))
    np.testing.assert_array_equal(array, np.moveaxis(rgb, -1, 0))
    np.testing.assert_array_equal(read_field(tmp_path, coloured, (BLUE,))[0], rgb[..., 2])


def test_channels_of_a_field_follow_its_planes():
    grey = Channel("Grey", 0)
    coloured = tuple(Channel(name, index) for index, name in enumerate(("Red", "Green", "Blue"), start=1))
    fields = (field(Plane("a", "Grey")), field(Plane("b", "RGB", samples=3)))
    plate = Plate("p", "/", "folder", (grey, *coloured), fields, (), is_plate=False)
    assert field_channels(plate, fields[0]) == (grey,)
    assert field_channels(plate, fields[1]) == coloured


def test_a_missing_channel_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", plane_of(0))
    with pytest.raises(UnreadableImage, match="p_B03_s1: it has no channel b"):
        read_field(tmp_path, field(Plane("a.tif", "a")), (A, B))


@pytest.mark.parametrize("other", [np.zeros((4, 5), np.uint16), np.zeros((4, 6), np.uint8)])
def test_a_file_that_differs_from_the_plan_is_rejected(tmp_path, other):
    tifffile.imwrite(tmp_path / "a.tif", other)
    with pytest.raises(UnreadableImage, match=r"^a\.tif: .*the file has changed since"):
        read_field(tmp_path, field(Plane("a.tif", "a")), (A,))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_rejected(tmp_path, bad):
    pixels = plane_of(0, "float32")
    pixels[1, 2] = bad
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    with pytest.raises(UnreadableImage, match=r"a\.tif: holds NaN or infinity"):
        read_field(tmp_path, field(Plane("a.tif", "a"), dtype="float32"), (A,))


def test_missing_and_damaged_files_are_unreadable(tmp_path):
    with pytest.raises(UnreadableImage, match=r"^a\.tif: can't be opened"):
        read_field(tmp_path, field(Plane("a.tif", "a")), (A,))
    tifffile.imwrite(tmp_path / "a.tif", plane_of(0), compression="deflate")
    whole = bytearray((tmp_path / "a.tif").read_bytes())
    whole[-12:] = b"\0" * 12
    (tmp_path / "a.tif").write_bytes(bytes(whole))
    with pytest.raises(UnreadableImage, match=r"^a\.tif: can't be decoded"):
        read_field(tmp_path, field(Plane("a.tif", "a")), (A,))


def test_white_is_zero_is_inverted(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", plane_of(0), photometric="miniswhite")
    array = read_field(tmp_path, field(Plane("a.tif", "a")), (A,))
    np.testing.assert_array_equal(array[0], 65535 - plane_of(0))


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_missing_rows_are_in_the_coverage(tmp_path, photometric):
    stored = np.random.default_rng(0).integers(100, 200, (100, 80), np.uint16)
    stored[60:] = 0
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric)
    one = replace(field(Plane("a.tif", "a")), height_px=100, width_px=80)
    (coverage,) = FieldReader(tmp_path).read(one, (A,), Box(0, 0, 100, 80)).coverage
    assert coverage.absent == 0.4
    parts = [
        FieldReader(tmp_path).read(
            one, (A,), Box(max(y - 1, 0), 0, y + 50, 80), counted=Box(y, 0, y + 50, 80)
        )
        for y in (0, 50)
    ]
    assert (parts[0].coverage[0] + parts[1].coverage[0]).to_values()[:4] == coverage.to_values()[:4]


def test_big_endian_pixels_are_converted_to_native_order(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", plane_of(0), byteorder=">")
    array = read_field(tmp_path, field(Plane("a.tif", "a")), (A,))
    assert array.dtype.isnative
    np.testing.assert_array_equal(array[0], plane_of(0))


@pytest.mark.parametrize(
    ("pixels", "shape"),
    [
        (np.arange(24, dtype=np.uint8).reshape(4, 6), (4, 6)),
        (np.arange(72, dtype=np.uint8).reshape(4, 6, 3), (4, 6, 3)),
        (np.arange(96, dtype=np.uint8).reshape(4, 6, 4), (4, 6, 3)),
        (np.arange(48, dtype=np.uint8).reshape(4, 6, 2), (4, 6)),
        (np.arange(24, dtype=np.uint16).reshape(4, 6) * 1000, (4, 6)),
    ],
)
def test_single_pngs(tmp_path, pixels, shape):
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    image = read_image(tmp_path / "a.png")
    assert image.shape == shape
    assert image.dtype == pixels.dtype
    np.testing.assert_array_equal(
        image, pixels[..., : shape[2]] if len(shape) == 3 else pixels.reshape(4, 6, -1)[..., 0]
    )


def test_probe_and_read_image_name_the_path(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    for function in (probe, read_image):
        with pytest.raises(UnreadableImage, match=r"a\.png: empty file"):
            function(tmp_path / "a.png")


def test_an_image_larger_than_memory_is_rejected(tmp_path):
    promised = field(Plane("a.tif", "a"), shape=(2**31, 2**31))
    with pytest.raises(
        MemoryRefused, match=r"1 × 2147483648 × 2147483648 pixels of uint16 need 8,589,934,592"
    ):
        read_field(tmp_path, promised, (A,))
