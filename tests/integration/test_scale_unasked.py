"""Large nuclei through the command line, without --diameter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from nucbatch.cli.main import nucbatch
from nucbatch.scoring import object_counts
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stored_images import read_labels
from nucbatch.synthetic import make_field

pytestmark = pytest.mark.slow


def run(source: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(nucbatch, ["run", str(source), "-o", str(out), "--workers", "1", *options])


def draw(path: Path, enlarged: int, seed: int, side: int = 640) -> NDArray[np.uint32]:
    """Writes drawn nuclei of 25 px, enlarged; the truth."""
    images, truth = make_field(side // enlarged, np.random.default_rng(seed), nuclei=28 // enlarged)
    plane = images[0].repeat(enlarged, axis=0).repeat(enlarged, axis=1).astype(np.float32)
    tifffile.imwrite(path, gaussian_filter(plane, 0.6 * (enlarged - 1)).astype(np.uint16))
    return truth.repeat(enlarged, axis=0).repeat(enlarged, axis=1)


def settings_of(out: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((out / "run.json").read_text())["settings"]
    return settings


def test_each_image_of_a_folder_is_seen_at_its_own_scale(tmp_path: Path) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir()
    truths = {name: draw(folder / f"{name}.tif", enlarged, 7) for name, enlarged in (("a", 1), ("b", 4))}
    result = run(folder, out)
    assert result.exit_code == 0, result.output
    assert "1 field rescaled for the model" in result.output
    fields = pd.read_parquet(out / "fields.parquet").set_index("Name")
    assert fields.loc["a", "QC_Zoom"] == 1
    assert fields.loc["b", "QC_Zoom"] == pytest.approx(0.19, abs=0.03)
    assert fields.loc["b", "QC_NuclearDiameter"] == pytest.approx(100, abs=15)
    for name, truth in truths.items():
        labels = read_labels(RunFolder(out), str(fields.loc[name, "Metadata_Image"]))
        assert object_counts(truth, np.asarray(labels)).f1(0.5) > 0.8
    blocks = run(folder, tmp_path / "blocks", "--block-size", "256")
    assert blocks.exit_code == 0, blocks.output
    assert pd.read_parquet(tmp_path / "blocks" / "nuclei.parquet").equals(
        pd.read_parquet(out / "nuclei.parquet")
    )
    assert pd.read_parquet(tmp_path / "blocks" / "fields.parquet").equals(
        pd.read_parquet(out / "fields.parquet")
    )


def test_a_plate_keeps_its_diameter_and_flags_fields_that_differ(tmp_path: Path) -> None:
    folder, out = tmp_path / "plate", tmp_path / "out"
    folder.mkdir()
    for number in range(1, 4):
        draw(folder / f"A{number:02d}_DAPI.tif", 4, number)
    options = ("--pattern", r"(?P<well>[A-H]\d+)_(?P<channel>\w+)\.tif")
    first = run(folder, out, *options)
    assert first.exit_code == 0, first.output
    begun = settings_of(out)
    assert begun["diameter_px"] == "auto"
    assert begun["plate_diameter_px"] == pytest.approx(100, abs=15)
    for number in range(4, 8):  # most fields are now of small nuclei, and the diameter stays
        draw(folder / f"A{number:02d}_DAPI.tif", 1, number)
    second = run(folder, out, *options)
    assert second.exit_code == 0, second.output
    assert settings_of(out) == begun
    fields = pd.read_parquet(out / "fields.parquet")
    assert fields["QC_Zoom"].nunique() == 1
    flagged = ["other-scale" in flags for flags in fields["Flags"]]
    assert flagged[:3] == [False] * 3
    assert sum(flagged[3:]) >= 3  # in one field, clumps of small nuclei are as large as the plate's may be
    assert f"{sum(flagged)} fields flagged other-scale" in second.output.replace("\n", " ")
    other = run(folder, out, *options, "--diameter", "none")
    assert other.exit_code != 0
    assert "diameter_px: auto → none" in str(other.exception)
