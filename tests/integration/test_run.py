"""A whole run through the command line, on a real local Dask cluster, over a small synthetic plate."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner, Result

from nucbatch.cli.main import nucbatch
from nucbatch.core.errors import RunLocked, SettingsConflict, StoreError
from nucbatch.store.ledger import latest_receipts
from nucbatch.store.lock import run_lock
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.run_status import read_status
from nucbatch.store.stored_images import field_groups, read_labels
from nucbatch.synthetic import Truth, make_plate

pytestmark = pytest.mark.slow

HEEDS_INTERRUPTS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # CI may have started us with it ignored
if __name__ == "__main__":
    from nucbatch.cli.main import main
    main()
"""

README = Path(__file__).parents[2] / "README.md"
WELLS = ("B02", "B03", "C02", "C03")


def run(plate: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(nucbatch, ["run", str(plate), "-o", str(out), "--channel", "DAPI", *options])


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """Four wells of one site: C03 is empty, one of the others has a truncated file."""
    folder = tmp_path_factory.mktemp("synthetic") / "plate"
    return make_plate(folder, wells=WELLS, sites=1, size_px=256, empty_well="C03")


@pytest.fixture(scope="module")
def finished(truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Result]:
    out = tmp_path_factory.mktemp("run") / "out"
    return RunFolder(out), run(truth.plate_folder, out, "--workers", "2", "--labels", "both")


def test_a_run_with_a_broken_file_ends_with_3_and_names_its_outputs(
    finished: tuple[RunFolder, Result],
) -> None:
    folder, result = finished
    assert result.exit_code == 3, result.output
    assert "1 quarantined" in result.output
    for path in (folder.wells, folder.nuclei, folder.fields, folder.files, folder.report, folder.run_json):
        assert path.stat().st_size > 0


def test_the_folder_is_as_the_readme_draws_it(finished: tuple[RunFolder, Result]) -> None:
    folder, _ = finished
    readme = README.read_text(encoding="utf-8")
    drawn = re.findall(r"^\| `([^`]+)` \|", readme, re.MULTILINE)
    assert len(drawn) == 9
    for name in drawn:
        place = next(folder.path.glob(name.replace("<name>", "*").rstrip("/")), None)
        assert place is not None, name
        assert place.is_dir() == name.endswith("/"), name
    assert (folder.plate_zarr / "B/2/1/labels/nuclei").is_dir()  # <row>/<column>/<field>/ with labels/nuclei
    columns = re.findall(r"`((?:Metadata|Nuclei)_\w+)`", readme)
    assert len(columns) >= 3
    assert set(columns) <= set(pd.read_parquet(folder.nuclei))


def test_every_well_has_its_line_and_empty_is_not_failed(
    finished: tuple[RunFolder, Result], truth: Truth
) -> None:
    folder, _ = finished
    wells = pd.read_csv(folder.wells).set_index("Metadata_Well")
    assert list(wells.index) == list(WELLS)
    assert wells.loc["C03", "Count_Nuclei"] == 0
    broken = next(row.well for row in truth.rows if not row.readable)
    assert np.isnan(wells.loc[broken, "Count_Nuclei"])
    assert wells.loc[broken, "Fields_Failed"] == 1
    for row in truth.rows:
        if row.readable and row.count:
            assert abs(wells.loc[row.well, "Count_Nuclei"] - row.count) <= max(2, 0.2 * row.count)


def test_every_file_is_accounted_for(finished: tuple[RunFolder, Result], truth: Truth) -> None:
    folder, _ = finished
    files = pd.read_csv(folder.files)
    on_disk = {
        path.relative_to(truth.plate_folder).as_posix()
        for path in truth.plate_folder.rglob("*")
        if path.is_file()
    }
    assert set(files["path"]) == on_disk
    assert files["path"].is_unique
    assert set(files["status"]) == {"used", "ignored", "quarantined"}
    assert files.loc[files["status"] != "used", "reason"].notna().all()


def test_labels_tables_and_tiffs_agree(finished: tuple[RunFolder, Result]) -> None:
    import tifffile

    folder, _ = finished
    nuclei = pd.read_parquet(folder.nuclei)
    fields = pd.read_parquet(folder.fields).set_index("Metadata_Image")
    for group in field_groups(folder):
        labels = read_labels(folder, group)
        rows = nuclei[nuclei["Metadata_Image"] == group]
        assert labels.max() == len(rows) == fields.loc[group, "Count_Nuclei"]
        np.testing.assert_array_equal(rows["Metadata_ObjectNumber"], np.arange(1, len(rows) + 1))
        np.testing.assert_array_equal(
            rows["Nuclei_AreaShape_Area"], np.bincount(labels.ravel(), minlength=1)[1:]
        )
        tiff = tifffile.imread(folder.label_tiff(fields.loc[group, "Name"]))
        np.testing.assert_array_equal(tiff, labels)


def test_the_same_command_again_does_nothing_twice(finished: tuple[RunFolder, Result], truth: Truth) -> None:
    folder, _ = finished
    before = {path: path.read_bytes() for path in (folder.nuclei, folder.wells, folder.fields, folder.ledger)}
    took = json.loads(folder.run_json.read_text())["timings"]
    assert took["wall_fields"] == 3
    again = run(truth.plate_folder, folder.path, "--workers", "1", "--labels", "both")
    assert again.exit_code == 3, again.output
    assert "3 of 3 fields are done already" in again.output
    assert {path: path.read_bytes() for path in before} == before
    assert json.loads(folder.run_json.read_text())["timings"] == took
    found = read_status(folder.path)
    assert (found.state, found.fields, found.done, found.unusable) == ("finished", 3, 3, 1)


def test_another_number_of_workers_and_lost_or_damaged_outputs_give_the_same_bytes(
    finished: tuple[RunFolder, Result], truth: Truth, tmp_path: Path
) -> None:
    folder, _ = finished
    other = RunFolder(tmp_path / "out")
    assert run(truth.plate_folder, other.path, "--workers", "1", "--labels", "both").exit_code == 3
    fragment, group, chunk = sorted(latest_receipts(other).values(), key=lambda receipt: receipt.nuclei)
    other.fragment(fragment.field).unlink()
    shutil.rmtree(other.plate_zarr / group.field)
    pixels = other.plate_zarr / chunk.field / "labels" / "nuclei" / "0" / "c.0.0"
    pixels.write_bytes(pixels.read_bytes()[:-9])
    again = run(truth.plate_folder, other.path, "--workers", "2", "--labels", "both")
    assert "done already" not in again.output
    assert results(other) == results(folder)


def test_stopped_then_killed_then_finished_gives_the_same_bytes(
    finished: tuple[RunFolder, Result], truth: Truth, tmp_path: Path
) -> None:
    """Ctrl-C in one session and SIGKILL of the driver in the next, each at a moment known from its output."""
    folder, _ = finished
    other = RunFolder(tmp_path / "out")
    with session(truth, other) as driver:
        wait_for("/3 fields", driver)
        os.killpg(driver.pid, signal.SIGINT)  # a terminal sends it to the workers as well
        said, _ = driver.communicate()
    assert driver.returncode == 130, said
    assert "run the same command again to continue" in said
    assert "Traceback" not in said
    with session(truth, other) as driver:
        wait_for("are done already", driver)
        driver.kill()
    found = read_status(other.path)
    assert (found.state, found.fields) == ("stopped", 3)
    left = other.plate_zarr / f"zarr.{uuid4().hex}.partial"
    left.write_text("half")
    third = run(truth.plate_folder, other.path, "--workers", "1", "--labels", "both")
    assert third.exit_code == 3, third.output
    assert results(other) == results(folder)
    assert not left.exists()
    assert json.loads(other.run_json.read_text())["timings"]["wall_fields"] == 3


def test_the_report_of_a_stopped_run_shows_what_is_done_and_changes_nothing_else(
    finished: tuple[RunFolder, Result], tmp_path: Path
) -> None:
    folder, _ = finished
    stopped = RunFolder(tmp_path / "out")
    shutil.copytree(folder.path, stopped.path)
    for path in (
        stopped.nuclei,
        stopped.fields,
        stopped.wells,
        stopped.files,
        stopped.run_json,
        stopped.report,
    ):
        path.unlink()
    lines = stopped.ledger.read_bytes().splitlines(keepends=True)
    stopped.ledger.write_bytes(b"".join(lines[:2]))  # one field, as if the driver had been killed then
    before = sorted(stopped.path.rglob("*"))
    told = CliRunner().invoke(nucbatch, ["report", str(stopped.path)])
    assert told.exit_code == 0, told.output
    page = stopped.report.read_text(encoding="utf-8")
    assert "2 fields not processed yet" in page
    assert page.count('class="pending"') >= 2
    assert sorted(stopped.path.rglob("*")) == sorted([*before, stopped.report])
    stopped.ledger.write_bytes(lines[0])
    told = CliRunner().invoke(nucbatch, ["report", str(stopped.path)])
    assert told.exit_code == 1
    assert isinstance(told.exception, StoreError)
    assert "has no field" in str(told.exception)


def results(folder: RunFolder) -> dict[str, bytes]:
    """Every file of a run that images, model and settings decide: tables, masks, images."""
    tables = [folder.nuclei, folder.wells, folder.fields, folder.files]
    pixels = [path for top in (folder.plate_zarr, folder.labels) for path in top.rglob("*") if path.is_file()]
    return {path.relative_to(folder.path).as_posix(): path.read_bytes() for path in (*tables, *pixels)}


def session(truth: Truth, folder: RunFolder) -> subprocess.Popen[str]:
    """The command line in a process group of its own, where Ctrl-C works as in a terminal."""
    options = ["-o", str(folder.path), "--channel", "DAPI", "--workers", "1", "--labels", "both"]
    return subprocess.Popen(
        [sys.executable, "-c", HEEDS_INTERRUPTS, "run", str(truth.plate_folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(words: str, driver: subprocess.Popen[str]) -> None:
    assert driver.stdout is not None
    lines = []
    for line in driver.stdout:
        lines.append(line)
        if words in line:
            return
    raise AssertionError("".join(lines))


def test_other_settings_on_the_same_folder_are_refused_with_the_difference(
    finished: tuple[RunFolder, Result], truth: Truth
) -> None:
    folder, _ = finished
    refused = run(truth.plate_folder, folder.path, "--labels", "both", "--foreground", "0.9")
    assert isinstance(refused.exception, SettingsConflict)
    assert "objects.foreground: " in str(refused.exception)
    assert "→ 0.9" in str(refused.exception)


def test_nuclei_are_left_out_of_a_finished_run_and_nothing_is_segmented_again(
    finished: tuple[RunFolder, Result], truth: Truth, tmp_path: Path
) -> None:
    folder, _ = finished
    out = RunFolder(Path(shutil.copytree(folder.path, tmp_path / "out")))
    before, ledger = pd.read_parquet(out.nuclei), out.ledger.read_bytes()
    again = run(truth.plate_folder, out.path, "--labels", "both", "--drop-border")
    border = before["Metadata_Nuclei_TouchesBorder"]
    assert f"{border.sum():,} further nuclei are left out" in again.output
    nuclei, fields = pd.read_parquet(out.nuclei), pd.read_parquet(out.fields)
    assert (nuclei["Metadata_ReasonNotCounted"] == "border").tolist() == border.tolist()
    assert fields["Count_Nuclei_LeftOut"].sum() == border.sum() > 0
    assert fields["Count_Nuclei"].sum() == len(before) - border.sum()
    wells = pd.read_csv(out.wells)
    assert wells["Count_Nuclei"].sum() == fields["Count_Nuclei"].sum()
    assert f"{border.sum():,} left out by size or at the border" in out.report.read_text(encoding="utf-8")
    assert out.ledger.read_bytes() == ledger


def test_a_folder_in_use_is_refused(finished: tuple[RunFolder, Result], truth: Truth) -> None:
    folder, _ = finished
    with run_lock(folder):
        refused = run(truth.plate_folder, folder.path, "--labels", "both")
    assert isinstance(refused.exception, RunLocked)


def test_a_dry_run_writes_nothing(truth: Truth, tmp_path: Path) -> None:
    out = tmp_path / "out"
    dry = run(truth.plate_folder, out, "--dry-run")
    assert dry.exit_code == 0
    assert "4 fields, 3 usable" in dry.output
    assert re.search(r"The network alone takes 0\.\d minutes on one core", dry.output)
    assert not out.exists()


def test_run_json_says_what_made_the_result(finished: tuple[RunFolder, Result]) -> None:
    folder, _ = finished
    card = json.loads(folder.run_json.read_text())
    assert card["settings"]["channel"] == "DAPI"
    assert card["settings"]["model_hash"] == card["model"]["sha256"]
    assert set(card["timings"]["stations_s"]) == {"read", "segment", "network", "measure", "write"}


def test_a_folder_of_images_without_wells_becomes_images_zarr(truth: Truth, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    whole = [
        path
        for path in sorted(truth.plate_folder.glob("*_s1_w1*.tif"))
        if "thumb" not in path.name and path.stat().st_size > 100_000
    ]
    for number, path in enumerate(whole[:2]):
        shutil.copy(path, pictures / f"picture {number}.tif")
    out = RunFolder(tmp_path / "out")
    result = CliRunner().invoke(nucbatch, ["run", str(pictures), "-o", str(out.path), "--workers", "1"])
    assert result.exit_code == 0, result.output
    assert len(field_groups(out)) == 2
    assert out.images_zarr.is_dir()
    assert not out.plate_zarr.exists()
    assert (pd.read_parquet(out.fields)["Count_Nuclei"] > 0).any()


def test_names_as_long_as_a_file_system_allows_are_done(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    names = ["a" * 206, "a" * 251, "b" * 251, "\u00e9" * 125, "\u6838" * 83]
    for name in names:
        tifffile.imwrite(folder / f"{name}.tif", np.full((64, 64), 100, np.uint16))
    out = RunFolder(tmp_path / "out")
    options = ["--workers", "1", "--labels", "both", "--channel", "Grey"]
    result = run(folder, out.path, *options)
    assert result.exit_code == 0, result.output
    assert len(list(out.labels.glob("*.tif"))) == len(names)
