"""The log of a run, and what --quiet and --verbose change, through the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nucbatch.synthetic import Truth, make_plate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """Two wells of one site, one of them with a truncated file."""
    return make_plate(
        tmp_path_factory.mktemp("in") / "plate", wells=("B02", "B03"), sites=1, size_px=128, empty_well="B02"
    )


def run(source: Path, out: Path, *options: str, before: tuple[str, ...] = ()) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "nucbatch", *before, "run", str(source), "-o", str(out)]
    done = subprocess.run(
        [*command, "--workers", "1", "--channel", "DAPI", *options],
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
    assert "INFO nucbatch.execution.session: " in complained
    assert len(logs(out)) == 2


def test_restart_throws_away_the_logs_of_before(finished: tuple[Path, str, str], plate: Truth) -> None:
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
