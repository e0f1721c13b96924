"""A plate's objects are redone with other thresholds from kept probabilities: the bytes of a fresh run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nucbatch.cli.main import nucbatch
from nucbatch.store.ledger import latest_receipts
from nucbatch.store.run_folder import RunFolder
from nucbatch.synthetic import Truth, make_plate

pytestmark = pytest.mark.slow

SCALED = ("--channel", "DAPI", "--diameter", "40", "--workers", "1")
OTHER = ("--foreground", "0.7", "--micronuclei", "count")


def run(truth: Truth, out: Path, *options: str) -> Result:
    return CliRunner().invoke(nucbatch, ["run", str(truth.plate_folder), "-o", str(out), *SCALED, *options])


def results(out: Path) -> dict[str, bytes]:
    """All files of a run but those that say how it was run."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".nucbatch" not in path.parts and path.name not in ("run.json", "report.html")
    }


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    folder = tmp_path_factory.mktemp("synthetic") / "plate"
    return make_plate(folder, wells=("B02", "B03", "C02", "C03"), sites=1, size_px=256, empty_well="C03")


@pytest.fixture(scope="module")
def kept(truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that kept its probabilities: three fields, and one that can't be read."""
    out = tmp_path_factory.mktemp("kept") / "out"
    result = run(truth, out, "--keep-probabilities")
    assert result.exit_code == 3, result.output
    size = sum(path.stat().st_size for path in RunFolder(out).probabilities.rglob("*.maps"))
    assert f"Probabilities: {size / 1e6:,.1f} MB" in result.output
    assert size > 0
    return out


@pytest.fixture(scope="module")
def fresh(truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("fresh") / "out"
    assert run(truth, out, *OTHER).exit_code == 3
    return results(out)


def test_killed_on_the_way_the_network_is_not_needed(
    truth: Truth, kept: Path, fresh: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(kept, out)
    command = [sys.executable, "-m", "nucbatch", "run", str(truth.plate_folder), "-o", str(out), *SCALED]
    process = subprocess.Popen(
        [*command, *OTHER, "--reuse-probabilities"], start_new_session=True, stdout=subprocess.DEVNULL
    )
    ledger, begun = RunFolder(out).ledger, RunFolder(kept).ledger.read_bytes().splitlines()[0]
    while process.poll() is None and not _one_is_done(ledger, begun):
        time.sleep(0.02)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    again = run(truth, out, *OTHER, "--reuse-probabilities")
    assert again.exit_code == 3, again.output
    assert "went through the network" not in again.output
    assert not any("network" in receipt.seconds for receipt in latest_receipts(RunFolder(out)).values())
    assert results(out) == fresh
    assert results(out) != results(kept)


def _one_is_done(ledger: Path, begun: bytes) -> bool:
    lines = ledger.read_bytes().splitlines() if ledger.exists() else []
    return len(lines) > 1 and lines[0] != begun


def test_missing_and_damaged_probabilities_are_made_again(
    truth: Truth, kept: Path, fresh: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(kept, out)
    one, other, _ = sorted(RunFolder(out).probabilities.rglob("*.maps"))
    one.unlink()
    other.write_bytes(other.read_bytes()[:-1])
    RunFolder(out).ledger.unlink()  # as a session leaves it that is killed after it has cleared the results
    shutil.rmtree(RunFolder(out).fragments)
    again = run(truth, out, *OTHER, "--reuse-probabilities")
    assert again.exit_code == 3, again.output
    assert "2 fields went through the network" in again.output
    assert results(out) == fresh
    assert len(list(RunFolder(out).probabilities.rglob("*.maps"))) == 3


def test_settings_of_the_network_and_a_run_without_probabilities_are_refused(
    truth: Truth, kept: Path, tmp_path: Path
) -> None:
    refused = run(truth, kept, "--normalise", "percentiles", "--reuse-probabilities")
    assert "normalise.method" in str(refused.exception)
    shutil.copytree(kept, tmp_path / "out")
    shutil.rmtree(RunFolder(tmp_path / "out").probabilities)
    refused = run(truth, tmp_path / "out", *OTHER, "--reuse-probabilities")
    assert "--keep-probabilities" in str(refused.exception)


def test_the_size_is_told_before_the_run(truth: Truth, tmp_path: Path) -> None:
    shown = run(truth, tmp_path / "out", "--keep-probabilities", "--dry-run")
    assert "The probabilities that are kept take about 0.0 GiB" in shown.output
