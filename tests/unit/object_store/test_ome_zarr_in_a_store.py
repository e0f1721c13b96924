"""OME-Zarr images in an object store, and behind a web server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from s3_server import Bucket

from nucbatch.object_store import ObjectPath
from nucbatch.readers.find import open_plate
from nucbatch.readers.pixels import FieldReader

SHARDED = {"chunks": (1, 64, 64), "shards": (1, 128, 128)}
PLAIN = {"chunks": (1, 64, 64)}


def write_image(folder: Path, pixels: np.ndarray, **chunks: tuple[int, ...]) -> None:
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    axes = [
        {"name": "c", "type": "channel"},
        *({"name": name, "type": "space", "unit": "micrometer"} for name in "yx"),
    ]
    scale = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    levels = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
    group.create_array("0", shape=pixels.shape, dtype=pixels.dtype, **chunks)[:] = pixels


@pytest.mark.parametrize("chunks", [SHARDED, PLAIN], ids=["shards", "chunks"])
def test_an_image_in_a_store_has_the_pixels_of_its_folder(
    bucket: Bucket, tmp_path: Path, chunks: dict[str, tuple[int, ...]]
) -> None:
    pixels = np.random.default_rng(0).integers(1, 4000, (2, 200, 300), np.uint16)
    pixels[:, :128, :128] = 0  # chunks that are not stored
    write_image(tmp_path / "image.zarr", pixels, **chunks)
    prefix = f"zarr/{len(chunks)}/image.zarr"
    url = bucket.upload(tmp_path / "image.zarr", prefix)
    for key in bucket.content():
        if key.startswith(prefix):
            bucket.publish(key)
    local = open_plate(tmp_path / "image.zarr")
    for address in (url, f"{bucket.address}/{bucket.name}/{prefix}"):
        plate = open_plate(ObjectPath(address))
        (field,) = plate.fields
        assert (field.problem, field.pixel_size_um) == ("", 0.5)
        assert np.array_equal(FieldReader.of(plate).read_whole(field, plate.channels), pixels)
        if address == url:
            assert [(one.absent_chunks, one.chunks) for one in plate.files] == [
                (one.absent_chunks, one.chunks) for one in local.files
            ]
