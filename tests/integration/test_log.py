"""The log of a run, and what --quiet and --verbose change, through the command line."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from nucbatch.synthetic import Truth, make_plate

pytestmark = pytest.mark.slow

PLUG_IN = """
import logging, multiprocessing, os, signal, warnings
from pathlib import Path
import numpy as np

class Talkative:
    name = "Talkative"

    def margin_px(self, settings, pixel_size_um):
        return 0

    def measure(self, objects, image, channels):
        if not multiprocessing.current_process().name.startswith("Dask Worker"):
            return {"AreaShape_Nothing": np.zeros(objects.count, np.int64)}
        logging.getLogger("talkative").warning("what a worker \\x1b[31msays")
        logging.getLogger("nucbatch.talkative").warning("a warning of ours")
        warnings.warn("what a library warns of")
        if "KILL_ONCE" in os.environ:
            try:
                Path(os.environ["KILL_ONCE"]).touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return {"AreaShape_Nothing": np.zeros(objects.count, np.int64)}
"""


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """Two wells of one site, one of them with a truncated file."""
    return make_plate(
        tmp_path_factory.mktemp("in") / "plate", wells=("B02", "B03"), sites=1, size_px=128, empty_well="B02"
    )


@pytest.fixture(scope="module")
def plug_in(measurement_package: Callable[[str, str, str], Path]) -> Path:
    """A package with a measurement that warns in every way, and kills its worker once."""
    return measurement_package("talkative", "Talkative", PLUG_IN)


def run(
    source: Path,
    out: Path,
    *options: str,
    before: tuple[str, ...] = (),
    channel: str = "DAPI",
    python_path: Path | None = None,
) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "nucbatch", *before, "run", str(source), "-o", str(out)]
    paths = filter(None, [python_path and str(python_path), os.environ.get("PYTHONPATH")])
    done = subprocess.run(
        [*command, "--workers", "1", "--channel", channel, *options],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr


def logs(out: Path) -> list[Path]:
    return sorted((out / ".nucbatch" / "logs").glob("*.log"))


@pytest.fixture(scope="module")
def finished(plate: Truth, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    out = tmp_path_factory.mktemp("run") / "out"
    code, said, complained = run(plate.plate_folder, out, "--quiet")
    assert code in (0, 3), complained
    return out, said, complained


def test_quiet_prints_the_result_alone(finished: tuple[Path, str, str]) -> None:
    _, said, complained = finished
    assert complained == ""
    assert len(said.splitlines()) == 1
    assert " in 2 fields; " in said or " in 1 field; " in said


def test_the_log_says_with_what_and_what_came_of_it(finished: tuple[Path, str, str], plate: Truth) -> None:
    (log,) = logs(finished[0])
    text = log.read_text()
    assert "Headers read in " in text.splitlines()[0], "from before the folder was locked"
    for part in ("nucbatch 0.1.0", "Input Synthetic", "Settings ", "Workers: --scheduler local", "Report: "):
        assert part in text
    for name in plate.truncated:
        assert any(" ERROR " in line and name in line for line in text.splitlines())
    assert text.rstrip().endswith("The session has come to its end")
    assert " DEBUG " not in text


def test_the_same_command_again_writes_a_second_log_and_verbose_shows_it(
    finished: tuple[Path, str, str], plate: Truth
) -> None:
    out = finished[0]
    code, said, complained = run(plate.plate_folder, out, before=("--verbose",))
    assert code in (0, 3), complained
    assert "fields are done already" in said
    assert "INFO nucbatch.execution.session_steps: " in complained
    assert len(logs(out)) == 2


def test_restart_deletes_earlier_logs(finished: tuple[Path, str, str], plate: Truth) -> None:
    out = finished[0]
    before = logs(out)
    run(plate.plate_folder, out, "--restart", "-q")
    (log,) = logs(out)
    assert log not in before
    assert "Input Synthetic" in log.read_text()


def test_verbose_and_quiet_contradict_each_other(tmp_path: Path) -> None:
    code, _, complained = run(tmp_path, tmp_path / "out", "--quiet", before=("--verbose",))
    assert code == 2
    assert "give one of them" in complained


def test_records_of_a_worker_that_was_killed_are_in_the_log(
    plate: Truth, plug_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILL_ONCE", str(tmp_path / "killed"))
    out = tmp_path / "out"
    code, _, complained = run(plate.plate_folder, out, "-q", python_path=plug_in)
    assert code in (0, 3), complained
    assert complained == ""
    lines = logs(out)[0].read_text().splitlines()
    said = [line for line in lines if " WARNING talkative worker:0@" in line]
    assert len({line.split()[3] for line in said}) == 2, "of the killed process and of the one after it"
    assert any(line.endswith(r": what a worker \x1b[31msays") for line in said)
    assert any("py.warnings" in line and "what a library warns of" in line for line in lines)
    assert any(" WARNING " in line and " is lost; other workers take its blocks: " in line for line in lines)
    assert sum(" has joined" in line for line in lines) >= 1
    assert not (out / ".nucbatch/logs/workers").exists()
    report = (out / "report.html").read_text()
    assert "Warnings of this run" in report
    assert report.count("B/2/1: a warning of ours") == 1, "twice in this session, and once in the list"
    assert "what a library warns of" not in report


def test_workers_that_others_started_log_as_well_and_are_left_as_they_were(
    plate: Truth,
    plug_in: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.syspath_prepend(plug_in)  # a new process has the import path of the one that starts it
    out = tmp_path / "out"
    theirs: LocalCluster = request.getfixturevalue("existing_cluster")
    before = set(theirs.scheduler.worker_plugins)
    address = theirs.scheduler_address
    code, _, complained = run(
        *(plate.plate_folder, out, "--scheduler", address, "--verbose"), python_path=plug_in
    )
    assert code in (0, 3), complained
    with Client(theirs) as client:
        level = client.submit(logging.getLogger("nucbatch").getEffectiveLevel).result()
    assert level == logging.WARNING
    assert set(theirs.scheduler.worker_plugins) == before
    text = logs(out)[0].read_text()
    assert " WARNING talkative worker:0@" in text
    assert "UserWarning: what a library warns of" in text
    assert re.search(r" DEBUG nucbatch\.execution\.worker worker:0@.* B/2/1: Done in ", text)
    assert " CRITICAL " not in text
    assert "will be tried again" not in text
