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


@pytest.mark.parametrize(
    "error", [zlib.error, lzma.LZMAError, SystemError, AssertionError, BufferError, EOFError, struct.error]
)
def test_decoder_errors_become_unreadable_image(error):
    with pytest.raises(UnreadableImage, match=r"^a\.tif: can't be decoded"), naming_file("a.tif"):
        raise error("x")
