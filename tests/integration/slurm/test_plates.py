"""Plates on a SLURM of two nodes give the same tables as on one machine, whatever happens to jobs."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nucbatch.cli.main import nucbatch
from nucbatch.core.errors import SchedulerError
from nucbatch.core.settings import RunSettings
from nucbatch.execution.prepared import prepare
from nucbatch.execution.session import execute
from nucbatch.readers.find import open_plate
from nucbatch.schedulers.contract import Scheduling
from nucbatch.store.ledger import latest_receipts
from nucbatch.store.receipt import Receipt
from nucbatch.store.run_folder import RunFolder
from nucbatch.synthetic import make_plate

pytestmark = pytest.mark.slurm

DRIVER = Path(__file__).parents[3] / "cluster" / "slurm" / "driver.sbatch"
WELLS = tuple(f"{row}0{column}" for row in "BC" for column in range(2, 6))


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "plate"
    make_plate(folder, wells=WELLS, sites=2, size_px=512, empty_well="C03")
    return folder


@pytest.fixture(scope="module")
def tables(plate: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Returns the tables of a run on this machine."""
    out = tmp_path_factory.mktemp("local") / "out"
    assert run(plate, out, "--workers", "2").exit_code == 3  # one file of the plate is broken, on purpose
    return digest(out)


def run(plate: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(nucbatch, ["run", str(plate), "-o", str(out), "--channel", "DAPI", *options])


def digest(out: Path) -> str:
    """Returns the tables' digests."""
    folder = RunFolder(out)
    return hashlib.sha256(b"".join(path.read_bytes() for path in (folder.nuclei, folder.wells))).hexdigest()


def nodes_of_workers() -> set[str]:
    """Returns the nodes on which jobs of the plate have run."""
    command = ["squeue", "-h", "-t", "all", "-n", "nucbatch-Synthetic", "-o", "%N"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_a_dry_run_shows_script_and_plan_and_submits_nothing(
    slurm: Path, plate: Path, tmp_path: Path, jobs
) -> None:
    shown = run(
        plate, tmp_path / "out", "--scheduler", "slurm", "--partition", "cpu", "--max-jobs", "7", "--dry-run"
    )
    assert shown.exit_code == 0, shown.output
    for words in ("16 fields, 15 usable", "GiB per worker process", "1 to 7 SLURM jobs", "#SBATCH -p cpu"):
        assert words in shown.output
    assert re.search(r"^SLURM says: a job to start at .* in partition cpu$", shown.output, re.MULTILINE)
    assert not (tmp_path / "out").exists()
    assert not jobs()
    refused = run(plate, tmp_path / "out", "--scheduler", "slurm", "--partition", "nowhere")
    assert isinstance(refused.exception, SchedulerError)
    assert "Invalid partition" in str(refused.exception)


def test_a_plate_over_two_nodes_has_the_same_tables_as_on_one_machine(
    slurm: Path, plate: Path, tables: str, tmp_path: Path
) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text('partition = "cpu"\nwalltime = "0:20:00"\nmin_jobs = 2\nmax_jobs = 2\n')
    out = tmp_path / "out"
    ended = run(plate, out, "--scheduler", "slurm", "--profile", str(profile), "--verbose")
    assert ended.exit_code == 3, ended.output
    assert digest(out) == tables
    (log,) = (out / ".nucbatch" / "logs").glob("*.log")
    workers = re.findall(
        r" DEBUG nucbatch\.execution\.worker worker:(\S+)@\S+ \S+: Done in ", log.read_text()
    )
    assert len(workers) == 15, "one record for each usable field, from the workers of both jobs"
    assert len(set(workers)) == 2
    assert not (out / ".nucbatch" / "logs" / "workers").exists()
    assert nodes_of_workers() == {"n1", "n2"}
    assert not (out / ".nucbatch" / "keys").exists()
    assert len(list((out / ".nucbatch" / "logs" / "jobs").glob("*.log"))) == 2


class CancelsAJob:
    """Cancels a worker job when the first field is done."""

    def __init__(self) -> None:
        self.cancelled = ""
        self.notes: list[str] = []

    def begin(self, total: int, done: int, nuclei: int) -> None:
        pass

    def advance(self, receipt: Receipt) -> None:
        if not self.cancelled:
            answer = subprocess.run(["squeue", "-h", "-o", "%i"], capture_output=True, text=True, check=True)
            self.cancelled = answer.stdout.split()[0]
            subprocess.run(["scancel", self.cancelled], check=True)

    def again(self, receipt: Receipt, why: str) -> None:
        pass

    def advance_image(self, name: str, doing: str, done: int, units: int) -> None:
        pass

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


def test_a_plate_whose_only_job_is_cancelled_comes_to_its_end_with_the_same_tables(
    slurm: Path, plate: Path, tables: str, tmp_path: Path
) -> None:
    progress = CancelsAJob()
    result = execute(
        prepare(open_plate(plate), RunSettings(channel="DAPI", precision="auto")),
        tmp_path / "out",
        scheduling=Scheduling("slurm", {"partition": "cpu", "walltime": "0:20:00", "max_jobs": 1}),
        progress=progress,
    )
    assert result.outcome.done == 15
    assert digest(tmp_path / "out") == tables
    assert any(f"Job {progress.cancelled} on n" in note for note in progress.notes), progress.notes


def test_a_driver_that_is_a_job_leaves_in_time_goes_back_into_the_queue_and_comes_to_its_end(
    slurm: Path, plate: Path, tables: str, tmp_path: Path, eventually
) -> None:
    out, log = tmp_path / "out", tmp_path / "driver.log"
    command = [
        "sbatch",
        "--parsable",
        "--partition=cpu",
        "--time=0:20:00",
        "--mem=2G",
        f"--output={log}",
        str(DRIVER),
    ]
    options = [str(plate), "-o", str(out), "--channel", "DAPI", "--scheduler", "slurm", "--partition", "cpu"]
    submitted = subprocess.run(
        [*command, *options, "--max-jobs", "1"],
        env=os.environ | {"NUCBATCH": f"{sys.executable} -m nucbatch"},
        capture_output=True,
        text=True,
        check=True,
    )
    driver = submitted.stdout.strip()

    def scontrol_says(words: str) -> bool:
        return (
            words
            in subprocess.run(["scontrol", "show", "job", driver], capture_output=True, text=True).stdout
        )

    eventually(lambda: RunFolder(out).ledger.exists() and latest_receipts(RunFolder(out)))
    # What SLURM sends some time before the walltime ends (--signal=B:USR1@120).
    subprocess.run(["scancel", "--batch", "--signal=USR1", driver], check=True)
    eventually(lambda: scontrol_says("Restarts=1"))
    first = len(latest_receipts(RunFolder(out)))
    assert 0 < first < 15, "it was in the middle"
    assert "goes on when SLURM starts it again" in log.read_text()
    eventually(lambda: scontrol_says("JobState=RUNNING"))
    eventually(lambda: not scontrol_says("JobState=RUNNING") and not scontrol_says("JobState=COMPLETING"))
    assert f"{first} of 15 fields are done already; continuing." in log.read_text()
    assert scontrol_says("ExitCode=3:0"), log.read_text()
    assert digest(out) == tables
