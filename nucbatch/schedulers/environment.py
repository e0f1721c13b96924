"""A worker process' environment, and how one is started in it. Imports next to nothing, for it comes first.

One thread per library, memory that is kept, no import from the current folder, and Ctrl-C held back.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from nucbatch.core.safe_path import SAFE_PATH, safe_pythonpath

WORKER_ENVIRONMENT = {
    **dict.fromkeys(
        (
            "OMP_NUM_THREADS",
            "MKL_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "NUMBA_NUM_THREADS",
            "BLOSC_NTHREADS",
        ),
        "1",
    ),
    **SAFE_PATH,
    # glibc gives the large maps of a network back to the system after each layer and faults them in for the
    # next: a third of the time. Kept in one arena, because other threads' arenas hold no more than 64 MB.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
}
"""A worker process' environment, from its start: one thread per library, and memory that is kept."""

LOCAL_ENVIRONMENT = WORKER_ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": ""}
"""That of local workers, which leave this machine's GPUs to the scheduler that is made for them."""


@contextmanager
def starting_with(environment: Mapping[str, str]) -> Iterator[None]:
    """Workers of a cluster that is made meanwhile get this environment, whatever is in this process' own.

    Dask lets variables of the starting process win over its settings, and leaves its own in there whenever it
    starts a worker; so a cluster that somebody had here before would decide about this one's.

    They don't hear Ctrl-C either, from their first instruction on: it reaches every process of a terminal,
    but only the driver heeds it, and ends its workers itself. The thread that starts them, now and later, and
    they inherit from this one that the signal is held back.
    """
    environment = safe_pythonpath() | dict(environment)
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
