"""Samples of a pixel are channels, colours or alpha, as the file records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.tiles import Box
from nucbatch.readers.find import open_plate
from nucbatch.readers.formats import convert_once, open_source, whole
from nucbatch.readers.formats.headers import read_header
from nucbatch.readers.pixels import FieldReader, read_field, read_image

PLANES = np.random.default_rng(0).integers(0, 900, (5, 40, 60)).astype(np.uint16)  # S, Y, X
SIDE = {"contig": -1, "separate": 0}


def write(path: Path, planes: np.ndarray, planarconfig: str = "contig", **options: Any) -> None:
    data = np.moveaxis(planes, 0, SIDE[planarconfig])
    tifffile.imwrite(path, data, planarconfig=planarconfig, **{"photometric": "minisblack"} | options)


def refused(path: Path) -> str:
    with pytest.raises(UnreadableImage) as caught:
        read_header(path)
    return str(caught.value)


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
@pytest.mark.parametrize("count", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "deflate"},
        {"tile": (16, 16)},
        {"rowsperstrip": 7},
        {"compression": "zstd", "tile": (32, 16)},
    ],
)
def test_extra_grey_samples_are_channels(
    tmp_path: Path, planarconfig: str, count: int, options: dict
) -> None:
    write(tmp_path / "a.tif", PLANES[:count], planarconfig, **options)
    plate = open_plate(tmp_path)
    assert [channel.name for channel in plate.channels] == [f"C{number + 1}" for number in range(count)]
    field = plate.fields[0]
    np.testing.assert_array_equal(read_field(plate.root, field, plate.channels), PLANES[:count])
    box = Box(5, 9, 30, 50)
    last = FieldReader(plate.root).read_box(field, (plate.channel(f"C{count}"),), box)
    np.testing.assert_array_equal(last[0], PLANES[count - 1][box.slices])


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
def test_only_samples_tagged_as_alpha_are_alpha(tmp_path: Path, planarconfig: str) -> None:
    path = tmp_path / "a.tif"
    for kind in ("assocalpha", "unassalpha"):
        write(path, PLANES[:2], planarconfig, extrasamples=[kind])
        np.testing.assert_array_equal(read_image(path), PLANES[0])
        write(path, PLANES[:4], planarconfig, photometric="rgb", extrasamples=[kind])
        np.testing.assert_array_equal(read_image(path), np.moveaxis(PLANES[:3], 0, -1))
    write(path, PLANES[:4], planarconfig, extrasamples=["unspecified", "unassalpha", "unspecified"])
    plate = open_plate(path)
    assert [channel.name for channel in plate.channels] == ["C1", "C2", "C4"]
    np.testing.assert_array_equal(read_field(plate.root, plate.fields[0], plate.channels), PLANES[[0, 1, 3]])


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
@pytest.mark.parametrize(
    "extra", [["unspecified"], ["unspecified", "unspecified"], ["unassalpha", "unspecified"]]
)
def test_rgb_with_extra_samples_becomes_channels(tmp_path: Path, planarconfig: str, extra: list[str]) -> None:
    write(tmp_path / "a.tif", PLANES[: 3 + len(extra)], planarconfig, photometric="rgb", extrasamples=extra)
    plate = open_plate(tmp_path)
    used = [0, 1, 2, *(3 + index for index, kind in enumerate(extra) if kind == "unspecified")]
    names = ["Red", "Green", "Blue", *(f"C{index + 1}" for index in used[3:])]
    assert [channel.name for channel in plate.channels] == names
    np.testing.assert_array_equal(read_field(plate.root, plate.fields[0], plate.channels), PLANES[used])


def test_a_stack_of_pages_with_channels(tmp_path: Path) -> None:
    stack = np.random.default_rng(1).integers(0, 900, (2, 3, 40, 60, 2)).astype(np.uint16)
    options = {"photometric": "minisblack", "planarconfig": "contig", "metadata": {"axes": "TZYXS"}}
    for ome in (False, True):
        tifffile.imwrite(tmp_path / "a.tif", stack, ome=ome, **options)
        plate = open_plate(tmp_path / "a.tif")
        assert [channel.name for channel in plate.channels] == ["C1", "C2"]
        for field, moment in zip(plate.fields, stack, strict=True):
            wanted = np.moveaxis(moment.max(axis=0), -1, 0)
            np.testing.assert_array_equal(read_field(plate.root, field, plate.channels), wanted)


def test_channels_in_both_pages_and_samples_are_rejected(tmp_path: Path) -> None:
    data = np.zeros((3, 40, 60, 2), np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", data, photometric="minisblack", planarconfig="contig", metadata={"axes": "CYXS"}
    )
    assert refused(tmp_path / "a.tif").startswith("3 channels in pages that hold 2 samples each")


def test_names_of_samples_come_from_ome_xml(tmp_path: Path) -> None:
    text = (
        '<OME><Image><Pixels DimensionOrder="XYCZT" Type="uint16" SizeX="60" SizeY="40" SizeT="1" SizeC="2" '
        'SizeZ="1"><Channel Name="DAPI"/><Channel Name="GFP"/><TiffData/></Pixels></Image></OME>'
    )
    write(tmp_path / "a.tif", PLANES[:2], description=text, metadata=None)
    plate = open_plate(tmp_path)
    assert [channel.name for channel in plate.channels] == ["DAPI", "GFP"]
    np.testing.assert_array_equal(
        read_field(plate.root, plate.fields[0], (plate.channel("GFP"),))[0], PLANES[1]
    )


def test_a_single_channel_of_a_page_can_be_converted(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for step in (1, 2):
            data = np.moveaxis(PLANES[:2, ::step, ::step], 0, -1)
            writer.write(
                data, photometric="minisblack", planarconfig="contig", metadata=None, compression="deflate"
            )
    with open_source(path) as source:
        assert [level.width_px for level in source.levels(1)] == [60, 30]
        window = source.plane(1, 1)
        np.testing.assert_array_equal(window.read(whole(window)), PLANES[1, ::2, ::2])
    copy = convert_once(path, tmp_path / "copies", lambda *_: None, page=1)
    np.testing.assert_array_equal(tifffile.imread(copy), PLANES[1])


# Colour spaces

RGB = np.random.default_rng(2).integers(0, 256, (32, 48, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "photometric", "words"),
    [
        ((32, 48, 4), "separated", "CMYK"),
        ((32, 48, 3), "cielab", "CIE L*a*b*"),
        ((32, 48, 3), "icclab", "ICC L*a*b*"),
        ((32, 48), "cfa", "colour filter array"),
    ],
)
def test_other_colour_spaces_are_rejected_by_name(
    tmp_path: Path, shape: tuple, photometric: str, words: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint8), photometric=photometric)
    assert f"its colours are {words}" in refused(tmp_path / "a.tif").replace("a camera's ", "")


def ycbcr(rgb: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(rgb.astype(float), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    stacked = np.stack([luma, (blue - luma) / 1.772 + 128, (red - luma) / 1.402 + 128], -1)
    return np.rint(stacked).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("options", [{}, {"compression": "deflate"}, {"compression": "lzw", "predictor": 2}])
def test_ycbcr_without_jpeg_is_converted(tmp_path: Path, options: dict) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ycbcr(RGB), photometric="ycbcr", subsampling=(1, 1), **options)
    assert np.abs(read_image(path).astype(int) - RGB).max() <= 2
    weights = (2126, 10000, 7152, 10000, 722, 10000)  # of another standard
    tifffile.imwrite(
        path,
        ycbcr(RGB),
        photometric="ycbcr",
        subsampling=(1, 1),
        extratags=[(529, 5, 3, weights, True)],
        **options,
    )
    assert refused(path) == "its colours are YCbCr of a kind that is not read: convert it to RGB"
    tifffile.imwrite(path, np.zeros((32, 48, 3), np.uint16), photometric="ycbcr", subsampling=(1, 1))
    assert "YCbCr of a kind" in refused(path)


def test_ycbcr_with_jpeg_is_rgb(tmp_path: Path) -> None:
    smooth = np.broadcast_to(np.array([200, 30, 90], np.uint8), (32, 48, 3))
    tifffile.imwrite(tmp_path / "a.tif", smooth, photometric="rgb", compression="jpeg", tile=(16, 16))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages[0].photometric == 6
    assert np.abs(read_image(tmp_path / "a.tif").astype(int) - smooth).max() <= 4


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
def test_white_is_zero_is_inverted_or_rejected(tmp_path: Path, dtype: str) -> None:
    pixels = PLANES[0].astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), np.iinfo(dtype).max - pixels)
    for other in ("float32", "int16"):
        tifffile.imwrite(tmp_path / "b.tif", pixels.astype(other), photometric="miniswhite")
        assert refused(tmp_path / "b.tif").startswith(f"white-is-zero pixels of type {other}")


def test_pngs_of_every_colour_type(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    grey, alpha = RGB[..., 0], RGB[..., 1]
    for stored, shown in (
        (grey, grey),
        (np.dstack([grey, alpha]), grey),
        (RGB, RGB),
        (np.dstack([RGB, alpha]), RGB),
    ):
        path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(stored)))
        np.testing.assert_array_equal(read_image(path), shown)


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000"])
def test_a_strip_ending_in_zeros_is_rejected(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB[..., 0], compression=compression)
    with tifffile.TiffFile(path) as tiff:
        end = tiff.pages[0].dataoffsets[0] + tiff.pages[0].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[end - 40 : end] = bytes(40)
    path.write_bytes(bytes(content))
    with pytest.raises(UnreadableImage, match="are zeros, as after an interrupted copy"):
        read_image(path)


@pytest.mark.parametrize("pixels", [PLANES[0], RGB])
def test_without_a_colour_space_it_is_grey_or_rgb(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages[0].tags["PhotometricInterpretation"].offset
    content = bytearray(path.read_bytes())
    content[at : at + 2] = (65000).to_bytes(2, "little")
    path.write_bytes(bytes(content))
    np.testing.assert_array_equal(read_image(path), pixels)


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
def test_a_huge_strip_is_streamed_for_one_channel(tmp_path: Path, planarconfig: str) -> None:
    write(
        tmp_path / "a.tif", PLANES[:3], planarconfig, compression="deflate", rowsperstrip=40, predictor=True
    )
    with open_source(tmp_path / "a.tif") as source:
        for channel in range(3):
            window = source.plane(channel)
            assert window.streams
            rows = np.concatenate(list(window.stream(7)))
            np.testing.assert_array_equal(rows[..., 0], PLANES[channel])
