"""This machine: one process per core with one lane each, as memory allows, on loopback only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import dask
from distributed import Client, LocalCluster
from distributed.system import MEMORY_LIMIT

from nucbatch.errors import InputError, SchedulerError
from nucbatch.schedulers.contract import Cluster, Resources

THREADS_PER_WORKER = 2
"""One block computes while another reads or writes; the lane lets one at a time through the network."""

_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "BLOSC_NTHREADS",
    ),
    "1",
)


@contextmanager
def connect(resources: Resources) -> Iterator[Cluster]:
    """A local cluster of processes.

    Raises:
        InputError: fewer than one worker asked for.
        SchedulerError: the workers did not come up.
    """
    if resources.workers is not None and resources.workers < 1:
        raise InputError(f"--workers {resources.workers}: at least 1.")
    workers = resources.workers or fitting_workers(cores(), int(MEMORY_LIMIT), resources.block_bytes)
    worker_bytes = int(MEMORY_LIMIT) // workers
    settings = {
        "distributed.nanny.pre-spawn-environ": _ONE_THREAD,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.target": False,
        "distributed.comm.timeouts.connect": "60s",
    }
    with dask.config.set(settings):
        try:
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=THREADS_PER_WORKER,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
                memory_limit=worker_bytes,
                silence_logs="CRITICAL",
            )
        except (OSError, RuntimeError, TimeoutError) as error:
            raise SchedulerError(
                f"{workers} local workers did not start: {error}. Try --workers 1."
            ) from error
        with cluster, Client(cluster) as client:
            yield Cluster(client, workers, THREADS_PER_WORKER, worker_bytes)


def fitting_workers(cores: int, memory_bytes: int, block_bytes: int) -> int:
    """As many as there are cores, fewer where that many blocks at once would not fit in memory."""
    return max(1, min(cores, memory_bytes // max(1, block_bytes)))


def cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0))
