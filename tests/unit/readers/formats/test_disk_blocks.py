"""Disk blocks of zeros in uncompressed tiles are missing pixels; black parts of a picture are none."""

import numpy as np
import pytest
import tifffile

from nucbatch.core.tiles import Box
from nucbatch.readers.find import open_plate
from nucbatch.readers.formats.disk_blocks import BLOCK_BYTES, holes_in_rows
from nucbatch.readers.pixels import FieldReader

SIDE = 256
PIXELS = np.random.default_rng(0).integers(90, 4000, (2 * SIDE, 2 * SIDE)).astype(np.uint16)


def tiled(path, pixels, **options):
    tifffile.imwrite(path, pixels, tile=(SIDE, SIDE), **options)
    with tifffile.TiffFile(path) as tiff:
        return tiff.pages[0].dataoffsets


def absent(path):
    plate = open_plate(path)
    (field,) = plate.fields
    whole = Box(0, 0, field.height_px, field.width_px)
    return FieldReader.of(plate).read(field, plate.channels, whole).coverage[0].absent


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("pixels", [PIXELS, (PIXELS // 16).astype(np.uint8), PIXELS // 20])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_disk_blocks_of_zeros_in_a_tile_are_absent(tmp_path, blocks, pixels, byteorder):
    path = tmp_path / "a.tif"
    begin = tiled(path, pixels, byteorder=byteorder)[2]
    assert absent(path) == 0
    with path.open("r+b") as file:
        file.seek(-(-begin // BLOCK_BYTES) * BLOCK_BYTES + 2 * BLOCK_BYTES)
        file.write(bytes(blocks * BLOCK_BYTES))
    assert absent(path) == pytest.approx(blocks * BLOCK_BYTES / pixels.nbytes, rel=0.01)


def test_black_parts_of_a_picture_are_no_holes(tmp_path):
    margin = PIXELS.copy()
    margin[:40], margin[300:348], margin[:, 100:150] = 0, 0, 0
    y, x = np.mgrid[: 2 * SIDE, : 2 * SIDE]
    mask = np.where((y - 250) ** 2 + (x - 250) ** 2 < 220**2, PIXELS, 0).astype(np.uint16)
    clipped = np.where(PIXELS < 1500, 0, PIXELS).astype(np.uint16)
    clipped[200:230] = 0
    for name, pixels in {"margin": margin, "mask": mask, "clipped": clipped}.items():
        path = tmp_path / f"{name}.tif"
        tiled(path, pixels)
        plate = open_plate(path)
        (field,) = plate.fields
        (seen,) = FieldReader.of(plate).read(field, plate.channels, Box(0, 0, 2 * SIDE, 2 * SIDE)).coverage
        assert seen.missing == 0, name


def test_whole_rows_and_zeros_that_end_anywhere_are_no_holes():
    sound = bytearray(PIXELS[:SIDE, :SIDE].tobytes())
    rows = sound.copy()
    rows[2 * BLOCK_BYTES : 4 * BLOCK_BYTES] = bytes(2 * BLOCK_BYTES)
    assert holes_in_rows(bytes(rows), 0, (SIDE, SIDE)) == []
    assert holes_in_rows(bytes(rows), 100, (SIDE, SIDE)) == []
    shifted = sound.copy()
    shifted[2 * BLOCK_BYTES - 100 : 4 * BLOCK_BYTES - 100] = bytes(2 * BLOCK_BYTES)
    assert holes_in_rows(bytes(shifted), 0, (SIDE, SIDE)) == []
    assert holes_in_rows(bytes(shifted), 100, (SIDE, SIDE)) == [
        Box(15, 206, 16, 256),
        Box(16, 0, 31, 256),
        Box(31, 0, 32, 206),
    ]
