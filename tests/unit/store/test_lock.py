"""One driver per folder; a dead one holds nothing."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from nucbatch.errors import RunLocked, StoreError
from nucbatch.store.folder import RunFolder
from nucbatch.store.lock import run_lock

_HOLDER = """
import sys
from pathlib import Path
from nucbatch.store.folder import RunFolder
from nucbatch.store.lock import run_lock
with run_lock(RunFolder(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    folder.create()
    return folder


def test_a_second_driver_is_told_who_holds_the_lock(folder: RunFolder) -> None:
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


def test_a_holder_that_has_not_said_its_name_still_holds(folder: RunFolder) -> None:
    with run_lock(folder):
        folder.lock.with_name("lock.holder").unlink()
        with pytest.raises(RunLocked, match="in use by another process"), run_lock(folder):
            pass


def test_an_error_under_the_lock_releases_it(folder: RunFolder) -> None:
    with pytest.raises(ZeroDivisionError), run_lock(folder):
        raise ZeroDivisionError
    with run_lock(folder):
        pass


def test_a_killed_driver_blocks_nobody(folder: RunFolder) -> None:
    command = [sys.executable, "-c", _HOLDER, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunLocked, match=f"process {holder.pid} on"), run_lock(folder):
            pass
        holder.send_signal(signal.SIGKILL)
    assert holder.returncode == -signal.SIGKILL
    with run_lock(folder):
        pass


def test_a_lock_that_cannot_be_made_is_told(folder: RunFolder) -> None:
    folder.lock.mkdir()
    with pytest.raises(StoreError, match="lock can't be written"), run_lock(folder):
        pass
