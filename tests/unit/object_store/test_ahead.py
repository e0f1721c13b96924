"""Requests that can be made at once are, so that a store that answers late is waited for once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from fault_proxy import FaultProxy, faulty
from s3_server import Bucket

from nucbatch.core.errors import ImageUnavailable
from nucbatch.core.plate import Plate
from nucbatch.object_store import ObjectPath
from nucbatch.readers.find import open_plate
from nucbatch.readers.pixels import FieldReader

CHANNELS = ("DAPI", "GFP", "RFP")
WELLS = ("A/1", "A/2", "B/1")


@pytest.fixture
def proxy(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    with faulty(bucket.address) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.address)
        yield found


def write_zarr(root: Path) -> Path:
    """Writes a plate of three wells with one image of two channels each, in the version 0.5."""
    names = {"rows": [{"name": "A"}, {"name": "B"}], "columns": [{"name": "1"}, {"name": "2"}]}
    wells = [
        {"path": path, "rowIndex": "AB".index(path[0]), "columnIndex": int(path[2]) - 1} for path in WELLS
    ]
    attributes = {"": {"plate": {"name": "p", "wells": wells, **names}}}
    axes = [{"name": "c", "type": "channel"}, *({"name": name, "type": "space"} for name in "yx")]
    levels = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]}]
    for path in WELLS:
        attributes[path] = {"well": {"images": [{"path": "0"}]}}
        attributes[f"{path}/0"] = {"multiscales": [{"axes": axes, "datasets": levels}]}
    for path, found in attributes.items():
        group = zarr.open_group(root / path, mode="w", zarr_format=3)
        group.attrs["ome"] = {"version": "0.5", **found}
    for path in WELLS:
        group = zarr.open_group(root / path / "0", mode="a")
        group.create_array("0", shape=(2, 64, 64), dtype="u2", chunks=(1, 64, 64))[:] = 7
    return root


@pytest.fixture
def plate_of_zarr(bucket: Bucket, proxy: FaultProxy, tmp_path: Path) -> Plate:
    address = bucket.upload(write_zarr(tmp_path / "p.zarr"), "ahead/p.zarr")
    proxy.requests.clear()
    return open_plate(ObjectPath(address))


def test_the_files_of_a_field_are_fetched_at_once(bucket: Bucket, proxy: FaultProxy, tmp_path: Path) -> None:
    pixels = np.arange(300, dtype=np.uint8).reshape(15, 20)
    for number, channel in enumerate(CHANNELS):
        tifffile.imwrite(tmp_path / "image.tif", pixels + number)
        bucket.put(f"planes/A01_s1_{channel}.tif", (tmp_path / "image.tif").read_bytes())
    plate = open_plate(ObjectPath(f"{bucket.url}/planes"))
    proxy.gate, proxy.gated = threading.Barrier(len(CHANNELS)), "A01_s1"
    found = FieldReader.of(plate).read_whole(plate.fields[0], plate.channels)
    assert not proxy.alone
    assert np.array_equal(found, [pixels + number for number in range(len(CHANNELS))])


def test_headers_are_fetched_sixteen_at_once(bucket: Bucket, proxy: FaultProxy, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "image.tif", np.ones((40, 40), np.uint8))
    for number in range(1, 17):
        bucket.put(f"headers/A{number:02d}_s1_DAPI.tif", (tmp_path / "image.tif").read_bytes())
    proxy.gate, proxy.gated = threading.Barrier(16), "_s1_"
    plate = open_plate(ObjectPath(f"{bucket.url}/headers"))
    assert not proxy.alone
    assert not any(field.problem for field in plate.fields)


def test_the_wells_of_an_ome_zarr_are_read_at_once(bucket: Bucket, proxy: FaultProxy, tmp_path: Path) -> None:
    address = bucket.upload(write_zarr(tmp_path / "p.zarr"), "wells/p.zarr")
    proxy.gate, proxy.gated = threading.Barrier(len(WELLS)), r"GET .*/[AB]/[12]/zarr\.json"
    plate = open_plate(ObjectPath(address))
    assert not proxy.alone
    assert len(plate.fields) == len(WELLS)


def test_a_field_of_an_ome_zarr_takes_a_request_for_each_document_and_chunk(
    proxy: FaultProxy, plate_of_zarr: Plate
) -> None:
    assert sum("/A/1/" in request for request in proxy.requests) <= 6
    proxy.requests.clear()
    field = plate_of_zarr.fields[0]
    assert (FieldReader.of(plate_of_zarr).read_whole(field, plate_of_zarr.channels) == 7).all()
    image = "/screens/ahead/p.zarr/A/1/0"
    assert proxy.requests == [
        f"GET {image}/zarr.json",
        f"GET {image}/0/zarr.json",
        f"GET {image}/0/c/0/0/0",
        f"GET {image}/0/c/1/0/0",
        f"HEAD {image}/zarr.json",  # whether it has changed
    ]


def test_an_ome_zarr_that_changes_in_mid_run_fails_its_field(bucket: Bucket, plate_of_zarr: Plate) -> None:
    key = "ahead/p.zarr/A/1/0/zarr.json"
    bucket.put(key, bucket.content()[key] + b" ")
    with pytest.raises(ImageUnavailable, match="has changed since the run was planned"):
        FieldReader.of(plate_of_zarr).read_whole(plate_of_zarr.fields[0], plate_of_zarr.channels)
