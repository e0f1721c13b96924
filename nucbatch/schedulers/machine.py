"""A cluster of worker processes on this machine: what the backends for it have in common.

Other users of the machine can reach its loopback addresses and its folder for temporary files. So connections
are TLS with keys that stay in memory, workers' scratch folders lie where only the user can go (Dask puts them
on Python's import path), and there is no dashboard. No wait for workers is without a limit.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import dask
from distributed import Client, LocalCluster

from nucbatch.core.errors import SchedulerError
from nucbatch.core.safe_path import safe_pythonpath
from nucbatch.schedulers.children import missing_guard, require_children
from nucbatch.schedulers.contract import Cluster, Place
from nucbatch.schedulers.environment import starting_with
from nucbatch.schedulers.forkserver import fork_from
from nucbatch.schedulers.keys import security_in_memory
from nucbatch.schedulers.supervisor import KEEPER_CONFIG, Keeper
from nucbatch.schedulers.workers import CLUSTER_CONFIG, no_http

_WORKER_NAME = "Dask Worker process"
"""How Dask's nannies call the processes of their workers."""


@contextmanager
def cluster_here(
    make: Callable[..., LocalCluster],
    sizes: tuple[int, int, int],
    environment: Mapping[str, str],
    place: Place,
    instead: str = "",
    start_s: float = 300.0,
) -> Iterator[Cluster]:
    """A connected cluster of ``sizes``: workers, threads of each, bytes of each.

    ``make`` is called with the options of a LocalCluster. ``instead``: what else the user could do.
    ``start_s``: how long all workers may take to come up; libraries may be read from a slow share.

    Raises:
        SchedulerError: the workers don't come up.
    """
    workers, threads, worker_bytes = sizes
    with starting_with(environment):  # Python may start a process of its own for the semaphores
        require_children()
    with tempfile.TemporaryDirectory(prefix="nucbatch-", ignore_cleanup_errors=True) as scratch:
        how = {
            "temporary-directory": scratch,
            "distributed.nanny.pre-spawn-environ": {**environment, **safe_pythonpath()},
            "distributed.worker.multiprocessing-method": fork_from(place.preload, environment),
        }
        options = {
            "n_workers": workers,
            "threads_per_worker": threads,
            "memory_limit": worker_bytes,
            "host": "127.0.0.1",
            "protocol": "tls",
            "security": security_in_memory(),
            "dashboard_address": "127.0.0.1:0",  # of a server that answers nothing; None would be port 8787
            "scheduler_kwargs": {"dashboard": False},
            "death_timeout": 0.8 * start_s,  # of each worker, so that Dask itself can still say which
            "silence_logs": "CRITICAL",
        }
        with dask.config.set(CLUSTER_CONFIG | KEEPER_CONFIG | no_http() | how):
            try:
                with starting_with(environment):
                    cluster = _within(start_s, lambda: make(**options))
            except (OSError, RuntimeError, TimeoutError, ValueError) as error:
                raise SchedulerError(_why(workers, error, instead)) from error
            try:
                with Client(cluster) as client:
                    yield Cluster(client, workers, threads, worker_bytes, Keeper(cluster, workers).watch)
            finally:
                close(cluster)


def close(cluster: LocalCluster, patience_s: float = 15.0) -> None:
    """Ends a cluster and its workers, without waiting for ever.

    Dask waits without a limit for a worker that a nanny was starting again at this moment. Workers that are
    still there after ``patience_s`` are killed; after three times as long, Dask's threads are left behind.
    """
    overdue = threading.Timer(patience_s, _kill_workers)
    overdue.daemon = True
    overdue.start()
    try:
        cluster.close(timeout=3 * patience_s)
    except TimeoutError:
        _kill_workers()
    finally:
        overdue.cancel()


def _kill_workers() -> None:
    for process in multiprocessing.active_children():
        if process.name.startswith(_WORKER_NAME):
            process.kill()


def _within(seconds: float, make: Callable[[], LocalCluster]) -> LocalCluster:
    """What ``make`` returns or raises; it may hang in Dask for good, and is then left behind.

    Raises:
        TimeoutError: it does not come back in time.
    """
    made: list[LocalCluster] = []
    failed: list[BaseException] = []

    def attempt() -> None:
        try:
            made.append(make())
        except BaseException as error:  # noqa: BLE001  # raised again in the thread that waits
            failed.append(error)

    thread = threading.Thread(target=attempt, name="nucbatch-start", daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not made:
        raise TimeoutError(f"they have not come up in {seconds:.0f} s")
    return made[0]


def _why(workers: int, error: BaseException, instead: str) -> str:
    guard = missing_guard()
    if guard:
        return f"{workers} workers did not start. {guard}"
    said = str(error).rstrip(".") or "no reason was given"
    return (
        f"{workers} workers did not start: {said}. See whether the machine has memory and processes left "
        f"(`ulimit -u`), or try --workers 1{instead}."
    )
