"""Run lock on file systems with and without flock; locks of dead drivers are released."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nucbatch.core.errors import RunLocked, StoreError
from nucbatch.core.settings import RunSettings
from nucbatch.store.ledger import Ledger
from nucbatch.store.lock import run_lock
from nucbatch.store.run_folder import RunFolder

_HOLDER = """
import errno, fcntl, os, sys
from pathlib import Path
def fail(number):
    def flock(*_):
        raise OSError(number, os.strerror(number))
    return flock
kinds = {"always": lambda *_: None, "none": fail(errno.ENOSYS), "no service": fail(errno.ENOLCK)}
fcntl.flock = kinds.get(sys.argv[2], fcntl.flock)
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.lock import run_lock
with run_lock(RunFolder(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""

KINDS = ["works", "always", "none", "no service"]


def _fails(number: int) -> object:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return flock


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Behaviour of flock: works, succeeds for every process, is missing, has no lock service."""
    flocks = {
        "always": lambda *_: None,
        "none": _fails(errno.ENOSYS),
        "no service": _fails(errno.ENOLCK),
    }
    if request.param in flocks:
        monkeypatch.setattr(fcntl, "flock", flocks[request.param])
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    folder.create()
    return folder


def _record(folder: RunFolder) -> Path:
    return folder.lock.with_name("lock.holder")


def _left_behind(folder: RunFolder, **changes: object) -> None:
    """Owner record of a killed driver, with some values changed."""
    with run_lock(folder):
        name = json.loads(_record(folder).read_text())
    _record(folder).write_text(json.dumps(name | changes))


def test_a_second_driver_is_rejected_with_the_owners_name(folder: RunFolder, kind: str) -> None:
    with run_lock(folder):
        with (
            pytest.raises(RunLocked, match=f"process {os.getpid()} on {socket.gethostname()}"),
            run_lock(folder),
        ):
            pass
        with pytest.raises(RunLocked), run_lock(folder):
            pass  # the one that was turned away has not loosened the lock
    with run_lock(folder):
        pass
    assert [path.name for path in folder.hidden.glob("lock*")] == ["lock"]


def test_a_lock_without_an_owner_record_still_holds(folder: RunFolder) -> None:
    with run_lock(folder):
        _record(folder).unlink()
        with pytest.raises(RunLocked, match="in use by another process"), run_lock(folder):
            pass


def test_an_error_under_the_lock_releases_it(folder: RunFolder, kind: str) -> None:
    with pytest.raises(ZeroDivisionError), run_lock(folder):
        raise ZeroDivisionError
    with run_lock(folder):
        pass


def test_a_killed_drivers_lock_is_released(folder: RunFolder, kind: str) -> None:
    command = [sys.executable, "-c", _HOLDER, str(folder.path), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunLocked, match=f"process {holder.pid} on"), run_lock(folder):
            pass
        holder.send_signal(signal.SIGKILL)
    assert holder.returncode == -signal.SIGKILL
    assert _record(folder).exists()
    with run_lock(folder):
        pass


def test_a_zombie_drivers_lock_is_released(folder: RunFolder, kind: str) -> None:
    command = [sys.executable, "-c", _HOLDER, str(folder.path), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # it is dead, and a zombie
        with run_lock(folder):
            pass


def test_a_reused_process_id_is_not_the_owner(folder: RunFolder, kind: str) -> None:
    _left_behind(folder, pid=os.getppid(), began="7")
    with run_lock(folder):
        pass


@pytest.fixture
def living_elsewhere(folder: RunFolder) -> Iterator[None]:
    """A driver on another machine that holds the folder and sends heartbeats."""
    _left_behind(folder, machine="another", host="node7", pid=1234)
    ended = threading.Event()

    def touch() -> None:
        while not ended.wait(0.01):
            os.utime(_record(folder))

    thread = threading.Thread(target=touch)
    thread.start()
    yield
    ended.set()
    thread.join()


@pytest.mark.usefixtures("living_elsewhere")
def test_a_live_driver_on_another_machine_keeps_its_lock(folder: RunFolder, kind: str) -> None:
    with pytest.raises(RunLocked, match="process 1234 on node7"), run_lock(folder, beat_s=5):
        pass
    assert json.loads(_record(folder).read_text())["host"] == "node7"


@pytest.mark.parametrize("damaged", [False, True])
def test_a_driver_on_another_machine_without_heartbeat_is_dead(
    folder: RunFolder, kind: str, damaged: bool
) -> None:
    _left_behind(folder, machine="another", host="node7", pid=1234)
    if damaged:
        _record(folder).write_bytes(b"")
    with run_lock(folder, beat_s=0.02):
        pass
    os.utime(folder.lock)
    _left_behind(folder, machine="another")
    os.utime(_record(folder), (1, 1))  # as if its last heartbeat were long ago
    with run_lock(folder):
        pass


def test_a_driver_that_lost_the_lock_commits_nothing(folder: RunFolder, kind: str) -> None:
    with run_lock(folder) as lock, Ledger(folder, RunSettings(), "p", guard=lock.require) as ledger:
        ledger.append()
        name = json.loads(_record(folder).read_text())
        _record(folder).write_text(json.dumps(name | {"pid": 99, "host": "node7", "token": "its own"}))
        with pytest.raises(RunLocked, match="taken over by process 99 on node7"):
            ledger.append()
    assert json.loads(_record(folder).read_text())["pid"] == 99  # it is not ours to remove


def test_a_removed_owner_record_is_rewritten(folder: RunFolder) -> None:
    with run_lock(folder) as lock:
        before = _record(folder).read_text()
        _record(folder).unlink()
        lock.require()
        assert _record(folder).read_text() == before


def test_the_owner_sends_heartbeats(folder: RunFolder) -> None:
    with run_lock(folder) as lock:
        os.utime(_record(folder), (1, 1))
        lock.touch()
        assert _record(folder).stat().st_mtime > 1


def test_a_lock_that_cannot_be_created_is_an_error(folder: RunFolder) -> None:
    folder.lock.mkdir()
    with pytest.raises(StoreError, match="lock can't be written"), run_lock(folder):
        pass


def test_other_lock_errors_are_reported(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", _fails(errno.EIO))
    with pytest.raises(StoreError, match=r"lock can't be written: Input/output error"), run_lock(folder):
        pass
