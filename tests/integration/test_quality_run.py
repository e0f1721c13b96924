"""A run flags the fields into which defects were drawn, everywhere, and says where its limits come from."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner
from scipy.ndimage import gaussian_filter

from nucbatch.cli.main import nucbatch
from nucbatch.features.quality_limits import FEWEST_FIELDS, RULES
from nucbatch.store.run_folder import RunFolder
from nucbatch.synthetic import make_field

ROOT = Path(__file__).parents[2]
SIDE, CLEAN = 256, 9


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wells A01 to A09 are clean; A10 is blurred, A11 is overexposed, and A12 has no nuclei."""
    folder = tmp_path_factory.mktemp("plate")
    for column in range(1, CLEAN + 4):
        images, _ = make_field(SIDE, np.random.default_rng(column), nuclei=20, channels=1)
        pixels = images[0].astype(float)
        noise = np.random.default_rng(column).normal(0, 6, pixels.shape)
        if column == 10:
            pixels = gaussian_filter(pixels, 3) + noise
        elif column == 11:
            pixels = np.minimum(pixels * 4, 4095)
        elif column == 12:
            pixels = np.median(pixels) + noise
        tifffile.imwrite(folder / f"p_A{column:02}_s1_DAPI.tif", np.rint(pixels).astype(np.uint16))
    return folder


def run(plate: Path, out: Path, *options: str) -> tuple[RunFolder, str]:
    result = CliRunner().invoke(nucbatch, ["run", str(plate), "-o", str(out), "--workers", "1", *options])
    assert result.exit_code == 0, result.output
    return RunFolder(out), result.output


@pytest.mark.slow
def test_defects_are_flagged_in_every_table_and_clean_fields_are_not(plate: Path, tmp_path: Path) -> None:
    folder, output = run(plate, tmp_path / "out")
    flags = pd.read_parquet(folder.fields).set_index("Metadata_Well")["Flags"].to_dict()
    expected = {"A10": "blurred", "A11": "saturated", "A12": "few-nuclei"}
    for well, flag in expected.items():
        assert flag in flags[well].split("; ")
        assert re.search(rf"^1 field flagged {flag}: ", output, re.MULTILINE)
        assert flag in folder.report.read_text(encoding="utf-8")
    assert not any(text for well, text in flags.items() if well not in expected)
    wells = pd.read_csv(folder.wells, keep_default_na=False).set_index("Metadata_Well")["Flags"]
    assert "blurred (1)" in wells["A10"].split("; ")
    assert "Quality limits: from the fields of this run" in output
    quality = json.loads(folder.run_json.read_text(encoding="utf-8"))["quality"]
    assert quality["fields"] == CLEAN + 3
    fields = pd.read_parquet(folder.fields).set_index("Metadata_Well")
    assert fields.loc["A10", "QC_PowerSlope_Fine"] < quality["thresholds"]["QC_PowerSlope_Fine"]["low"]
    few, said = run(plate, tmp_path / "few", "--wells", "A01-A03,A12")
    assert "Quality limits: absolute, because there are fewer than 8 fields" in said
    assert pd.read_parquet(few.fields).set_index("Metadata_Well")["Flags"].to_dict()["A12"] == "few-nuclei"


def test_the_page_has_every_rule_with_its_limits() -> None:
    page = (ROOT / "docs/howto/quality.md").read_text(encoding="utf-8")
    for rule in RULES:
        side, beyond = ("lower", "below") if rule.sign < 0 else ("higher", "above")
        row = (
            f"| `{rule.flag}` | `{rule.column}` | {side} than the median by {rule.deviations:g} deviations | "
            f"{rule.margin:g} | {beyond} {rule.absolute:g} |"
        )
        assert row in page
    assert f"with fewer than {FEWEST_FIELDS} fields" in page
