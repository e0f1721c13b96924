"""What Dask is told of every worker that is started for a run, whoever starts it.

The decision owned here: at most two blocks at once, no more processes than a GPU has memory for, and none of
Dask's own ways to write memory to disk.
"""

from __future__ import annotations

from nucbatch.schedulers.contract import Resources
from nucbatch.schedulers.environment import WORKER_ENVIRONMENT

MOST_THREADS_PER_WORKER = 2
"""One block computes while another reads or writes; the lane lets one at a time through the network."""

CLUSTER_CONFIG = {
    "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    # Kept memory never falls, so a worker that paused would not go on; one that runs out ends itself.
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    # What Dask watches for its dashboard takes a tenth of a core: a profiler walks the stacks of all threads
    # a hundred times a second, and holds the lane up meanwhile; loops tick fifty times a second.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.system-monitor.disk": False,
    "distributed.comm.timeouts.connect": "60s",
    # A block whose worker dies is tried once more elsewhere; dead again, the driver tries it alone.
    "distributed.scheduler.allowed-failures": 1,
}
"""Dask's settings for a cluster that is started for a run."""


def no_http() -> dict[str, list[str]]:
    """Dask's settings for servers that answer nothing by HTTP, where every user of the machine could ask.

    New lists each time, because Dask adds to them.
    """
    return {f"distributed.{role}.http.routes": [] for role in ("scheduler", "nanny", "worker")}


_OF_A_GPU = 0.9
"""How much of a GPU's memory processes may take; the rest is for what libraries keep beside the maps."""


def fitting_on_gpu(gpu_bytes: int, resources: Resources) -> int:
    """How many processes fit in a GPU's memory; at least one."""
    return max(1, int(gpu_bytes * _OF_A_GPU) // max(1, resources.device_bytes))


def fitting_threads(worker_bytes: int, resources: Resources, most: int = MOST_THREADS_PER_WORKER) -> int:
    """As many blocks at once as help (``most``) and fit in a worker; at least one."""
    room = (worker_bytes - resources.process_bytes) // max(1, resources.block_bytes)
    return max(1, min(most, room))
