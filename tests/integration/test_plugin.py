"""Extensions of another package work from the command line: those of ``tests/plugin``, if installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner

from nucbatch.cli.main import nucbatch
from nucbatch.synthetic.field import make_field

try:
    distribution("nucbatch-example")
except PackageNotFoundError:
    pytest.skip(
        "tests/plugin is not installed: pip install --no-deps ./tests/plugin", allow_module_level=True
    )


@pytest.mark.slow
def test_reader_scheduler_measurement_and_panel_of_another_package_are_used(tmp_path: Path) -> None:
    plate = tmp_path / "plate"
    plate.mkdir()
    (plate / "acme.plate").write_text("24 wells")
    images, labels = make_field(128, np.random.default_rng(3), nuclei=5)
    for stain, pixels in zip(("DAPI", "GFP"), images, strict=True):
        tifffile.imwrite(plate / f"acme_R02C03_F1_{stain}.tif", pixels)

    out = tmp_path / "out"
    arguments = ["run", str(plate), "-o", str(out), "--channel", "DAPI", "--scheduler", "one"]
    ended = CliRunner().invoke(nucbatch, arguments, catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    nuclei = pd.read_parquet(out / "nuclei.parquet")
    assert set(nuclei["Metadata_Well"]) == {"B03"}
    assert len(nuclei) == labels.max()
    assert nuclei["Nuclei_Compactness_SquareFilled"].between(0.3, 1).all()
    assert "Fewest nuclei" in (out / "report.html").read_text(encoding="utf-8")
