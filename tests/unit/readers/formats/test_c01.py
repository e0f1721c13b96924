"""Cellomics' bitmaps in a zlib stream."""

import struct
import zlib

import numpy as np
import pytest
from write_images import pixels_of, write_c01

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.find import open_plate
from nucbatch.readers.formats.headers import read_header
from nucbatch.readers.pixels import read_field, read_image


def test_pixels_and_their_size(tmp_path):
    pixels = write_c01(tmp_path / "a.C01")
    assert read_header(tmp_path / "a.C01").pixel_size_um == pytest.approx(1.29, abs=0.001)
    np.testing.assert_array_equal(read_image(tmp_path / "a.C01"), pixels)


def test_a_changed_byte_is_found_by_the_checksum(tmp_path):
    write_c01(tmp_path / "a.C01")
    data = bytearray((tmp_path / "a.C01").read_bytes())
    data[-1] ^= 1
    (tmp_path / "a.C01").write_bytes(data)
    with pytest.raises(UnreadableImage, match="incorrect data check"):
        read_image(tmp_path / "a.C01")


def test_a_header_that_promises_more_than_memory_is_refused(tmp_path):
    head = struct.pack("<IiiHHIIiiII", 40, 1 << 20, 1 << 20, 1, 16, 0, 0, 0, 0, 0, 0)
    (tmp_path / "a.C01").write_bytes(b"\0\0\0\x10" + zlib.compress(head + bytes(12)))
    with pytest.raises(UnreadableImage, match="once decoded"):
        read_header(tmp_path / "a.C01")


def test_names_of_cellomics_make_a_plate(tmp_path):
    for well in ("A01", "B12"):
        for site in (0, 1):
            for channel in (0, 1):
                write_c01(
                    tmp_path / f"MFGTMP-PC_170319090001_{well}f0{site}d{channel}.C01", pixels_of(channel)
                )
    plate = open_plate(tmp_path)
    assert (plate.layout, tuple(plate.wells()), len(plate.fields)) == ("names", ("A01", "B12"), 4)
    assert [channel.name for channel in plate.channels] == ["d0", "d1"]
    assert plate.fields[0].pixel_size_um == pytest.approx(1.29, abs=0.001)
    np.testing.assert_array_equal(
        read_field(plate.root, plate.fields[0], plate.channels), [pixels_of(0), pixels_of(1)]
    )
