"""``run --in-place``: labels inside an OME-Zarr of the lab's, whose own files stay as they are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import numpy as np
import ome_zarr_models
import pytest
import tifffile
import zarr
from click.testing import CliRunner, Result

from nucbatch.cli.main import nucbatch
from nucbatch.core.errors import InputError, StoreError
from nucbatch.synthetic import make_plate
from nucbatch.synthetic.field import make_field

pytestmark = pytest.mark.slow


def run(source: Path, out: Path, *options: str) -> Result:
    arguments = ["run", str(source), "-o", str(out), "--workers", "1", *options]
    return CliRunner().invoke(nucbatch, arguments)


def converted(folder: Path, version: str) -> Path:
    """A plate of three wells as OME-Zarr, with labels of another kind in one image."""
    plate, store = folder / "plate", folder / "lab.zarr"
    make_plate(plate, wells=("B02", "B03", "C03"), sites=1, size_px=256, empty_well=None, truncated=False)
    options = ["-o", str(store), "--ome-zarr", version, "--workers", "1"]
    done = CliRunner().invoke(nucbatch, ["convert", str(plate), *options])
    assert done.exit_code == 0, done.output
    root = zarr.open_group(store, mode="r+")
    cells = root.create_group("B/2/1/labels").create_group("cells")
    cells.create_array("0", shape=(256, 256), dtype="u4")[:] = 5
    listed = {"labels": ["cells"]}
    root["B/2/1/labels"].attrs.update(
        listed | {"by": "hand"} if version == "0.4" else {"ome": {"version": "0.5"} | listed, "by": "hand"}
    )
    return store


def contents(store: Path) -> dict[str, bytes]:
    return {
        path.relative_to(store).as_posix(): path.read_bytes() for path in store.rglob("*") if path.is_file()
    }


def is_ours(path: str) -> bool:
    return "/labels/nuclei/" in path or (
        path.split("/")[-2] == "labels" and path.split("/")[-1] in ("zarr.json", ".zgroup", ".zattrs")
    )


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_labels_are_those_of_a_usual_run_and_nothing_else_is_touched(tmp_path: Path, version: str) -> None:
    store = converted(tmp_path, version)
    before = contents(store)
    out, usual = tmp_path / "out", tmp_path / "usual"
    done = run(store, out, "--channel", "DAPI", "--in-place")
    assert done.exit_code == 0, done.output
    after = contents(store)
    assert all(is_ours(path) for path in set(after) - set(before))
    assert [path for path in before if before[path] != after[path]] == [
        "B/2/1/labels/.zattrs" if version == "0.4" else "B/2/1/labels/zarr.json"
    ]
    assert not (out / "plate.zarr").exists()
    assert run(store, usual, "--channel", "DAPI").exit_code == 0
    for table in ("nuclei.parquet", "fields.parquet", "wells.csv", "files.csv"):
        assert (out / table).read_bytes() == (usual / table).read_bytes()
    root = zarr.open_group(store, mode="r")
    for path in ("B/2/1", "B/3/1", "C/3/1"):
        labels = np.asarray(root[f"{path}/labels/nuclei/0"])
        kept = zarr.open_array(usual / "plate.zarr" / path / "labels/nuclei/0", mode="r")
        assert labels.any()
        assert (labels == np.asarray(kept)).all()
        if path != "B/2/1":  # whose labels "cells" are no whole image
            assert type(ome_zarr_models.open_ome_zarr(root[path])).__name__ == "Image"
    attributes = root["B/2/1/labels"].attrs.asdict()
    assert (attributes.get("ome", attributes)["labels"], attributes["by"]) == (["cells", "nuclei"], "hand")
    (image,), (nuclei,) = (
        described.get("ome", described)["multiscales"]
        for described in (root[path].attrs.asdict() for path in ("B/3/1", "B/3/1/labels/nuclei"))
    )
    for one, other in zip(image["datasets"], nuclei["datasets"], strict=True):
        for mine, theirs in zip(
            one["coordinateTransformations"], other["coordinateTransformations"], strict=True
        ):
            assert mine[mine["type"]][1:] == pytest.approx(theirs[theirs["type"]])
    again = run(store, out, "--channel", "DAPI", "--in-place", "--verify")
    assert again.exit_code == 0
    assert "all are unchanged" in again.output
    scored = CliRunner().invoke(nucbatch, ["score", str(store), "--gt", str(usual)])
    unscored = CliRunner().invoke(nucbatch, ["score", str(out), "--gt", str(usual)])
    assert scored.exit_code == 0, scored.output
    assert isinstance(unscored.exception, InputError)
    assert "in the images of its input" in str(unscored.exception)
    assert contents(store) == after


def test_killed_damaged_and_restarted_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    store = converted(tmp_path, "0.5")
    before, out = contents(store), tmp_path / "out"
    options = ["--channel", "DAPI", "--in-place"]
    command = ["run", str(store), "-o", str(out), "--workers", "1", *options]
    process = subprocess.Popen([sys.executable, "-m", "nucbatch", *command], start_new_session=True)
    ledger = out / ".nucbatch" / "ledger.jsonl"
    while process.poll() is None and not (ledger.exists() and len(ledger.read_bytes().splitlines()) > 1):
        time.sleep(0.01)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert run(store, out, *options).exit_code == 0
    first = contents(store)
    (store / "C/3/1/labels/nuclei" / f"zarr.{uuid4().hex}.partial").write_text("half")
    (store / "C/3/1/labels/nuclei/0/c.0.0").unlink()
    assert run(store, out, *options).exit_code == 0
    assert contents(store) == first
    assert run(store, out, *options, "--foreground", "0.8", "--restart").exit_code == 0
    other = contents(store)
    assert other != first
    assert {path: content for path, content in other.items() if path in before and "labels" not in path} == {
        path: content for path, content in before.items() if "labels" not in path
    }
    assert other["B/2/1/labels/cells/zarr.json"] == before["B/2/1/labels/cells/zarr.json"]


def test_labels_of_others_are_never_overwritten(tmp_path: Path) -> None:
    store = converted(tmp_path, "0.5")
    drawn = zarr.open_group(store, mode="r+").create_group("C/3/1/labels/nuclei")
    drawn.create_array("0", shape=(4, 4), dtype="u4")
    before = contents(store)
    refused = run(store, tmp_path / "out", "--channel", "DAPI", "--in-place")
    assert isinstance(refused.exception, StoreError)
    assert "C/3/1/labels/nuclei exists, and was not made by a run in place" in str(refused.exception)
    assert contents(store) == before
    assert run(store, tmp_path / "out", "--channel", "DAPI", "--in-place", "--wells", "B").exit_code == 0
    other = run(
        store, tmp_path / "second", "--channel", "DAPI", "--in-place", "--wells", "B", "--foreground", "0.8"
    )
    assert "was made by a run with other settings" in str(other.exception)


def test_a_large_image_in_blocks_has_the_labels_of_one_block(tmp_path: Path) -> None:
    pixels, _ = make_field(600, np.random.default_rng(0), nuclei=60, channels=1)
    tifffile.imwrite(tmp_path / "slide.tif", pixels[0])
    store, out = tmp_path / "slide.zarr", tmp_path / "out"
    assert (
        CliRunner().invoke(nucbatch, ["convert", str(tmp_path / "slide.tif"), "-o", str(store)]).exit_code
        == 0
    )
    image, before = store / "slide", contents(store)
    done = run(image, out, "--in-place", "--block-size", "256")
    assert done.exit_code == 0, done.output
    usual = tmp_path / "usual"
    assert run(image, usual, "--block-size", "2048").exit_code == 0
    (kept,) = (usual / "images.zarr").glob("*/labels/nuclei/0")
    labels = zarr.open_array(image / "labels/nuclei/0", mode="r")
    assert (np.asarray(labels) == np.asarray(zarr.open_array(kept, mode="r"))).all()
    assert (out / "nuclei.parquet").read_bytes() == (usual / "nuclei.parquet").read_bytes()
    assert all(before[path] == content for path, content in contents(store).items() if path in before)
    assert not list((out / ".nucbatch").rglob("image.zarr")), "the copy that blocks are read from is gone"
    listed = json.loads((image / "labels/zarr.json").read_bytes())["attributes"]["ome"]["labels"]
    assert listed == ["nuclei"]


def test_what_cannot_hold_labels_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.eye(40, dtype=np.uint8))
    store = converted(tmp_path, "0.5")
    before = contents(store)
    for source, options, words in (
        (tmp_path / "a.tif", [], "is none: leave it out, or convert the input"),
        (store, ["--labels", "tiff"], "exclude each other"),
        (store, ["--ome-zarr", "0.4"], "is OME-Zarr 0.5, and labels in it can't be 0.4"),
        (store, ["--pixel-size", "0.3"], "another scale than their image"),
    ):
        channel = ["--channel", "DAPI"] if source == store else []
        refused = run(source, tmp_path / "out", "--in-place", *channel, *options)
        assert isinstance(refused.exception, InputError), refused.output
        assert words in str(refused.exception)
    assert contents(store) == before
    assert not (tmp_path / "out").exists()
