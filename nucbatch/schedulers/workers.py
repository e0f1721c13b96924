"""What every worker that is started for a run is like, whoever starts it.

The decision owned here: one thread per library, memory that is kept, at most two blocks at once, and none of
Dask's own ways to write memory to disk.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from nucbatch.schedulers.contract import Resources

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

CLUSTER_CONFIG = {
    "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    # Kept memory never falls, so a worker that paused would not go on; one that runs out ends itself.
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.comm.timeouts.connect": "60s",
    # A block whose worker dies is tried once more elsewhere; dead again, the driver tries it alone.
    "distributed.scheduler.allowed-failures": 1,
}
"""Dask's settings for a cluster that is started for a run."""


@contextmanager
def starting_with(environment: Mapping[str, str]) -> Iterator[None]:
    """Workers of a cluster that is made meanwhile get this environment, whatever is in this process' own.

    Dask lets variables of the starting process win over its settings, and leaves its own in there whenever it
    starts a worker; so a cluster that somebody had here before would decide about this one's.

    They don't hear Ctrl-C either, from their first instruction on: it reaches every process of a terminal,
    but only the driver heeds it, and ends its workers itself. The thread that starts them, now and later, and
    they inherit from this one that the signal is held back.
    """
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def fitting_threads(worker_bytes: int, resources: Resources, most: int = MOST_THREADS_PER_WORKER) -> int:
    """As many blocks at once as help (``most``) and fit in a worker; at least one."""
    room = (worker_bytes - resources.process_bytes) // max(1, resources.block_bytes)
    return max(1, min(most, room))
