"""Inputs in an object store are listed and read like those in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from s3_server import Bucket
from write_czi import write_czi
from write_lif import write_lif
from write_nd2 import write_nd2

from nucbatch.core.errors import ImageUnavailable, InputError, InputNotFound
from nucbatch.core.plate import FileStatus
from nucbatch.core.tiles import Box
from nucbatch.object_store import ObjectPath
from nucbatch.readers.find import open_plate
from nucbatch.readers.formats import open_plane
from nucbatch.readers.listing import scan
from nucbatch.readers.pixels import FieldReader
from nucbatch.synthetic.field import make_field

LARGE_PX = 3000


def write_plate(folder: Path) -> Path:
    """Writes two wells, files beside them, and folders that count as one file."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for well in ("A01", "B02"):
        pixels = make_field(72, rng, nuclei=2)[0][0]
        tifffile.imwrite(folder / f"{well}_s1_DAPI.tif", pixels, compression="zlib")
    for name in ("empty.tif", ".hidden", "Thumbs.db", "notes.txt", "deep/ä b.tif"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    marked = ("old/.nucbatch/ledger", "named.zarr/0/c/0", "marked/0/c/0", "marked/zarr.json", ".git/a/b")
    for name in (*marked, "old/a.tif", "marked/a.tif"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"1")
    return folder


def test_every_object_has_the_record_of_the_same_file_in_a_folder(bucket: Bucket, tmp_path: Path) -> None:
    folder = write_plate(tmp_path / "plate")
    here, there = scan(folder), scan(ObjectPath(bucket.upload(folder, "listed/plate")))
    assert [(file.path, file.size_bytes) for file in there.files] == [
        (file.path, file.size_bytes) for file in here.files
    ]
    assert there.settled == here.settled
    assert there.name == here.name == "plate"
    plate, local = open_plate(ObjectPath(f"{bucket.url}/listed/plate")), open_plate(folder)
    assert plate.files == local.files
    reader, known = FieldReader.of(plate), FieldReader.of(local)
    for field, other in zip(plate.fields, local.fields, strict=True):
        if not field.problem:
            pixels = reader.read_whole(field, plate.channels)
            assert np.array_equal(pixels, known.read_whole(other, local.channels))


def test_a_large_image_is_read_by_ranges(bucket: Bucket, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (LARGE_PX, LARGE_PX), np.uint8)
    path = tmp_path / "large.tif"
    for how in ({"tile": (256, 256)}, {"rowsperstrip": 100}, {"compression": "zlib", "rowsperstrip": 64}):
        tifffile.imwrite(path, pixels, **how)
        bucket.put("large/large.tif", path.read_bytes())
        with open_plane(ObjectPath(f"{bucket.url}/large/large.tif")) as window:
            for box in (Box(0, 0, 10, 10), Box(1200, 700, 1900, 2900), Box(2990, 0, 3000, 3000)):
                assert np.array_equal(window.read(box), pixels[box.slices])


def test_an_object_that_is_replaced_in_mid_run_fails_its_field(bucket: Bucket, tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    for value in (1, 2):
        tifffile.imwrite(path, np.full((40, 40), value, np.uint8))
        bucket.put("replaced/A01_s1_DAPI.tif", path.read_bytes())
        if value == 1:
            plate = open_plate(ObjectPath(f"{bucket.url}/replaced"))
    with pytest.raises(ImageUnavailable, match=r"A01_s1_DAPI\.tif: has changed since the run was planned"):
        FieldReader.of(plate).read_whole(plate.fields[0], plate.channels)


@pytest.mark.parametrize(
    ("name", "write"), [("a.nd2", write_nd2), ("a.lif", write_lif), ("a.czi", write_czi)]
)
def test_a_container_in_a_store_is_quarantined_and_says_what_to_do(
    bucket: Bucket, tmp_path: Path, name: str, write: Callable[[Path], object]
) -> None:
    write(tmp_path / name)
    bucket.put(f"containers/{name}/{name}", (tmp_path / name).read_bytes())
    plate = open_plate(ObjectPath(f"{bucket.url}/containers/{name}"))
    (file,) = plate.files
    assert file.status is FileStatus.QUARANTINED
    assert "can't be read in an object store: copy it to a disk first" in file.reason


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("s3://no-such-bucket/plate", InputError, "there is no bucket s3://no-such-bucket"),
        ("s3://screens/no-such-plate", InputNotFound, "there is no object below s3://screens/no-such-plate"),
        ("s3://", InputError, "names no bucket"),
    ],
)
def test_a_wrong_address_is_refused(bucket: Bucket, address: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        scan(ObjectPath(address))
