"""Large images through the command line, on a real local Dask cluster, with the shipped model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from click.testing import CliRunner, Result

from nucbatch.cli.main import nucbatch
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stored_images import read_labels
from nucbatch.synthetic import make_field

pytestmark = pytest.mark.slow


def run(picture: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(nucbatch, ["run", str(picture), "-o", str(out), *options])


def results(out: Path) -> dict[str, bytes]:
    """All that a run leaves but for the account of how it ran."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".nucbatch" not in path.parts and path.name not in ("run.json", "report.html")
    }


def lines(record: Path) -> int:
    return len(record.read_bytes().splitlines()) if record.exists() else 0


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,250 by 1,100 px: a field of drawn nuclei, and its mirror image, so that some lie on each seam."""
    images, _ = make_field(640, np.random.default_rng(8), nuclei=90, channels=1)
    field = images[0].astype(np.uint16)
    whole = np.block([[field, field[:, ::-1]], [field[::-1], field[::-1, ::-1]]])[:1250, :1100]
    path = tmp_path_factory.mktemp("large") / "slide.tif"
    tifffile.imwrite(path, whole, tile=(256, 256), compression="zlib")
    return path


@pytest.fixture(scope="module")
def expected(picture: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "out"
    result = run(picture, out, "--workers", "1")
    assert result.exit_code == 0, result.output
    assert "cut into" not in result.output
    return results(out)


@pytest.mark.parametrize(("block_px", "workers"), [(256, 2), (512, 4), (1024, 1)])
def test_no_block_size_and_no_number_of_workers_moves_a_byte(
    picture: Path, expected: dict[str, bytes], tmp_path: Path, block_px: int, workers: int
) -> None:
    result = run(picture, tmp_path / "out", "--block-size", str(block_px), "--workers", str(workers))
    assert result.exit_code == 0, result.output
    assert f"blocks of {block_px} px" in result.output
    assert results(tmp_path / "out") == expected


def test_killed_on_the_way_the_same_command_ends_with_the_same_bytes(
    picture: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "nucbatch", "run", str(picture), "-o", str(out), "--block-size", "256"]
    units = out / ".nucbatch/scratch/slide/units.txt"
    for least in (3, 12):
        # start_new_session: the whole group is killed, workers and all
        process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
        while process.poll() is None and not (
            units.exists() and len(units.read_bytes().splitlines()) > least
        ):
            time.sleep(0.02)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert lines(units) > 12
    result = run(picture, out, "--block-size", "256")
    assert result.exit_code == 0, result.output
    assert results(out) == expected


def test_other_thresholds_need_no_network(picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(picture, out, "--block-size", "512").exit_code == 0
    refused = run(picture, out, "--block-size", "512", "--foreground", "0.7")
    assert refused.exit_code == 1
    assert "--restart" in str(refused.exception)
    again = run(picture, out, "--block-size", "512", "--foreground", "0.7", "--reuse-probabilities")
    assert again.exit_code == 0, again.output
    assert "predicting" not in again.output
    fresh = run(picture, tmp_path / "fresh", "--block-size", "512", "--foreground", "0.7")
    assert fresh.exit_code == 0, fresh.output
    assert results(out) == results(tmp_path / "fresh")
    other_model = run(picture, out, "--diameter", "30", "--reuse-probabilities", "--block-size", "512")
    assert "diameter_px" in str(other_model.exception)


def test_probabilities_that_are_not_there_cannot_be_reused(picture: Path, tmp_path: Path) -> None:
    refused = run(picture, tmp_path / "out", "--reuse-probabilities")
    assert "has no stored probabilities" in str(refused.exception)


def test_small_fields_and_a_large_image_in_one_folder(picture: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    whole = tifffile.imread(picture)
    tifffile.imwrite(folder / "large.tif", whole)
    tifffile.imwrite(folder / "small.tif", whole[:400, :400])
    (folder / "broken.tif").write_bytes((folder / "large.tif").read_bytes()[:5000])
    result = run(folder, tmp_path / "out", "--block-size", "512", "--labels", "both")
    assert result.exit_code == 3, result.output
    fields = pd.read_parquet(tmp_path / "out/fields.parquet").set_index("Name")
    assert fields.loc["large", "Count_Nuclei"] > fields.loc["small", "Count_Nuclei"] > 0
    labels = read_labels(RunFolder(tmp_path / "out"), "large")
    np.testing.assert_array_equal(labels, tifffile.imread(tmp_path / "out/labels/large.tif"))


def test_version_0_4_holds_the_same_pixels_in_blocks_and_at_once(picture: Path, tmp_path: Path) -> None:
    """In Zarr 2 a chunk holds all channels, and each is a file of its own."""
    usual, whole, cut = (tmp_path / name for name in ("usual", "whole", "cut"))
    assert run(picture, usual, "--block-size", "2048").exit_code == 0
    assert run(picture, whole, "--block-size", "2048", "--ome-zarr", "0.4").exit_code == 0
    killed = ["run", str(picture), "-o", str(cut), "--block-size", "256", "--ome-zarr", "0.4"]
    process = subprocess.Popen([sys.executable, "-m", "nucbatch", *killed], start_new_session=True)
    units = cut / ".nucbatch/scratch/slide/units.txt"
    while process.poll() is None and not (units.exists() and len(units.read_bytes().splitlines()) > 12):
        time.sleep(0.02)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert run(picture, cut, "--block-size", "256", "--ome-zarr", "0.4").exit_code == 0
    assert results(whole) == results(cut)
    assert (cut / "nuclei.parquet").read_bytes() == (usual / "nuclei.parquet").read_bytes()
    assert not list((cut / "images.zarr").rglob("zarr.json"))
    for path in ("slide/0", "slide/1", "slide/labels/nuclei/0", "slide/labels/nuclei/1"):
        one, other = (zarr.open_array(out / "images.zarr" / path, mode="r") for out in (usual, cut))
        assert (np.asarray(one) == np.asarray(other)).all()
    assert (
        "predicting" not in run(picture, cut, "--block-size", "256", "--ome-zarr", "0.4", "--verify").output
    )
    refused = run(picture, cut, "--block-size", "256")
    assert "ome_zarr: 0.4 → 0.5" in str(refused.exception)
    assert run(picture, cut, "--block-size", "256", "--restart").exit_code == 0
    assert results(cut) == results(usual)
