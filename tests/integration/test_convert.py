"""``nucbatch convert`` on a real local cluster: every plane of the input is where the metadata say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import numpy as np
import ome_zarr_models
import pandas as pd
import pytest
import tifffile
import zarr
from click.testing import CliRunner, Result
from fault_proxy import faulty
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from s3_server import KEY, SECRET, Bucket

from nucbatch.cli.main import nucbatch
from nucbatch.core.errors import InputError, SettingsConflict, StoreError
from nucbatch.core.selection import Selection
from nucbatch.execution.conversion_forecast import forecast
from nucbatch.object_store import ObjectPath
from nucbatch.object_store.writing import delete
from nucbatch.readers.find import open_plate
from nucbatch.store.remote.ledger import RemoteLedger
from nucbatch.store.remote.lock import remote_lock

pytestmark = pytest.mark.slow

PATTERN = r"(?P<well>[A-H]\d\d)_s(?P<site>\d)_t(?P<t>\d)_z(?P<z>\d)_(?P<channel>\w+)\.tif"


def run(source: Path, out: Path | str, *options: str) -> Result:
    options = ("--workers", "1", *options)
    return CliRunner().invoke(nucbatch, ["convert", str(source), "-o", str(out), *options])


def plane(well: str, site: int, t: int, z: int, channel: str) -> np.ndarray:
    """A picture that no other plane of the plate has."""
    seed = [ord(letter) for letter in f"{well}{site}{t}{z}{channel}"]
    return np.random.default_rng(seed).integers(1, 60_000, (70, 90), np.uint16)


def write(folder: Path, *planes: tuple[str, int, int, int, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for well, site, t, z, channel in planes:
        path = folder / f"{well}_s{site}_t{t}_z{z}_{channel}.tif"
        tifffile.imwrite(path, plane(well, site, t, z, channel))
    return folder


WHOLE = [
    (well, site, t, z, channel)
    for well in ("B02", "C05")
    for site in (1, 2)
    for t in (0, 1)
    for z in (0, 1, 2)
    for channel in ("DAPI", "GFP")
]


def files(out: Path) -> dict[str, bytes]:
    beside = out.with_suffix(".convert")
    return {
        str(path.relative_to(out.parent)): path.read_bytes()
        for path in (*out.rglob("*"), beside / "images.csv", beside / "files.csv")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("in") / "plate", *WHOLE)


@pytest.fixture(scope="module")
def at_once(plate: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "plate.zarr"
    done = run(plate, out, "--pattern", PATTERN, "--pixel-size", "0.5")
    assert done.exit_code == 0, done.output
    assert "4 images: 4 converted; files: 48 used, 0 ignored, 0 quarantined" in done.output
    return out


def test_a_dry_run_tells_and_writes_nothing(plate: Path, tmp_path: Path) -> None:
    given = "--pattern", PATTERN, "--dry-run", "--wells", "B02"
    shown = run(plate, tmp_path / "plate.zarr", *given)
    assert shown.exit_code == 0, shown.output
    assert "2 images of 4 fields, 0.0 GiB with their pyramids" in shown.output
    assert "1 worker process" in shown.output
    assert list(tmp_path.iterdir()) == []
    expected = forecast(
        open_plate(plate, pattern=PATTERN), tmp_path / "plate.zarr", selection=Selection.parse(wells="B02")
    )
    assert expected.stored_bytes == 2 * (2 * 2 * 3 * 70 * 90) * 2 * 4 // 3
    assert "lies in the input" in str(run(plate, plate / "plate.zarr", *given).exception)


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_every_plane_is_at_its_time_channel_and_z_step(
    plate: Path, at_once: Path, tmp_path: Path, version: str
) -> None:
    out = at_once
    if version == "0.4":
        out = tmp_path / "plate.zarr"
        assert (
            run(plate, out, "--pattern", PATTERN, "--pixel-size", "0.5", "--ome-zarr", "0.4").exit_code == 0
        )
    root = zarr.open_group(out, mode="r")
    assert root.metadata.zarr_format == (3 if version == "0.5" else 2)
    for place, well, site in (("B/2/1", "B02", 1), ("C/5/2", "C05", 2)):
        pixels = np.asarray(root[f"{place}/0"])
        assert pixels.shape == (2, 2, 3, 70, 90)
        assert np.asarray(root[f"{place}/1"]).shape == (2, 2, 3, 35, 45)
        for t, c, z in np.ndindex(2, 2, 3):
            assert (pixels[t, c, z] == plane(well, site, t, z, ("DAPI", "GFP")[c])).all()
    described = root["B/2/1"].attrs.asdict()
    (image,) = described.get("ome", described)["multiscales"]
    assert "".join(axis["name"] for axis in image["axes"]) == "tczyx"
    assert image["datasets"][1]["coordinateTransformations"][0]["scale"] == [1.0, 1.0, 1.0, 1.0, 1.0]


def test_the_models_and_the_reference_reader_open_it(at_once: Path) -> None:
    root = zarr.open_group(at_once, mode="r")
    assert type(ome_zarr_models.open_ome_zarr(root)).__name__ == "HCS"
    assert type(ome_zarr_models.open_ome_zarr(root["C/5/1"])).__name__ == "Image"
    location = parse_url(at_once / "C/5/1")
    assert location is not None
    (node,) = [node for node in Reader(location)() if node.data]
    assert node.data[0].shape == (2, 2, 3, 70, 90)
    assert node.metadata["channel_names"] == ["DAPI", "GFP"]


def test_zarr_itself_writes_the_same_documents_and_chunks(at_once: Path, tmp_path: Path) -> None:
    stored = zarr.open_array(at_once / "B/2/1/0", mode="r")
    document = json.loads((at_once / "B/2/1/0/zarr.json").read_bytes())
    copy = zarr.create_array(
        tmp_path / "copy",
        shape=stored.shape,
        dtype=stored.dtype,
        chunks=(1, 1, 1, 70, 90),
        shards=(1, 2, 1, 70, 90),
        compressors=stored.compressors,
        fill_value=0,
        chunk_key_encoding={"name": "default", "separator": "."},
        dimension_names=tuple("tczyx"),
    )
    copy[...] = stored[...]
    assert json.loads((tmp_path / "copy" / "zarr.json").read_bytes()) | {"attributes": {}} == document
    names = {path.name for path in (tmp_path / "copy").iterdir()}
    assert names == {path.name for path in (at_once / "B/2/1/0").iterdir()}
    for name in names - {"zarr.json"}:
        assert (tmp_path / "copy" / name).read_bytes() == (at_once / "B/2/1/0" / name).read_bytes()


def test_part_by_part_killed_and_continued_gives_the_bytes_of_the_whole(
    plate: Path, at_once: Path, tmp_path: Path
) -> None:
    out = tmp_path / "plate.zarr"
    options = ["--pattern", PATTERN, "--pixel-size", "0.5"]
    part = run(plate, out, *options, "--wells", "B", "--times", "1")
    assert part.exit_code == 0, part.output
    assert "2 converted, 2 not selected" in part.output
    assert zarr.open_array(out / "B/2/1/0", mode="r").shape == (2, 2, 3, 70, 90)
    command = ["convert", str(plate), "-o", str(out), "--workers", "1", *options]
    process = subprocess.Popen([sys.executable, "-m", "nucbatch", *command], start_new_session=True)
    ledger = tmp_path / "plate.convert" / ".nucbatch" / "ledger.jsonl"
    lines = len(ledger.read_bytes().splitlines())
    while process.poll() is None and len(ledger.read_bytes().splitlines()) < lines + 2:
        pass
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (out / "B" / f"zarr.{uuid4().hex}.partial").write_text("half")
    assert run(plate, out, *options).exit_code == 0
    assert files(out) == files(at_once)


def test_what_is_damaged_on_disk_is_written_again_and_nothing_else(
    plate: Path, at_once: Path, tmp_path: Path
) -> None:
    out = tmp_path / "plate.zarr"
    options = ["--pattern", PATTERN, "--pixel-size", "0.5"]
    assert run(plate, out, *options).exit_code == 0
    ledger = tmp_path / "plate.convert" / ".nucbatch" / "ledger.jsonl"
    lines = len(ledger.read_bytes().splitlines())
    (out / "B/2/1/0/c.1.0.2.0.0").write_bytes(b"junk")
    (out / "C/5/1/zarr.json").unlink()
    assert run(plate, out, *options).exit_code == 0
    assert files(out) == files(at_once)
    assert len(ledger.read_bytes().splitlines()) == lines + 2


def test_blocks_of_a_large_image_give_the_same_bytes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2500, 2600), np.uint8)
    tifffile.imwrite(tmp_path / "slide.tif", pixels, tile=(256, 256))
    whole, cut = tmp_path / "whole.zarr", tmp_path / "cut.zarr"
    assert run(tmp_path / "slide.tif", whole, "--block-size", "4096").exit_code == 0
    assert run(tmp_path / "slide.tif", cut, "--block-size", "256").exit_code == 0
    assert (np.asarray(zarr.open_array(cut / "slide/0", mode="r"))[0] == pixels).all()
    one, other = (
        {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        for out in (whole, cut)
    )
    assert one == other


def test_planes_that_are_not_there_are_counted_and_damaged_files_are_quarantined(tmp_path: Path) -> None:
    source = write(tmp_path / "plate", *WHOLE)
    (source / "B02_s1_t0_z1_GFP.tif").unlink()  # one plane of a stack
    (source / "C05_s2_t1_z0_DAPI.tif").write_bytes(b"II*\0")
    out = tmp_path / "plate.zarr"
    done = run(source, out, "--pattern", PATTERN)
    assert done.exit_code == 3, done.output
    listed = pd.read_csv(tmp_path / "plate.convert" / "files.csv").set_index("path")
    assert len(listed) == 47
    assert listed.loc["C05_s2_t1_z0_DAPI.tif", "status"] == "quarantined"
    images = pd.read_csv(tmp_path / "plate.convert" / "images.csv").set_index("image")
    assert images.loc["B/2/1", ["status", "absent_planes"]].tolist() == ["converted", 1]
    pixels = np.asarray(zarr.open_array(out / "B/2/1/0", mode="r"))
    assert not pixels[0, 1, 1].any()
    assert (pixels[0, 0, 1] == plane("B02", 1, 0, 1, "DAPI")).all()


def test_pixels_that_prove_damaged_cost_their_plane_alone(tmp_path: Path) -> None:
    source = write(tmp_path / "plate", *((*one[:4], one[4]) for one in WHOLE if one[0] == "B02"))
    bad = source / "B02_s1_t1_z2_GFP.tif"
    tifffile.imwrite(bad, plane("B02", 1, 1, 2, "GFP"), compression="zlib")
    content = bytearray(bad.read_bytes())
    with tifffile.TiffFile(bad) as tiff:
        offset = tiff.pages[0].dataoffsets[0]
    content[offset + 100 : offset + 200] = bytes(100)
    bad.write_bytes(content)
    out = tmp_path / "plate.zarr"
    for _ in range(2):  # the second session finds everything done, and says the same
        done = run(source, out, "--pattern", PATTERN)
        assert done.exit_code == 3, done.output
        listed = pd.read_csv(tmp_path / "plate.convert" / "files.csv").set_index("path")
        assert listed.loc[bad.name, "status"] == "quarantined"
        images = pd.read_csv(tmp_path / "plate.convert" / "images.csv").set_index("image")
        assert images.loc["B/2/1", ["status", "absent_planes"]].tolist() == ["converted", 1]
    pixels = np.asarray(zarr.open_array(out / "B/2/1/0", mode="r"))
    assert not pixels[1, 1, 2].any()
    assert (pixels[1, 0, 2] == plane("B02", 1, 1, 2, "DAPI")).all()


def test_fields_of_a_site_that_differ_are_images_of_their_own(tmp_path: Path) -> None:
    source = write(tmp_path / "plate", ("B02", 1, 0, 0, "DAPI"), ("B02", 1, 1, 0, "DAPI"))
    tifffile.imwrite(source / "B02_s1_t1_z0_DAPI.tif", np.ones((50, 50), np.uint16))
    out = tmp_path / "plate.zarr"
    assert run(source, out, "--pattern", PATTERN).exit_code == 0
    assert zarr.open_array(out / "B/2/1t0/0", mode="r").shape == (1, 70, 90)
    assert zarr.open_array(out / "B/2/1t1/0", mode="r").shape == (1, 50, 50)


def test_a_converted_plate_gives_the_run_of_the_plate_itself(tmp_path: Path) -> None:
    source = write(tmp_path / "plate", *[one for one in WHOLE if one[2:4] == (0, 0)])
    out = tmp_path / "plate.zarr"
    assert run(source, out, "--pattern", PATTERN).exit_code == 0
    shown = CliRunner().invoke(nucbatch, ["inspect", str(out), "--json"])
    found = json.loads(shown.output)
    assert (sorted(found["wells"]), found["usable_fields"]) == (["B02", "C05"], 4)
    assert [channel["name"] for channel in found["channels"]] == ["DAPI", "GFP"]


def test_what_cannot_be_converted_is_refused_with_the_mend(
    plate: Path, at_once: Path, tmp_path: Path
) -> None:
    options = ["--pattern", PATTERN]
    for out, error, words in (
        (tmp_path / "plate", InputError, "ends in .zarr"),
        (plate / "plate.zarr", InputError, "lies in the input"),
        (at_once, SettingsConflict, "pixel_size_um: 0.5 → None"),
    ):
        refused = run(plate, out, *options)
        assert isinstance(refused.exception, error), refused.output
        assert words in str(refused.exception)
    foreign = tmp_path / "foreign.zarr"
    foreign.mkdir()
    refused = run(plate, foreign, *options)
    assert isinstance(refused.exception, StoreError)
    assert "was not written by nucbatch convert" in str(refused.exception)
    assert not (tmp_path / "foreign.convert").exists()


def test_z_steps_are_converted_also_where_a_projection_is_beside_them(tmp_path: Path) -> None:
    source = tmp_path / "plate" / "TimePoint_1"
    for step in range(3):  # step 0 is the projection
        folder = source / f"ZStep_{step}"
        folder.mkdir(parents=True)
        tifffile.imwrite(folder / "p_B02_s1_w1.tif", np.full((40, 50), 100 * step + 7, np.uint16))
    out = tmp_path / "plate.zarr"
    assert run(tmp_path / "plate", out).exit_code == 0
    pixels = np.asarray(zarr.open_array(out / "B/2/1/0", mode="r"))
    assert pixels.shape == (1, 2, 40, 50)
    assert pixels[0, :, 0, 0].tolist() == [107, 207]
    listed = pd.read_csv(tmp_path / "plate.convert" / "files.csv").set_index("path")
    assert listed.loc["TimePoint_1/ZStep_0/p_B02_s1_w1.tif", "reason"].startswith("projection: ")


def test_a_conversion_to_a_store_is_that_to_a_folder(
    bucket: Bucket, plate: Path, at_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, options = ObjectPath("s3://screens/made/plate.zarr"), ("--pattern", PATTERN, "--pixel-size", "0.5")

    def made() -> dict[str, bytes]:
        found = {key: one for key, one in bucket.content().items() if "/.nucbatch" not in key}
        start = "made/"
        return {key.removeprefix(start): one for key, one in found.items() if key.startswith(start)}

    with faulty(bucket.address) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        proxy.faults[:] = ["", "", "503", "", "lost", "", "", "truncated", "", "cut", "reset", "", "429"] * 3
        done = run(plate, str(out), *options, "--work", str(tmp_path / "one"))
        assert done.exit_code == 0, done.output
        assert not proxy.faults
        assert made() == files(at_once)
        assert not list((tmp_path / "one").iterdir())

        # As if it had been killed before it committed the last image, and its machine were lost.
        beside = out.with_suffix(".convert")
        ledger = RemoteLedger.found(beside)
        assert ledger is not None
        last = f"{ledger.parts - 1:08d}.jsonl"
        delete(bucket.url, [key for key in bucket.content() if key.endswith(last)])
        proxy.requests.clear()
        done = run(plate, str(out), *options, "--work", str(tmp_path / "two"))
        assert done.exit_code == 0, done.output
        written = [one.split("/plate.zarr/") for one in proxy.requests if one.startswith("PUT")]
        names = [one[1].split("/") for one in written if len(one) == 2]
        images = {"/".join(name[:3]) for name in names if len(name) > 3}
        assert len(images) == 1
        assert made() == files(at_once)
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.address)
    with remote_lock(beside):
        assert "is in use by process" in str(run(plate, str(out), *options).exception)
    content = b"".join(bucket.content().values())
    assert KEY.encode() not in content
    assert SECRET.encode() not in content
