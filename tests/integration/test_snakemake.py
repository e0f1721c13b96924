"""The workflow in workflows/snakemake, run by Snakemake: plates that are whole, cut short, killed, empty."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from nucbatch.store.run_folder import RunFolder
from nucbatch.synthetic import make_plate

pytestmark = pytest.mark.slow

FLOW = Path(__file__).parents[2] / "workflows" / "snakemake"
KILLED_ONCE = """#!/bin/sh
# The second plate's first job ends as one that is killed: after its work, before Snakemake hears of it.
nucbatch "$@"; code=$?
case $4 in *second*)
    if mkdir "$KILLED" 2>/dev/null; then cp "$4"/.nucbatch/ledger* "$KILLED"; kill -9 $$; fi ;;
esac
exit $code
"""


@dataclass(frozen=True)
class Screen:
    """A folder of plates, where their runs go, and what Snakemake said."""

    plates: Path
    runs: Path
    work: Path
    said: subprocess.CompletedProcess[str]


def snakemake(work: Path, *options: str, **config: object) -> subprocess.CompletedProcess[str]:
    """Snakemake on this machine, in the folder ``work``."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    flow = ["-s", str(FLOW / "Snakefile"), "--profile", str(FLOW / "profiles" / "local"), *options]
    given = [f"{name}={value}" for name, value in config.items()]
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *flow, "--config", *given],
        cwd=work,
        env=os.environ | {"PATH": path, "KILLED": str(work / "killed")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Screen:
    """Two plates of two fields; the second has a file cut short, and its first job is killed."""
    folder = tmp_path_factory.mktemp("snakemake")
    plates, runs = folder / "plates", folder / "the runs"
    for name in ("first", "second one"):
        make_plate(
            plates / name,
            name=name.split()[0],
            wells=("B02", "B03"),
            sites=1,
            size_px=160,
            empty_well=None,
            truncated=name != "first",
            thumbnails=False,
            truth_folder=folder / "truth" / name,
        )
    (plates / ".hidden").mkdir()
    command = folder / "killed-once"
    command.write_text(KILLED_ONCE)
    command.chmod(0o755)
    again = ["--retries", "1"]
    said = snakemake(
        folder, *again, plates=plates, out=runs, channel="DAPI", command=shlex.quote(str(command))
    )
    return Screen(plates, runs, folder, said)


def test_every_plate_has_a_runs_folder_and_one_table_has_all_wells(screen: Screen) -> None:
    assert screen.said.returncode == 0, screen.said.stderr
    wells = pd.read_csv(screen.runs / "wells.csv")
    assert list(wells["Metadata_Run"]) == ["first", "first", "second one", "second one"]
    assert list(wells["Metadata_Well"]) == ["B02", "B03", "B02", "B03"]
    for name, found in wells.groupby("Metadata_Run"):
        own = pd.read_csv(screen.runs / str(name) / "wells.csv")
        pd.testing.assert_frame_equal(
            found.drop(columns="Metadata_Run")[own.columns].reset_index(drop=True), own, check_dtype=False
        )
        assert (screen.runs / str(name) / "report.html").is_file()


def test_a_plate_that_is_done_with_failures_stops_nothing_and_is_named(screen: Screen) -> None:
    page = (screen.runs / "overview.html").read_text(encoding="utf-8")
    assert '<a href="./second%20one/report.html">second one</a></td><td><span class="bad">failures' in page
    plates = pd.read_csv(screen.runs / "plates.csv", index_col="Run")
    assert list(plates["Status"]) == ["complete", "failures"]
    assert list(plates["Fields_Failed"]) == [0, 1]
    assert list(plates["Files_Quarantined"]) == [0, 1]
    assert list(plates["Fields"]) == [2, 2]
    assert "second one: done, but 1 of 2 fields failed" in screen.said.stderr
    assert "first: done, but" not in screen.said.stderr


def test_a_plate_whose_job_was_killed_goes_on_and_does_nothing_twice(screen: Screen) -> None:
    assert screen.said.stderr.count("Trying to restart job") == 1
    ledger = RunFolder(screen.runs / "second one").ledger
    assert (screen.work / "killed" / ledger.name).read_text() == ledger.read_text() != ""


def test_a_screen_that_may_not_have_failures_fails_when_all_is_done(screen: Screen) -> None:
    before = {path: path.stat().st_mtime_ns for path in screen.runs.rglob("*") if path.is_file()}
    same = {"plates": screen.plates, "out": screen.runs, "channel": "DAPI", "threads": 1}
    command = shlex.quote(str(screen.work / "killed-once"))
    said = snakemake(screen.work, **same, command=command, allow_failures=False)
    assert said.returncode == 1
    assert "second one: done, but 1 of 2 fields failed" in said.stdout + said.stderr
    assert "rule plate:" not in said.stderr
    assert before == {path: path.stat().st_mtime_ns for path in screen.runs.rglob("*") if path.is_file()}


def test_a_plate_that_cannot_be_done_fails_and_its_reason_is_shown(tmp_path: Path) -> None:
    (tmp_path / "plates" / "nothing").mkdir(parents=True)
    said = snakemake(tmp_path, plates="plates", out="runs")
    assert said.returncode == 1
    assert "nucbatch: " in said.stderr
    assert not (tmp_path / "runs" / "wells.csv").exists()


@pytest.mark.parametrize("plates", ["none", "empty"])
def test_a_folder_without_plates_is_refused_before_anything_runs(tmp_path: Path, plates: str) -> None:
    (tmp_path / "empty").mkdir()
    said = snakemake(tmp_path, plates=plates)
    assert said.returncode == 1
    assert "Give the folder that holds one folder per plate." in said.stderr


def test_the_profile_for_slurm_is_one_that_snakemake_takes(tmp_path: Path) -> None:
    (tmp_path / "plates" / "one").mkdir(parents=True)
    flow = ["-s", str(FLOW / "Snakefile"), "--profile", str(FLOW / "profiles" / "slurm"), "--dry-run"]
    asked = [sys.executable, "-m", "snakemake", *flow, "--config", "plates=plates"]
    said = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "slurm_partition=" in said.stdout
    assert "runtime=1440" in said.stdout
    assert "mem_mb=32000" in said.stdout
