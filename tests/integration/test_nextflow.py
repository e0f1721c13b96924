"""What can be held of workflows/nextflow without Nextflow: its tasks' scripts, run in folders as it makes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from nucbatch.store.run_folder import RunFolder
from nucbatch.synthetic import make_plate

pytestmark = pytest.mark.slow

FLOW = Path(__file__).parents[2] / "workflows" / "nextflow"


def script(process: str, values: dict[str, str]) -> str:
    """A process' script as Nextflow would hand it to bash; every ${...} in it must be among ``values``."""
    module = (FLOW / "nucbatch.nf").read_text(encoding="utf-8")
    (text,) = re.findall(rf'process {process} \{{.*?"""\n(.*?)"""', module, re.DOTALL)
    filled = re.sub(r"(?<!\\)\$\{([^}]*)\}", lambda found: values[found[1]], text)
    return filled.replace("\\$", "$")


def task(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Runs a task's script in its own folder, with the shell and the options that Nextflow uses."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environ = os.environ | {"PATH": path}
    bash = ["bash", "-ue", "-c", text]
    return subprocess.run(bash, cwd=folder, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fields, of which one is cut short, in a folder whose name has a space."""
    folder = tmp_path_factory.mktemp("nextflow") / "the plate"
    make_plate(folder, wells=("B02", "B03"), sites=1, size_px=160, empty_well=None, thumbnails=False)
    return folder


def test_another_try_of_a_plate_goes_on_in_the_same_folder_and_its_tables_are_gathered(
    plate: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    ledger = RunFolder(runs / plate.name).ledger
    values = {
        "runs": str(runs),
        "plate.name": plate.name,
        "plate": plate.name.replace(" ", "\\ "),  # as Nextflow writes the name of a staged path
        "task.cpus": "1",
        "task.ext.args ?: ''": "--channel 'DAPI'",
    }
    kept = ""
    for number in ("first", "again"):  # each try has a folder of its own, in which the plate is a link
        work = tmp_path / number
        work.mkdir()
        (work / plate.name).symlink_to(plate)
        done = task(work, script("NUCBATCH", values))
        assert done.returncode == 0, done.stderr  # though nucbatch itself said 3
        for table in ("wells.csv", "nuclei.parquet", "files.csv", "report.html"):
            assert (work / table).resolve() == runs / plate.name / table
        assert kept in ("", ledger.read_text())
        kept = ledger.read_text()

    gathered = tmp_path / "gathered"
    gathered.mkdir()
    folders = f"'{runs}/{plate.name}'"
    gathering = task(gathered, script("GATHER", {"projectDir": str(FLOW), "folders": folders}))
    assert gathering.stdout.startswith(
        "the plate: done, but 1 of 2 fields failed and 1 files are quarantined"
    )
    assert len(pd.read_csv(gathered / "wells.csv")) == 2
    assert list(pd.read_csv(gathered / "plates.csv")["Run"]) == [plate.name]


def test_a_plate_that_cannot_be_done_fails_its_task_with_nucbatchs_own_code(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    values = {
        "runs": str(tmp_path / "runs"),
        "plate.name": "empty",
        "plate": "empty",
        "task.cpus": "1",
        "task.ext.args ?: ''": "",
    }
    done = task(tmp_path, script("NUCBATCH", values))
    assert done.returncode == 2
    assert done.stderr.startswith("nucbatch: ")
    assert not (tmp_path / "wells.csv").exists()
