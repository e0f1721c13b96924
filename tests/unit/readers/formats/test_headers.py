"""Headers are checked against the file; unsupported files are rejected."""

import struct

import imagecodecs
import numpy as np
import pytest
import tifffile

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.formats.headers import read_header
from nucbatch.readers.pixels import read_image

GREY = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)
RGB = np.zeros((20, 30, 3), np.uint8)


def refused(path) -> str:
    with pytest.raises(UnreadableImage) as caught:
        read_header(path)
    return str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "lzw"},
        {"tile": (16, 16)},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"rowsperstrip": 5},
    ],
)
def test_grey_tiffs(tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", GREY, **options)
    info = read_header(tmp_path / "a.tif")
    assert (info.height_px, info.width_px, info.samples, info.dtype, info.pages) == (64, 48, 1, "uint16", 1)


@pytest.mark.parametrize("options", [{}, {"compression": "deflate"}, {"tile": (16, 16)}, {"rowsperstrip": 5}])
def test_a_tiff_truncated_in_its_pixels_is_rejected(tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", GREY, **options)
    whole = (tmp_path / "a.tif").read_bytes()
    for kept in (len(whole) - 1, len(whole) // 2):
        (tmp_path / "a.tif").write_bytes(whole[:kept])
        assert refused(tmp_path / "a.tif").startswith(("truncated", "damaged header"))


def test_samples_and_alpha(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb")
    tifffile.imwrite(tmp_path / "b.tif", np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate")
    rgba = np.zeros((20, 30, 4), np.uint8)
    tifffile.imwrite(tmp_path / "c.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    assert [read_header(tmp_path / name).samples for name in ("a.tif", "b.tif", "c.tif")] == [3, 3, 3]
    tifffile.imwrite(tmp_path / "d.tif", np.zeros((20, 30, 4), np.uint8), photometric="separated")
    message = refused(tmp_path / "d.tif")
    assert "its colours are CMYK (4 samples per pixel): convert it to grey or RGB" in message


def test_stacks_are_not_planes(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([GREY, GREY]), photometric="minisblack")
    assert refused(tmp_path / "a.tif").startswith("2 pages instead of one plane")


def test_reduced_copies_are_not_planes(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(GREY, photometric="minisblack")
        writer.write(GREY[::2, ::2], photometric="minisblack", subfiletype=1)
    assert read_header(tmp_path / "a.tif").pages == 1


@pytest.mark.parametrize("dtype", ["bool", "uint64", "complex64"])
def test_unsupported_pixel_types_are_rejected(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", GREY.astype(dtype), photometric="minisblack")
    assert f"pixel type {dtype} can't be used" in refused(tmp_path / "a.tif")


def test_only_a_monotonic_palette_is_grey(tmp_path):
    ramp = np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))
    pixels = GREY.astype(np.uint8)
    tifffile.imwrite(tmp_path / "grey.tif", pixels, photometric="palette", colormap=ramp)
    tifffile.imwrite(tmp_path / "false.tif", pixels, photometric="palette", colormap=ramp[:, ::-1])
    assert read_header(tmp_path / "grey.tif").samples == 1
    assert "palette" in refused(tmp_path / "false.tif")


@pytest.mark.parametrize(("shape", "dtype", "samples"), [((9, 7), "uint8", 1), ((9, 7, 3), "uint16", 3)])
def test_pngs_and_their_truncation(tmp_path, shape, dtype, samples):
    data = imagecodecs.png_encode(np.zeros(shape, dtype))
    (tmp_path / "a.png").write_bytes(data)
    info = read_header(tmp_path / "a.png")
    assert (info.height_px, info.width_px, info.samples, info.dtype) == (9, 7, samples, dtype)
    for kept in (len(data) - 1, 40, 20):
        (tmp_path / "a.png").write_bytes(data[:kept])
        assert refused(tmp_path / "a.png").startswith("truncated")


def test_jpegs_and_their_truncation(tmp_path):
    data = imagecodecs.jpeg8_encode(RGB)
    (tmp_path / "a.jpg").write_bytes(data)
    info = read_header(tmp_path / "a.jpg")
    assert (info.height_px, info.width_px, info.samples, info.dtype) == (20, 30, 3, "uint8")
    (tmp_path / "a.jpg").write_bytes(data[:-10])
    assert refused(tmp_path / "a.jpg").startswith("truncated")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"  <!DOCTYPE html><html>", "a web page"),
        (b"\0" * 100, "begins with zeros"),
        (b"hello, world", "none of the formats c01, czi, "),
        (b"II*\0", ""),
        (b"II*\0" + struct.pack("<I", 9999), ""),
        (b"MM\0*" + b"\xff" * 60, ""),
        (b"\xff\xd8\xff\xd9", "damaged header"),
    ],
)
def test_files_that_are_not_images_are_described(tmp_path, content, reason):
    (tmp_path / "a.tif").write_bytes(content)
    assert refused(tmp_path / "a.tif").startswith(reason)


def test_the_format_is_detected_from_content(tmp_path):
    (tmp_path / "a.tif").write_bytes(imagecodecs.png_encode(RGB))
    assert read_header(tmp_path / "a.tif").samples == 3


def test_a_missing_file_is_unreadable(tmp_path):
    assert "No such file" in refused(tmp_path / "none.tif")


def test_pixel_size_is_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, imagej=True, resolution=(2.0, 2.0), metadata={"unit": "um"})
    tifffile.imwrite(
        tmp_path / "b.ome.tif", GREY, metadata={"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm"}
    )
    assert read_header(tmp_path / "a.tif").pixel_size_um == pytest.approx(0.5)
    assert read_header(tmp_path / "b.ome.tif").pixel_size_um == pytest.approx(0.25)


def test_a_header_that_promises_terabytes_is_rejected(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((16, 16), np.uint8), compression="deflate")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tiff:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tiff.pages[0].tags[tag].overwrite(2**21 if tag == "ImageWidth" else 2**20, dtype="I")
    assert refused(tmp_path / "a.tif").startswith("damaged header (promises 2,199,023,255,552 bytes")


def test_an_embedded_preview_does_not_hide_a_truncated_jpeg(tmp_path):
    data = imagecodecs.jpeg8_encode(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    preview = imagecodecs.jpeg8_encode(np.zeros((8, 8), np.uint8))
    whole = data[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(preview)) + preview + data[2:]
    (tmp_path / "a.jpg").write_bytes(whole)
    assert read_header(tmp_path / "a.jpg").height_px == 64
    (tmp_path / "a.jpg").write_bytes(whole[: len(preview) + 900])
    assert refused(tmp_path / "a.jpg").startswith("truncated")


def test_cmyk_jpegs_and_animated_pngs_are_rejected(tmp_path):
    cmyk = imagecodecs.jpeg8_encode(np.zeros((16, 16, 4), np.uint8), colorspace="cmyk", outcolorspace="ycck")
    (tmp_path / "a.jpg").write_bytes(cmyk)
    assert refused(tmp_path / "a.jpg").startswith("a JPEG of 4 components (CMYK or YCCK)")
    png = imagecodecs.png_encode(np.zeros((9, 7), np.uint8))
    animation = struct.pack(">I4sIII", 8, b"acTL", 5, 0, 0)
    (tmp_path / "a.png").write_bytes(png[:33] + animation + png[33:])
    assert refused(tmp_path / "a.png").startswith("an animated PNG of 5 frames")


@pytest.mark.parametrize("stored_as", ["rgb", "ycbcr"])
def test_jpegs_of_either_colour_space_are_rgb(tmp_path, stored_as):
    colour = np.ascontiguousarray(np.broadcast_to(np.array([200, 30, 90], np.uint8), (16, 16, 3)))
    (tmp_path / "a.jpg").write_bytes(imagecodecs.jpeg8_encode(colour, outcolorspace=stored_as))
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - colour).max() <= 2
