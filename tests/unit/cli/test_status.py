"""``nucbatch status`` as a user meets it."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nucbatch.cli.main import nucbatch
from nucbatch.core.settings import RunSettings
from nucbatch.store.ledger import Ledger
from nucbatch.store.lock import run_lock
from nucbatch.store.receipt import Receipt
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.session_record import SessionRecord, write_session


def status(out: Path, *options: str) -> Result:
    return CliRunner().invoke(nucbatch, ["status", str(out), *options])


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Three of ten fields are done, and two failed."""
    folder = RunFolder(tmp_path / "out")
    folder.create()
    write_session(folder, SessionRecord(time.time() - 60, 10, 0, 1, 0))
    with Ledger(folder, RunSettings(), "p") as ledger:
        for n in range(3):
            ns = int((time.time() - n) * 1e9)
            ledger.append(Receipt(f"A/1/{n}", "done", "", 500, "", {}, {}, "", committed_ns=ns))
        for n in range(2):
            ledger.append(Receipt(f"B/1/{n}", "failed", f"b{n}.tif: [cut] short", 0, "", {}, {}, ""))
    return folder


def test_a_stopped_run_says_how_to_continue_and_exits_with_1(folder: RunFolder) -> None:
    shown = status(folder.path)
    assert shown.exit_code == 1
    assert "stopped before its end; the same command again continues it" in shown.output
    assert "Fields: 3 of 10 done, 2 failed, 5 left; 1 more can't be used" in shown.output
    assert "2 failed: [cut] short" in shown.output
    assert "Nuclei so far: 1,500" in shown.output


def test_a_running_run_names_its_process_and_the_time_left(folder: RunFolder) -> None:
    with run_lock(folder):
        shown = status(folder.path)
    assert shown.exit_code == 0
    assert "running, process" in shown.output
    assert "Time left: about" in shown.output


def test_json_holds_what_the_text_says(folder: RunFolder) -> None:
    with run_lock(folder):
        shown = status(folder.path, "--json")
    document = json.loads(shown.output)
    assert (document["state"], document["fields"], document["to_do"]) == ("running", 10, 5)
    assert document["reasons"] == {"[cut] short": 2}
    assert document["driver"]["runs"] is True


def test_a_finished_run_with_failures_exits_with_3(folder: RunFolder) -> None:
    write_session(folder, SessionRecord(time.time() - 60, 5, 0, 0, 0, ended=time.time()))
    assert status(folder.path).exit_code == 3


def test_a_wrong_folder_is_an_error_of_usage(tmp_path: Path) -> None:
    assert "does not exist" in str(status(tmp_path / "nowhere").exception)
