"""``nucbatch screen`` over a manifest of three plates, of which one is sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner, Result
from s3_server import Bucket

from nucbatch.cli.main import nucbatch
from nucbatch.store.run_folder import RunFolder
from nucbatch.synthetic.field import make_field

pytestmark = pytest.mark.slow

ROWS = (("sound", "A01"), ("sound", "B02"), ("part", "A01"), ("part", "gone"), ("none", "gone"))


def screen(manifest: Path, out: Path | str, *options: str) -> Result:
    command = ["screen", str(manifest), "-o", str(out), "--model", "otsu-watershed", "--workers", "1"]
    return CliRunner().invoke(nucbatch, [*command, "--at-once", "1", *options])


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("screen")
    lines = ["FileName_DNA,Metadata_Plate,Metadata_Well"]
    for seed, (plate, image) in enumerate(ROWS):
        (folder / plate).mkdir(exist_ok=True)
        if image != "gone":
            pixels = make_field(96, np.random.default_rng(seed), nuclei=3)[0][0]
            tifffile.imwrite(folder / plate / f"{image}.tif", pixels)
        lines.append(f"{plate}/{image}.tif,{plate},{'C03' if image == 'gone' else image}")
    path = folder / "load_data.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    out = tmp_path_factory.mktemp("runs") / "out"
    return out, screen(manifest, out)


def test_a_plate_that_fails_does_not_stop_the_others(finished: tuple[Path, Result]) -> None:
    out, result = finished
    assert result.exit_code == 3, result.output
    plates = pd.read_csv(out / "plates.csv", index_col="Run", keep_default_na=False)
    assert plates["Status"].to_dict() == {"sound": "complete", "part": "failures", "none": "failed"}
    assert "files.csv says why" in plates.loc["none", "Reason"]
    wells = pd.read_csv(out / "wells.csv")
    assert list(wells["Metadata_Run"]) == ["sound", "sound", "part", "part"]
    assert "sound: complete: 2 fields" in result.output
    assert (out / "overview.html").stat().st_size > 1000


def test_the_same_command_skips_complete_plates_by_their_ledger(
    manifest: Path, finished: tuple[Path, Result]
) -> None:
    out, _ = finished
    folder = RunFolder(out / "sound")
    session, tables = folder.session.read_bytes(), (out / "wells.csv").read_bytes()
    result = screen(manifest, out)
    assert result.exit_code == 3
    assert "sound: complete: 2 fields" in result.output
    assert "done before" in result.output
    assert folder.session.read_bytes() == session
    assert (out / "wells.csv").read_bytes() == tables
    status = CliRunner().invoke(nucbatch, ["status", str(out)])
    assert status.exit_code == 3, status.output
    assert status.output.splitlines()[1] == "  sound: finished: 2 of 2 fields done, 6 nuclei"
    listed = screen(manifest, out, "--dry-run").output.splitlines()
    assert [line.split("\t")[:2] for line in listed] == [
        ["sound", "complete"],
        ["part", "to do"],
        ["none", "to do"],
    ]


def test_a_screen_in_a_store_is_that_in_a_folder(
    bucket: Bucket, manifest: Path, finished: tuple[Path, Result], tmp_path: Path
) -> None:
    out, place = finished[0], "s3://screens/screen"
    result = screen(manifest, place, "--work", str(tmp_path))
    assert result.exit_code == 3, result.output
    found = {key.removeprefix("screen/"): one for key, one in bucket.content().items() if "screen/" in key}
    for name in ("wells.csv", "overview.html", "sound/nuclei.parquet", "part/wells.csv"):
        assert found[name] == (out / name).read_bytes(), name
    assert found["plates.csv"].replace(place.encode(), str(out).encode()) == (out / "plates.csv").read_bytes()
    assert not list(tmp_path.iterdir())
    listed = screen(manifest, place, "--work", str(tmp_path), "--dry-run").output
    assert listed == screen(manifest, out, "--dry-run").output
    assert "sound\tcomplete" in listed
    status = CliRunner().invoke(nucbatch, ["status", place])
    assert status.exit_code == 3, status.output
    known = CliRunner().invoke(nucbatch, ["status", str(out)]).output
    assert status.output.splitlines()[1:] == known.splitlines()[1:]
