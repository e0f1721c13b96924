"""Environment variables of worker processes, and starting processes with them.

Workers use one thread per library, keep freed memory, do not import from the current folder and ignore
Ctrl-C. This module imports very little, because it is loaded before everything else.
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
    # By default glibc returns the network's large feature maps to the system after each layer and page-faults
    # them in again for the next, which costs a third of the time. So freed memory is kept, in one arena,
    # because the arenas of further threads hold at most 64 MB.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
}
"""Environment variables of a worker process: one thread per library, and freed memory is kept."""

LOCAL_ENVIRONMENT = WORKER_ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": ""}
"""Environment variables of local CPU workers, which see no GPU; ``--scheduler cuda`` is for GPUs."""


@contextmanager
def starting_with(environment: Mapping[str, str]) -> Iterator[None]:
    """Gives this environment, and a blocked SIGINT, to every process started in the context.

    The variables are set in this process, because Dask prefers the starting process' variables to its own
    settings, and leaves its own variables set each time it starts a worker. An earlier cluster in this
    process would otherwise change this one's workers.

    SIGINT is blocked because Ctrl-C reaches every process of the terminal. Only the driver handles it and
    stops its workers. Workers, and the thread that starts them, inherit the blocked signal.

    Args:
        environment: variables to set; restored when the context ends.
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
