"""Dask settings and sizes of the workers that every backend starts.

A worker runs at most two blocks at once. A GPU is shared by as many processes as its memory allows. Dask
never spills memory to disk.
"""

from __future__ import annotations

from nucbatch.schedulers.contract import Resources
from nucbatch.schedulers.environment import WORKER_ENVIRONMENT

MOST_THREADS_PER_WORKER = 2
"""One block computes while another reads or writes; the inference queue runs one batch at a time."""

CLUSTER_CONFIG = {
    "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    # Freed memory is kept by the allocator and never falls, so a paused worker would never resume.
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    # Dask's monitoring for its dashboard takes a tenth of a core: a profiler walks the stacks of all threads
    # a hundred times a second and blocks the inference queue meanwhile; event loops tick fifty times a
    # second.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.system-monitor.disk": False,
    "distributed.comm.timeouts.connect": "60s",
    # A block whose worker dies is retried once on another worker. After that the driver runs it alone.
    "distributed.scheduler.allowed-failures": 1,
}
"""Dask configuration of a cluster that a backend starts."""


def no_http() -> dict[str, list[str]]:
    """Returns the Dask configuration that disables all HTTP routes, which any user of the machine could call.

    The lists are new in each call, because Dask appends to them.
    """
    return {f"distributed.{role}.http.routes": [] for role in ("scheduler", "nanny", "worker")}


_GPU_FRACTION = 0.9
"""Fraction of a GPU's memory that processes may use; the rest is for the libraries' own buffers."""


def fitting_on_gpu(gpu_bytes: int, resources: Resources) -> int:
    """Returns how many processes fit in a GPU's memory; at least one."""
    return max(1, int(gpu_bytes * _GPU_FRACTION) // max(1, resources.device_bytes))


def fitting_threads(worker_bytes: int, resources: Resources, most: int = MOST_THREADS_PER_WORKER) -> int:
    """Returns how many blocks a worker runs at once: as many as fit in its memory, from 1 to ``most``."""
    room = (worker_bytes - resources.process_bytes) // max(1, resources.block_bytes)
    return max(1, min(most, room))
