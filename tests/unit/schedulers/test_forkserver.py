"""Python keeps one fork server per process, so each test ends the one that it or an earlier one started."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest

from nucbatch.schedulers.contract import Place, Resources
from nucbatch.schedulers.environment import LOCAL_ENVIRONMENT
from nucbatch.schedulers.forkserver import call_in_fork, end, fork_from, is_forking
from nucbatch.schedulers.local import Local

RARE = "wave"
"""A module that no other code imports."""


@pytest.fixture(autouse=True)
def _none_before_or_after() -> Iterator[None]:
    end()
    yield
    end()


@pytest.mark.slow
def test_every_worker_begins_with_everything_loaded_one_that_replaces_a_dead_one_too(
    tmp_path: Path,
) -> None:
    def begun() -> tuple[bool, dict[str, str | None], bool]:
        held_back = signal.pthread_sigmask(signal.SIG_BLOCK, set())
        environment = {name: os.getenv(name) for name in LOCAL_ENVIRONMENT}
        return RARE in sys.modules, environment, signal.SIGINT in held_back

    with Local().connect(Resources(workers=2), Place(tmp_path, preload=(RARE,))) as cluster:
        assert list(cluster.client.run(begun).values()) == [(True, LOCAL_ENVIRONMENT, True)] * 2
    with Local().connect(Resources(workers=1), Place(tmp_path, preload=(RARE,))) as cluster:
        (before,) = cluster.client.run(os.getpid).values()
        os.kill(before, signal.SIGKILL)
        assert cluster.client.submit(os.getpid, pure=False).result() != before
        assert list(cluster.client.run(begun).values()) == [(True, LOCAL_ENVIRONMENT, True)]


def test_it_is_started_once_with_a_workers_environment_and_ended_for_good() -> None:
    assert fork_from([RARE], LOCAL_ENVIRONMENT) == "forkserver"
    started = forkserver._forkserver._forkserver_pid
    environment = b""
    while not environment:  # it has none until it runs
        environment = Path(f"/proc/{started}/environ").read_bytes()
    wanted = {f"{name}={value}" for name, value in LOCAL_ENVIRONMENT.items()}
    assert wanted <= set(environment.decode().split("\0"))
    assert fork_from([RARE], LOCAL_ENVIRONMENT) == "forkserver"
    assert forkserver._forkserver._forkserver_pid == started
    end()
    assert not Path(f"/proc/{started}").exists()
    assert fork_from([RARE], LOCAL_ENVIRONMENT) == "forkserver"
    assert forkserver._forkserver._forkserver_pid != started


def test_credentials_that_are_set_later_start_it_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fork_from([RARE], LOCAL_ENVIRONMENT) == "forkserver"
    started = forkserver._forkserver._forkserver_pid
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a key")
    for _ in range(2):
        assert fork_from([RARE], LOCAL_ENVIRONMENT) == "forkserver"
        again = forkserver._forkserver._forkserver_pid
        assert again != started
        environment = b""
        while not environment:
            environment = Path(f"/proc/{again}/environ").read_bytes()
        assert b"AWS_ACCESS_KEY_ID=a key" in environment.split(b"\0")
    assert again == forkserver._forkserver._forkserver_pid


def test_a_fork_server_of_other_code_is_left_alone() -> None:
    forkserver.ensure_running()
    try:
        assert fork_from([RARE], LOCAL_ENVIRONMENT) == "spawn"
        end()
        assert Path(f"/proc/{forkserver._forkserver._forkserver_pid}").exists()
    finally:
        forkserver._forkserver._stop()


def test_nothing_to_load_starts_nothing() -> None:
    assert fork_from([], LOCAL_ENVIRONMENT) == "spawn"
    assert forkserver._forkserver._forkserver_pid is None


@pytest.mark.slow
def test_preloading_starts_no_thread_that_a_fork_would_lose() -> None:
    """jemalloc, which pyarrow bundles, handles forks itself."""
    script = (
        "import os, importlib\n"
        "from nucbatch.execution.warm_start import PRELOADED\n"
        "for name in PRELOADED:\n"
        "    importlib.import_module(name)\n"
        "for task in os.listdir('/proc/self/task'):\n"
        "    print(open(f'/proc/self/task/{task}/comm').read().strip())"
    )
    threads = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | LOCAL_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    _, *others = threads.stdout.split()
    assert set(others) <= {"jemalloc_bg_thd"}


def test_a_function_is_called_in_a_fork_which_ends_with_its_answer() -> None:
    assert not is_forking()
    fork_from([RARE], LOCAL_ENVIRONMENT)
    assert is_forking()
    assert call_in_fork(os.getenv, "OMP_NUM_THREADS") == "1"
    own = call_in_fork(os.getpid)
    assert own not in (os.getpid(), call_in_fork(os.getpid))
    assert not Path(f"/proc/{own}").exists()
    with pytest.raises(ZeroDivisionError):
        call_in_fork(divmod, 1, 0)
    with pytest.raises(ChildProcessError, match="has ended without an answer"):
        call_in_fork(os._exit, 3)
