"""A run with --flatfield: corrected pixels give the same masks and measurements in any block size."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from click.testing import CliRunner
from golden.harmony import PROFILE, index, old_name, places

from nucbatch.cli.main import nucbatch
from nucbatch.core.errors import SettingsConflict
from nucbatch.core.tiles import Box
from nucbatch.readers.find import open_plate
from nucbatch.readers.pixels import FieldReader
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stored_images import read_labels
from nucbatch.synthetic import make_field

pytestmark = pytest.mark.slow

SIDE = 300
CURVED = (
    PROFILE.replace("16, 16", f"{SIDE}, {SIDE}")
    .replace("7.5, 7.5", f"{SIDE / 2 - 0.5}, {SIDE / 2 - 0.5}")
    .replace("0.0625, 0.0625", f"{1 / SIDE}, {1 / SIDE}")
)


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One field whose nuclei were darkened towards the edges."""
    folder = tmp_path_factory.mktemp("plate")
    listed = [(place, old_name(place)) for place in places([(2, 3)], 1, channels=1)]
    (folder / "Index.idx.xml").write_text(index(listed, profiles=(CURVED,)))
    name = listed[0][1]
    tifffile.imwrite(folder / name, np.zeros((SIDE, SIDE), np.uint16))
    flat = open_plate(folder).channels[0].flat_field
    images, _ = make_field(SIDE, np.random.default_rng(3), nuclei=40, channels=1)
    dark = np.rint(images[0] * flat.gain(Box(0, 0, SIDE, SIDE))).clip(0, 65535).astype(np.uint16)
    tifffile.imwrite(folder / name, dark)
    return folder


def run(plate: Path, out: Path, *options: str) -> RunFolder:
    result = CliRunner().invoke(nucbatch, ["run", str(plate), "-o", str(out), "--workers", "1", *options])
    assert result.exit_code == 0, result.output
    return RunFolder(out)


def test_whole_and_in_blocks_give_the_same_and_not_the_uncorrected(plate: Path, tmp_path: Path) -> None:
    whole = run(plate, tmp_path / "whole", "--flatfield")
    blocks = run(plate, tmp_path / "blocks", "--flatfield", "--block-size", "128")
    raw = run(plate, tmp_path / "raw")
    tables = [pd.read_parquet(folder.nuclei) for folder in (whole, blocks, raw)]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    group = "B/3/1"
    np.testing.assert_array_equal(*(read_labels(folder, group) for folder in (whole, blocks)))
    measured = "Nuclei_Intensity_MeanIntensity_"
    spread = [table.filter(like=measured).iloc[:, 0].std() for table in tables]
    assert spread[0] == spread[1] != spread[2]
    assert "Uncorrected" in raw.report.read_text(encoding="utf-8")
    assert "Uncorrected" not in whole.report.read_text(encoding="utf-8")


def test_a_conversion_writes_what_a_run_sees_and_never_mixes_both(plate: Path, tmp_path: Path) -> None:
    opened = open_plate(plate, flatfield=True)
    expected = FieldReader.of(opened).read_whole(opened.fields[0], opened.channels)
    command = ["convert", str(plate), "-o", str(tmp_path / "plate.zarr"), "--workers", "1"]
    result = CliRunner().invoke(nucbatch, [*command, "--flatfield"])
    assert result.exit_code == 0, result.output
    written = zarr.open_array(tmp_path / "plate.zarr/B/3/1/0", mode="r")
    np.testing.assert_array_equal(np.squeeze(written[:]), np.squeeze(expected))
    other = CliRunner().invoke(nucbatch, command)
    assert isinstance(other.exception, SettingsConflict)
    assert "uncorrected" in str(other.exception)
