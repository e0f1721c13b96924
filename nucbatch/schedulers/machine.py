"""Starts and stops a cluster of worker processes on this machine, for the local and the CUDA backend.

Other users of the machine can reach its loopback addresses and its folder for temporary files. So connections
use TLS with keys that stay in memory, workers' scratch folders are private to the user (Dask puts them on
Python's import path), and there is no dashboard. Every wait for workers has a timeout.
"""

from __future__ import annotations

import logging
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
from nucbatch.schedulers.supervisor import SUPERVISOR_CONFIG, WorkerSupervisor
from nucbatch.schedulers.workers import CLUSTER_CONFIG, no_http

_log = logging.getLogger(__name__)

_WORKER_NAME = "Dask Worker process"
"""The name that Dask's nannies give their worker processes."""


@contextmanager
def cluster_here(
    make: Callable[..., LocalCluster],
    sizes: tuple[int, int, int],
    environment: Mapping[str, str],
    place: Place,
    instead: str = "",
    start_s: float = 300.0,
) -> Iterator[Cluster]:
    """Starts a cluster on this machine and connects a client to it.

    Args:
        make: the cluster's class or factory; called with the options of a LocalCluster.
        sizes: number of workers, and threads and memory (bytes) of each.
        environment: environment variables of the workers.
        place: the run's folder, settings and callbacks.
        instead: another way to run, added to the error message.
        start_s: timeout for the start of all workers, whose libraries may be on a slow network share.

    Raises:
        SchedulerError: the workers do not start.
    """
    workers, threads, worker_bytes = sizes
    with starting_with(environment):  # Python may start its resource tracker process for the semaphores
        require_children()
    with tempfile.TemporaryDirectory(prefix="nucbatch-", ignore_cleanup_errors=True) as scratch:
        how = {
            "temporary-directory": scratch,
            "distributed.nanny.pre-spawn-environ": {**environment, **safe_pythonpath()},
            "distributed.worker.multiprocessing-method": fork_from(place.preload, environment),
        }
        _log.info(
            "%d workers begin (%s), each with %d blocks at once and %.1f GiB",
            workers,
            how["distributed.worker.multiprocessing-method"],
            threads,
            worker_bytes / 2**30,
        )
        options = {
            "n_workers": workers,
            "threads_per_worker": threads,
            "memory_limit": worker_bytes,
            "host": "127.0.0.1",
            "protocol": "tls",
            "security": security_in_memory(),
            "dashboard_address": "127.0.0.1:0",  # a server without routes; None would mean port 8787
            "scheduler_kwargs": {"dashboard": False},
            "death_timeout": 0.8 * start_s,  # of each worker; shorter, so that Dask reports the worker itself
            "silence_logs": "CRITICAL",
        }
        with dask.config.set(CLUSTER_CONFIG | SUPERVISOR_CONFIG | no_http() | how):
            try:
                with starting_with(environment):
                    cluster = _within(start_s, lambda: make(**options))
            except (OSError, RuntimeError, TimeoutError, ValueError) as error:
                raise SchedulerError(_why(workers, error, instead)) from error
            try:
                with Client(cluster) as client:
                    yield Cluster(
                        client, workers, threads, worker_bytes, WorkerSupervisor(cluster, workers).watch
                    )
            finally:
                close(cluster)


def close(cluster: LocalCluster, timeout_s: float = 15.0) -> None:
    """Stops a cluster and its workers within a bounded time.

    Dask waits without a timeout for a worker that a nanny is just restarting. Workers still alive after
    ``timeout_s`` are killed. After three times as long, Dask's threads are abandoned.
    """
    overdue = threading.Timer(timeout_s, _kill_workers)
    overdue.daemon = True
    overdue.start()
    try:
        cluster.close(timeout=3 * timeout_s)
    except TimeoutError:
        _kill_workers()
    finally:
        overdue.cancel()


def _kill_workers() -> None:
    for process in multiprocessing.active_children():
        if process.name.startswith(_WORKER_NAME):
            process.kill()


def _within(seconds: float, make: Callable[[], LocalCluster]) -> LocalCluster:
    """Calls ``make`` in a thread, which is abandoned if it does not return in time.

    Raises:
        TimeoutError: ``make`` does not return within ``seconds``. Errors of ``make`` are raised unchanged.
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
        raise TimeoutError(f"they did not come up within {seconds:.0f} s")
    return made[0]


def _why(workers: int, error: BaseException, instead: str) -> str:
    guard = missing_guard()
    if guard:
        return f"{workers} workers did not start. {guard}"
    said = str(error).rstrip(".") or "no reason was given"
    return (
        f"{workers} workers did not start: {said}. Check that the machine has memory and processes left "
        f"(`ulimit -u`), or try --workers 1{instead}."
    )
