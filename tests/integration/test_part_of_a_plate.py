"""Part of a plate now and the rest later, in the same folder: the same bytes as at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from nucbatch.cli.main import nucbatch
from nucbatch.core.errors import InputError
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stored_images import field_groups
from nucbatch.synthetic import make_plate

pytestmark = pytest.mark.slow

WELLS = ("B02", "B03", "C02", "C05")
ALIKE = ("--channel", "DAPI", "--normalise-over", "plate", "--labels", "both", "--workers", "1")


def run(plate: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(nucbatch, ["run", str(plate), "-o", str(out), *ALIKE, *options])


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight fields, one of them (of B02 or of another well) with a truncated file."""
    folder = tmp_path_factory.mktemp("synthetic") / "plate"
    make_plate(folder, wells=WELLS, sites=2, size_px=192, empty_well="C05")
    return folder


@pytest.fixture(scope="module")
def at_once(plate: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("run") / "out")
    assert run(plate, folder.path).exit_code == 3
    return folder


def results(folder: RunFolder) -> dict[str, bytes]:
    """Every file of a run that images, model and settings decide: tables, masks, images."""
    tables = [folder.nuclei, folder.wells, folder.fields, folder.files]
    pixels = [path for top in (folder.plate_zarr, folder.labels) for path in top.rglob("*") if path.is_file()]
    return {path.relative_to(folder.path).as_posix(): path.read_bytes() for path in (*tables, *pixels)}


def test_a_part_counts_what_it_selects_and_accounts_for_the_rest(
    plate: Path, at_once: RunFolder, tmp_path: Path
) -> None:
    folder, whole = RunFolder(tmp_path / "out"), pd.read_parquet(at_once.fields)
    done = run(plate, folder.path, "--wells", "B02-B03", "--sites", "1")
    fields = pd.read_parquet(folder.fields)
    selected = fields["Metadata_Well"].str.startswith("B") & (fields["Metadata_Site"] == 1)
    sound = whole["Status"] == "done"
    assert (fields.loc[selected & sound, "Status"] == "done").all()
    assert (fields.loc[~selected & sound, "Status"] == "not selected").all()
    assert (fields.loc[~sound, "Status"] == "quarantined").all()
    assert fields.loc[~selected, "Count_Nuclei"].isna().all()
    counted = selected & sound
    pd.testing.assert_frame_equal(fields[counted], whole[counted])
    assert f", {int((~selected & sound).sum())} not selected; files:" in done.output.replace("\n", " ")

    wells = pd.read_csv(folder.wells).set_index("Metadata_Well")
    assert wells.loc["C05", ["Fields_Total", "Fields_Done", "Fields_Failed"]].tolist() == [2, 0, 0]
    assert wells.loc["C05", "Fields_NotSelected"] == 2
    assert pd.isna(wells.loc["C05", "Count_Nuclei"])

    files, all_files = pd.read_csv(folder.files), pd.read_csv(at_once.files)
    assert files["path"].tolist() == all_files["path"].tolist()
    left = files[files["reason"].fillna("").str.startswith("not-selected: ")]
    assert set(left["status"]) == {"ignored"}
    assert (files["status"] == "used").sum() + len(left) == (all_files["status"] == "used").sum()
    assert set(field_groups(folder)) == set(fields.loc[counted, "Metadata_Image"])
    page = folder.report.read_text(encoding="utf-8")
    assert "not selected" in page
    assert "Not finished" not in page


def test_part_by_part_gives_the_bytes_of_the_whole(plate: Path, at_once: RunFolder, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out")
    run(plate, folder.path, "--wells", "C02,C05")
    first = set(field_groups(folder))
    run(plate, folder.path, "--wells", "B", "--sites", "2")
    assert set(field_groups(folder)) > first, "what is done stays"
    assert results(folder) != results(at_once)
    assert run(plate, folder.path).exit_code == 3
    assert results(folder) == results(at_once)


def test_a_part_that_is_killed_and_then_the_rest_give_the_bytes_of_the_whole(
    plate: Path, at_once: RunFolder, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "out")
    command = [sys.executable, "-m", "nucbatch", "run", str(plate), "-o", str(folder.path), *ALIKE]
    process = subprocess.Popen(
        [*command, "--wells", "B02,C02,C05"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert any("fields" in line and "/" in line for line in process.stdout), "it never began"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not folder.wells.exists()
    run(plate, folder.path, "--wells", "B03")
    assert run(plate, folder.path).exit_code == 3
    assert results(folder) == results(at_once)


def test_damage_to_a_field_that_is_not_selected_now_is_mended(
    plate: Path, at_once: RunFolder, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "out")
    run(plate, folder.path)
    chunk = next(
        path for path in folder.plate_zarr.glob("C/*/1/labels/nuclei/0/*") if path.name != "zarr.json"
    )
    chunk.unlink()
    assert "is done again" in run(plate, folder.path, "--wells", "B02").output
    assert results(folder) == results(at_once)


def test_wells_that_are_not_there_are_refused_before_anything_is_written(plate: Path, tmp_path: Path) -> None:
    refused = run(plate, tmp_path / "out", "--wells", "C04")
    assert isinstance(refused.exception, InputError)
    assert "The nearest that it has: C05" in str(refused.exception)
    assert not (tmp_path / "out").exists()
