"""Whole runs through the command line on a real GPU, by dask-cuda; skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner

from nucbatch.cli.main import nucbatch
from nucbatch.synthetic import make_field, make_plate

pytestmark = pytest.mark.gpu


pytest.importorskip("dask_cuda", reason="the extra [cuda] is not installed")


def results(source: Path, out: Path, *options: str) -> dict[str, bytes]:
    """All that a run leaves but for the account of how it ran."""
    command = ["run", str(source), "-o", str(out), "--scheduler", "cuda", *options]
    result = CliRunner().invoke(nucbatch, command)
    assert result.exit_code == 0, result.output
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".nucbatch" not in path.parts and path.name not in ("run.json", "report.html")
    }


def test_no_number_of_processes_moves_a_byte_of_a_plate(tmp_path: Path) -> None:
    plate = make_plate(tmp_path / "plate", wells=["B02", "B03", "C02"], sites=4, size_px=256, truncated=False)
    one = results(plate.plate_folder, tmp_path / "one", "--channel", "DAPI", "--workers", "1")
    several = results(plate.plate_folder, tmp_path / "several", "--channel", "DAPI", "--workers", "4")
    assert one == several
    found = pd.read_parquet(tmp_path / "one" / "fields.parquet")
    assert found["Count_Nuclei"].sum() == pytest.approx(sum(plate.counts().values()), rel=0.15)


def test_no_block_size_moves_a_byte_of_an_image(tmp_path: Path) -> None:
    images, _ = make_field(640, np.random.default_rng(8), nuclei=90, channels=1)
    field = images[0].astype(np.uint16)
    picture = tmp_path / "slide.tif"
    tifffile.imwrite(
        picture, np.block([[field, field[:, ::-1]], [field[::-1], field[::-1, ::-1]]]), tile=(256, 256)
    )
    whole = results(picture, tmp_path / "whole", "--precision", "fp16")
    for block_px, workers in ((256, 4), (512, 2)):
        out = tmp_path / f"blocks{block_px}"
        how = "--block-size", str(block_px), "--workers", str(workers), "--precision", "fp16"
        assert results(picture, out, *how) == whole
