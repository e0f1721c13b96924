"""A file that differs from the planned one is rejected."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import zarr

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.find import open_plate
from nucbatch.readers.pixels import read_field


@pytest.fixture
def plate(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((8, 9), np.uint8))
    return open_plate(tmp_path)


def read(plate):
    return read_field(plate.root, plate.fields[0], plate.channels)


def test_an_unchanged_file_is_read(plate):
    assert read(plate).sum() == 72


def test_a_newer_file_of_the_same_size_is_rejected(plate, tmp_path):
    info = (tmp_path / "a.tif").stat()
    tifffile.imwrite(tmp_path / "a.tif", np.full((8, 9), 2, np.uint8))
    os.utime(tmp_path / "a.tif", ns=(info.st_mtime_ns, info.st_mtime_ns + 1))
    assert (tmp_path / "a.tif").stat().st_size == info.st_size
    with pytest.raises(UnreadableImage, match=r"^a\.tif: has changed since the run was planned \("):
        read(plate)


def test_another_size_at_the_same_time_is_rejected(plate, tmp_path):
    info = (tmp_path / "a.tif").stat()
    with (tmp_path / "a.tif").open("ab") as file:
        file.write(b"more")
    os.utime(tmp_path / "a.tif", ns=(info.st_mtime_ns, info.st_mtime_ns))
    with pytest.raises(UnreadableImage, match=r"^a\.tif: has changed"):
        read(plate)


def test_a_missing_file_is_reported(plate, tmp_path):
    (tmp_path / "a.tif").unlink()
    with pytest.raises(UnreadableImage, match=r"^a\.tif: has vanished since .* planned: put it back"):
        read(plate)


def test_a_pipe_instead_of_a_file_does_not_block(plate, tmp_path):
    (tmp_path / "a.tif").unlink()
    os.mkfifo(tmp_path / "a.tif")
    with pytest.raises(UnreadableImage, match=r"^a\.tif: has changed"):
        read(plate)


def test_a_plane_without_recorded_size_is_read(plate, tmp_path):
    (field,) = plate.fields
    os.utime(tmp_path / "a.tif", ns=(0, 0))
    planes = tuple(replace(plane, size_bytes=0, mtime_ns=0) for plane in field.planes)
    assert read_field(plate.root, replace(field, planes=planes), plate.channels).sum() == 72


@pytest.mark.parametrize("inside", [True, False])
def test_a_folder_replaced_by_a_link_is_rejected(tmp_path, inside):
    (tmp_path / "in/A").mkdir(parents=True)
    tifffile.imwrite(tmp_path / "in/A/a.tif", np.ones((8, 9), np.uint8))
    plate = open_plate(tmp_path / "in")
    assert read(plate).sum() == 72
    elsewhere = tmp_path / ("in/B" if inside else "B")
    (tmp_path / "in/A").rename(elsewhere)  # the same file, with the same size and time
    (tmp_path / "in/A").symlink_to(elsewhere)
    with pytest.raises(
        UnreadableImage, match=r"^A/a\.tif: its folder is reached by a link, which it was not"
    ):
        read(plate)


@pytest.mark.parametrize("level", ["p.zarr/A", "p.zarr/A/1", "p.zarr/A/1/0"])
def test_a_zarr_well_replaced_by_a_link_is_rejected(tmp_path, level):
    image = tmp_path / "p.zarr/A/1/0"
    for group, metadata in (
        (tmp_path / "p.zarr", {"plate": {"wells": [{"path": "A/1"}]}}),
        (image.parent, {"well": {"images": [{"path": "0"}]}}),
        (image, {"multiscales": [{"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "0"}]}]}),
    ):
        group.mkdir(parents=True, exist_ok=True)
        document = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": metadata}}
        (group / "zarr.json").write_text(json.dumps(document))
    zarr.create_array(image / "0", data=np.ones((8, 9), np.uint8))
    plate = open_plate(tmp_path / "p.zarr")
    assert read(plate).sum() == 72
    (tmp_path / level).rename(tmp_path / "elsewhere")
    (tmp_path / level).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnreadableImage, match=r"^p\.zarr/A/1/0/: its folder is reached by a link"):
        read(plate)


def test_a_file_replaced_by_a_link_out_is_rejected(plate, tmp_path):
    (tmp_path / "a.tif").rename(tmp_path.parent / f"{tmp_path.name}.tif")
    (tmp_path / "a.tif").symlink_to(tmp_path.parent / f"{tmp_path.name}.tif")
    with pytest.raises(UnreadableImage, match=r"^a\.tif: has become a link that leads out of the input"):
        read(plate)
