"""This machine: one process per core with one lane each, as memory allows, on loopback only."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import dask
from distributed import Client, LocalCluster, Worker, WorkerPlugin
from distributed.system import MEMORY_LIMIT

from nucbatch.errors import SchedulerError
from nucbatch.schedulers.contract import Cluster, Resources

MOST_THREADS_PER_WORKER = 2
"""One block computes while another reads or writes; the lane lets one at a time through the network."""

WORKER_ENVIRONMENT = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "BLOSC_NTHREADS",
    ),
    "1",
) | {
    # glibc gives the large maps of a network back to the system after each layer and faults them in for the
    # next: a third of the time. Kept in one arena, because other threads' arenas hold no more than 64 MB.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
}
"""A worker process' environment, from its start: one thread per library, and memory that is kept."""


@contextmanager
def connect(resources: Resources) -> Iterator[Cluster]:
    """A local cluster of processes.

    Raises:
        SchedulerError: the workers did not come up.
    """
    memory_bytes = int(MEMORY_LIMIT)
    one_block = resources.process_bytes + resources.block_bytes
    workers = resources.workers or fitting_workers(cores(), memory_bytes, one_block)
    worker_bytes = memory_bytes // workers
    threads = fitting_threads(worker_bytes, resources)
    settings = {
        "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.target": False,
        "distributed.comm.timeouts.connect": "60s",
    }
    with dask.config.set(settings):
        try:
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=threads,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # None would still take port 8787, if only to warn about it
                memory_limit=worker_bytes,
                silence_logs="CRITICAL",
            )
        except (OSError, RuntimeError, TimeoutError) as error:
            raise SchedulerError(
                f"{workers} local workers did not start: {error}. Try --workers 1."
            ) from error
        with cluster, Client(cluster) as client:
            client.register_plugin(_Uninterrupted())
            yield Cluster(client, workers, threads, worker_bytes)


class _Uninterrupted(WorkerPlugin):  # type: ignore[misc]  # distributed has no types here
    """Ctrl-C reaches every process of a terminal; only the driver heeds it, and ends its workers itself."""

    name = "nucbatch-uninterrupted"

    def setup(self, worker: Worker) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def fitting_threads(worker_bytes: int, resources: Resources) -> int:
    """As many blocks at once as help and fit in a worker; at least one."""
    room = (worker_bytes - resources.process_bytes) // max(1, resources.block_bytes)
    return max(1, min(MOST_THREADS_PER_WORKER, room))


def fitting_workers(cores: int, memory_bytes: int, worker_bytes: int) -> int:
    """As many as there are cores, fewer where that many workers with a block each would not fit in memory."""
    return max(1, min(cores, memory_bytes // max(1, worker_bytes)))


def cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0))
