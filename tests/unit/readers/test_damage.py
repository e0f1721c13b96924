"""Damaged image bytes give pixels or UnreadableImage, never a crash."""

import io
import logging
import lzma
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.tiles import Box
from nucbatch.readers.formats import open_source
from nucbatch.readers.formats.plane_reader import naming_file
from nucbatch.readers.pixels import probe, read_image

PIXELS = np.arange(20 * 24, dtype=np.uint8).reshape(20, 24)


def tiff(**options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, PIXELS, **options)
    return buffer.getvalue()


def stack(**options) -> bytes:
    buffer = io.BytesIO()
    planes = np.stack([PIXELS] * 4).reshape(2, 2, 20, 24)
    tifffile.imwrite(buffer, planes, photometric="minisblack", metadata={"axes": "CZYX"}, **options)
    return buffer.getvalue()


def pyramid() -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(PIXELS, subifds=1, tile=(16, 16), description="Aperio |MPP = 0.5", metadata=None)
        writer.write(PIXELS[::2, ::2], subfiletype=1, tile=(16, 16), metadata=None)
        writer.write(PIXELS[::2, ::2], tile=(16, 16), metadata=None)
    return buffer.getvalue()


WHOLE = {
    "plain": tiff(),
    "tiled": tiff(tile=(16, 16), compression="deflate"),
    "described": tiff(imagej=True, resolution=(2, 2), metadata={"unit": "um"}),
    "ome stack": stack(ome=True),
    "stack": stack(),
    "pyramid": pyramid(),
    "png": imagecodecs.png_encode(PIXELS),
    "jpeg": imagecodecs.jpeg8_encode(PIXELS),
}


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    """tifffile logs what it survives; thousands of such lines would hide a failure."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def lowest_level(path):
    with open_source(path) as source:
        window = source.plane(0, len(source.levels()) - 1)
        return window.read(Box(0, 0, 1, window.shape[1]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(WHOLE))
@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_give_pixels_or_unreadable_image(tmp_path, kind, data):
    content = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 4), label="changes")):
        # most headers are short, so half of all changes fall into the first bytes
        last = data.draw(st.sampled_from([min(300, len(content)), len(content)])) - 1
        content[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.integers(0, len(content)) | st.just(len(content)), label="kept")
    path = tmp_path / "a.tif"
    path.write_bytes(bytes(content[:kept]))
    for read in (probe, read_image, lowest_level):
        try:
            result = read(path)
        except UnreadableImage:
            continue
        assert result is not None


def test_tiles_of_a_size_that_no_integer_of_numpy_holds_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(WHOLE["tiled"])
    with tifffile.TiffFile(path, mode="r+b") as file:
        for code in (322, 323):
            file.pages[0].tags[code].overwrite(2**32 - 16, dtype=4)
    with pytest.raises(UnreadableImage, match=r"tiles of 4,294,967,280 × 4,294,967,280 px"):
        probe(path)


@pytest.mark.parametrize("begin_and_size", [(2**63, 2**63), (2**64 - 8, 16)])
def test_strips_beyond_the_end_are_found_where_the_sum_overflows(tmp_path, begin_and_size):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(bigtiff=True, rowsperstrip=10, compression="deflate"))
    with tifffile.TiffFile(path, mode="r+b") as file:
        for code, value in zip((273, 279), begin_and_size, strict=True):
            tag = file.pages[0].tags[code]
            tag.overwrite((value, *tag.value[1:]), dtype=16)
    with pytest.raises(UnreadableImage, match=r"truncated: [\d,]+ bytes of at least (9,223|18,446),"):
        probe(path)


@pytest.mark.parametrize(
    "error", [zlib.error, lzma.LZMAError, SystemError, AssertionError, BufferError, EOFError, struct.error]
)
def test_decoder_errors_become_unreadable_image(error):
    with pytest.raises(UnreadableImage, match=r"^a\.tif: can't be decoded"), naming_file("a.tif"):
        raise error("x")


NOISE = np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8)


@pytest.mark.parametrize("zeros_beside", [0, 2])
def test_a_jpeg_with_a_hole_of_disk_blocks_is_refused(tmp_path, zeros_beside):
    """libjpeg would invent the pixels of the hole, and shift all that follow."""
    content = bytearray(imagecodecs.jpeg8_encode(NOISE))
    begin, end = 8192 - zeros_beside, 8192 + 4096 + zeros_beside
    content[begin:end] = bytes(end - begin)
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=rf"bytes {begin:,} to {end:,} .* are zeros, .*: copy it again"):
        read_image(path)


def test_a_jpeg_tile_with_a_hole_of_disk_blocks_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, NOISE, tile=(256, 256), compression="jpeg")
    content = bytearray(path.read_bytes())
    content[8192:12288] = bytes(4096)
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"bytes 8,192 to 12,288 .* are zeros"):
        read_image(path)


def test_a_jpeg_whose_even_areas_are_stored_as_zeros_is_read(tmp_path):
    """With tables made for it, a black picture is mostly bits 0."""
    black = np.zeros((1024, 1024), np.uint8)
    content = imagecodecs.jpeg8_encode(black, optimize=True)
    assert bytes(512) in content
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    assert (read_image(path) == black).all()
