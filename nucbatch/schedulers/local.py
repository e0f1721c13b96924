"""Backend for this machine's CPU: one worker process per core, as memory allows, on loopback only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import LocalCluster
from distributed.system import MEMORY_LIMIT

from nucbatch.core.errors import InputError
from nucbatch.schedulers.contract import Cluster, Place, Resources
from nucbatch.schedulers.environment import LOCAL_ENVIRONMENT
from nucbatch.schedulers.machine import cluster_here
from nucbatch.schedulers.workers import fitting_threads


class Local:
    """Starts worker processes on this machine."""

    def preview(self, resources: Resources, place: Place) -> str:
        """Describes the cluster in one sentence; see :class:`nucbatch.schedulers.contract.Backend`."""
        workers, threads, worker_bytes = self._sizes(resources, place)
        return (
            f"{workers} worker processes on this machine with up to {worker_bytes / 2**30:.1f} GiB and "
            f"{threads} blocks at once each."
        )

    @contextmanager
    def connect(self, resources: Resources, place: Place) -> Iterator[Cluster]:
        """Starts a local cluster of processes; see :class:`nucbatch.schedulers.contract.Backend`."""
        sizes = self._sizes(resources, place)
        with cluster_here(LocalCluster, sizes, LOCAL_ENVIRONMENT, place) as cluster:
            if Path("/dev/nvidiactl").exists():
                place.inform("This machine has a GPU, which is not used: use --scheduler cuda for it.")
            yield cluster

    def _sizes(self, resources: Resources, place: Place) -> tuple[int, int, int]:
        """Returns the number of workers, and the threads and memory (bytes) of each.

        Raises:
            InputError: a setting is given; this backend has none.
        """
        if place.settings:
            raise InputError(f"--scheduler local has no setting {', '.join(map(repr, place.settings))}.")
        memory_bytes = int(MEMORY_LIMIT) // place.sharers
        share = max(1, cores() // place.sharers)
        one_block = resources.process_bytes + resources.block_bytes
        workers = resources.workers or fitting_workers(share, memory_bytes, one_block)
        worker_bytes = memory_bytes // workers
        return workers, fitting_threads(worker_bytes, resources), worker_bytes


def fitting_workers(cores: int, memory_bytes: int, worker_bytes: int) -> int:
    """Returns the number of workers: one per core, or fewer if memory is short; at least one.

    Args:
        cores: number of cores.
        memory_bytes: memory of the machine.
        worker_bytes: memory of one worker with one block.
    """
    return max(1, min(cores, memory_bytes // max(1, worker_bytes)))


def cores() -> int:
    """Counts the cores that this process may run on."""
    return len(os.sched_getaffinity(0))
