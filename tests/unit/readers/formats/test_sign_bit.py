"""The sign bit of older ScanR files is removed wherever their pixels are read, or the file is rejected."""

import numpy as np
import pytest
import tifffile

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.plate import Channel, Field, Plane
from nucbatch.core.tiles import Box
from nucbatch.readers.formats import convert_once, open_plane
from nucbatch.readers.pixels import FieldReader, read_image

IMAQ = "National Instruments IMAQ"
SHAPE = (600, 70)
INTENSITIES = (np.arange(SHAPE[0] * SHAPE[1], dtype=np.uint16) % 4096).reshape(SHAPE)
SIGNED = INTENSITIES | np.uint16(0x8000)
STORED = {
    "plain strips": {"rowsperstrip": 7},
    "deflate": {"compression": "deflate", "rowsperstrip": 600},
    "LZW": {"compression": "lzw", "rowsperstrip": 64},
    "tiles, big-endian": {"tile": (32, 32), "byteorder": ">"},
}


def write(path, pixels, software=IMAQ, **options):
    tifffile.imwrite(path, pixels, software=software, metadata=None, **options)
    return path


@pytest.mark.parametrize("stored", list(STORED))
def test_the_bit_is_removed_from_every_read(tmp_path, stored):
    path = write(tmp_path / "a.tif", SIGNED, **STORED[stored])
    np.testing.assert_array_equal(read_image(path), INTENSITIES)
    box = Box(128, 30, 310, 70)
    with open_plane(path) as window:
        np.testing.assert_array_equal(window.read(box), INTENSITIES[box.slices])
    copy = convert_once(path, tmp_path / "copies", lambda *_: None)
    np.testing.assert_array_equal(read_image(copy), INTENSITIES)
    field = Field("B02", 1, 0, "B/2/1", "p", (Plane("a.tif", "DNA"),), *SHAPE, "uint16")
    reading = FieldReader(tmp_path).read(field, (Channel("DNA", 0),), box)
    np.testing.assert_array_equal(reading.pixels[0], INTENSITIES[box.slices])
    assert reading.coverage[0].zeros == np.count_nonzero(INTENSITIES[box.slices] == 0)


def test_strips_too_large_to_decode_at_once(tmp_path):
    path = write(tmp_path / "a.tif", SIGNED, compression="deflate", rowsperstrip=600)
    with open_plane(path) as window:
        bands = list(window.stream(64))
    np.testing.assert_array_equal(np.concatenate(bands)[..., 0], INTENSITIES)


def test_values_stored_as_signed_integers(tmp_path):
    path = write(tmp_path / "a.tif", SIGNED.view(np.int16))
    np.testing.assert_array_equal(read_image(path), INTENSITIES.view(np.int16))


@pytest.mark.parametrize(
    ("pixels", "software"),
    [
        (SIGNED, "scanR 3.3"),  # plain 16-bit values of another writer
        (INTENSITIES, IMAQ),
        (np.array([[300, 0x8005, 0xFFFF]], np.uint16), IMAQ),
        ((INTENSITIES >> 4).astype(np.uint8), IMAQ),
    ],
)
def test_files_without_the_bit_are_read_as_they_are(tmp_path, pixels, software):
    np.testing.assert_array_equal(read_image(write(tmp_path / "a.tif", pixels, software)), pixels)


@pytest.mark.parametrize(
    ("values", "wrong"),
    [([0x8005, 0x9000], "36,864"), ([0x9005, 0x8000], "36,869"), ([0x8005, 0x0FFF], "4,095")],
)
def test_values_beyond_12_bits_are_rejected_not_wrapped(tmp_path, values, wrong):
    path = write(tmp_path / "a.tif", np.array([values], np.uint16))
    with pytest.raises(UnreadableImage, match=rf"a\.tif: its Software tag.*it holds {wrong}"):
        read_image(path)


def test_any_box_of_a_file_is_read_alike(tmp_path):
    """The first value decides: a box without it neither keeps the bit nor wraps a bright pixel."""
    path = write(tmp_path / "a.tif", np.array([[0x8005], [0x8006], [0x9007]], np.uint16), rowsperstrip=1)
    with open_plane(path) as window:
        assert window.read(Box(1, 0, 2, 1)).tolist() == [[6]]
        with pytest.raises(UnreadableImage, match="it holds 36,871"):
            window.read(Box(2, 0, 3, 1))


def test_bytes_that_were_never_copied_stay_zero(tmp_path):
    pixels = SIGNED.copy()
    pixels[400:] = 0
    write(tmp_path / "a.tif", pixels)
    field = Field("B02", 1, 0, "B/2/1", "p", (Plane("a.tif", "DNA"),), *SHAPE, "uint16")
    reading = FieldReader(tmp_path).read(field, (Channel("DNA", 0),), Box(0, 0, *SHAPE))
    assert reading.coverage[0].absent == pytest.approx(1 / 3)
