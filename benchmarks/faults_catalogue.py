"""The faults that a cluster can cause in a run, one function each, with the expected reaction."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import psutil

from benchmarks.damage import FILES, damage, remove_the_ledger, zero_a_page_of_the_ledger
from benchmarks.external_cluster import Outside
from nucbatch.store.run_folder import RunFolder


class Broken(Protocol):
    """A run in progress, as a fault sees it."""

    driver: subprocess.Popen[str]
    folder: RunFolder
    outside: Outside
    chance: random.Random
    damaged: set[str]

    def second_driver(self) -> int:
        """Runs the same command beside it; returns its exit code."""
        ...


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    ``ends``: exit codes with which the command may end because of it; none if it must continue. ``outside``:
    it needs a separate scheduler. ``then``: undone or damaged before the same command is given
    again.
    """

    name: str
    breaks: Callable[[Broken], None]
    ends: frozenset[int] = frozenset()
    outside: bool = False
    then: Callable[[Broken], None] | None = None


def workers_of(driver: subprocess.Popen[str]) -> list[psutil.Process]:
    """The worker processes of a local cluster, possibly without those that are just starting."""
    return [worker for server in _fork_servers_of(driver) for worker in server.children()]


def _fork_servers_of(driver: subprocess.Popen[str]) -> list[psutil.Process]:
    """The process that workers are forked from, if it exists already."""
    below = psutil.Process(driver.pid).children()
    return [child for child in below if "forkserver" in " ".join(child.cmdline())]


def _kill_a_worker(run: Broken) -> None:
    workers = workers_of(run.driver)
    if workers:
        run.chance.choice(workers).kill()


def _kill_all_workers(run: Broken) -> None:
    for worker in workers_of(run.driver):
        worker.kill()


def _kill_fork_server(run: Broken) -> None:
    """Kills the fork server and a worker, which must then be replaced from another server."""
    workers = workers_of(run.driver)
    for process in (*_fork_servers_of(run.driver), *workers[:1]):
        process.kill()


def _kill_driver(run: Broken) -> None:
    run.driver.kill()


def _kill_group(run: Broken) -> None:
    below = psutil.Process(run.driver.pid).children(recursive=True)
    os.killpg(run.driver.pid, signal.SIGKILL)
    psutil.wait_procs(below, timeout=60)  # until they have let go of their files


def _interrupt(run: Broken) -> None:
    os.killpg(run.driver.pid, signal.SIGINT)


def _interrupt_twice(run: Broken) -> None:
    os.killpg(run.driver.pid, signal.SIGINT)
    time.sleep(0.2)  # two that come at once are one
    if run.driver.poll() is None:
        os.killpg(run.driver.pid, signal.SIGINT)


def _terminate(run: Broken) -> None:
    run.driver.terminate()


def _two_drivers(run: Broken) -> None:
    run.driver.send_signal(signal.SIGSTOP)  # so that it is still there when the second one looks
    code = run.second_driver()
    run.driver.send_signal(signal.SIGCONT)
    if code != 1:
        raise AssertionError(f"a second driver in the same folder ended with {code} instead of 1")


def _fill_disk(run: Broken) -> None:
    ballast = run.folder.path.parent / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(2**20))
        except OSError:
            pass  # full, which is what was wanted
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            return


def _empty_disk(run: Broken) -> None:
    (run.folder.path.parent / "ballast").unlink()


def _remount(run: Broken, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(run.folder.path.parent)], check=True)


def _make_read_only(run: Broken) -> None:
    _kill_group(run)  # a file system with files open for writing can't be made read-only
    run.driver.wait()
    _remount(run, "ro")
    code = run.second_driver()
    if code != 1:
        raise AssertionError(f"a driver in a folder that is read-only ended with {code} instead of 1")


def _tear_ledger(run: Broken) -> None:
    _kill_group(run)
    run.driver.wait()
    ledger = run.folder.ledger
    ledger.write_bytes(ledger.read_bytes()[:-20])


def _leave_partials(run: Broken) -> None:
    _kill_group(run)
    run.driver.wait()
    for group in sorted(run.folder.plate_zarr.glob("*/*/*/labels/nuclei/0"))[:5]:
        (group / f"c.{run.chance.getrandbits(128):032x}.partial").write_bytes(b"half a chunk")


FAULTS = (
    Fault("kill a worker", _kill_a_worker),
    Fault("kill all workers", _kill_all_workers),
    Fault("kill the fork server and a worker", _kill_fork_server),
    Fault("kill the driver", _kill_driver, frozenset({-9})),
    Fault("kill the whole process group", _kill_group, frozenset({-9})),
    Fault("Ctrl-C", _interrupt, frozenset({130})),
    Fault("Ctrl-C twice", _interrupt_twice, frozenset({130})),
    Fault("SIGTERM", _terminate, frozenset({143})),
    Fault("a second driver at once", _two_drivers),
    Fault("fill the disk", _fill_disk, frozenset({1}), then=_empty_disk),
    Fault(
        "make the output read-only", _make_read_only, frozenset({-9}), then=lambda run: _remount(run, "rw")
    ),
    *(
        Fault(f"damage {kind}", _kill_group, frozenset({-9}), then=damage(files))
        for kind, files in FILES.items()
    ),
    Fault("cut the ledger's last line short", _tear_ledger, frozenset({-9})),
    Fault("zero a page of the ledger", _kill_group, frozenset({-9}), then=zero_a_page_of_the_ledger),
    Fault("remove the ledger", _kill_group, frozenset({-9}), then=remove_the_ledger),
    Fault("leave *.partial files", _leave_partials, frozenset({-9})),
    Fault("kill the scheduler", lambda run: run.outside.kill_scheduler(), frozenset({1}), outside=True),
    Fault("kill a nanny", lambda run: run.outside.kill_nanny(), outside=True),
    Fault("kill a worker of a scheduler elsewhere", lambda run: run.outside.kill_worker(), outside=True),
    Fault("cut the connection to the scheduler", lambda run: run.outside.cut(), frozenset({1}), outside=True),
)
