"""This machine: one process per core with one lane each, as memory allows, on loopback only."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
from distributed import Client, LocalCluster
from distributed.system import MEMORY_LIMIT

from nucbatch.errors import InputError, SchedulerError
from nucbatch.schedulers.contract import Cluster, Place, Resources
from nucbatch.schedulers.environment import LOCAL_ENVIRONMENT, starting_with
from nucbatch.schedulers.forkserver import fork_from
from nucbatch.schedulers.keeper import KEEPER_CONFIG, Keeper
from nucbatch.schedulers.workers import CLUSTER_CONFIG, fitting_threads


class Local:
    """Worker processes on this machine."""

    def preview(self, resources: Resources, place: Place) -> str:
        """One sentence; see :class:`nucbatch.schedulers.contract.Backend`."""
        workers, threads, worker_bytes = self._sizes(resources, place)
        return (
            f"{workers} worker processes on this machine with up to {worker_bytes / 2**30:.1f} GiB and "
            f"{threads} blocks at once each."
        )

    @contextmanager
    def connect(self, resources: Resources, place: Place) -> Iterator[Cluster]:
        """A local cluster of processes; see :class:`nucbatch.schedulers.contract.Backend`."""
        workers, threads, worker_bytes = self._sizes(resources, place)
        _require_semaphores()
        how = {
            "distributed.nanny.pre-spawn-environ": LOCAL_ENVIRONMENT,
            "distributed.worker.multiprocessing-method": fork_from(place.preload, LOCAL_ENVIRONMENT),
        }
        with dask.config.set(CLUSTER_CONFIG | KEEPER_CONFIG | how):
            try:
                with starting_with(LOCAL_ENVIRONMENT):
                    cluster = LocalCluster(
                        n_workers=workers,
                        threads_per_worker=threads,
                        processes=True,
                        host="127.0.0.1",
                        # None would still take port 8787, if only to warn of it.
                        dashboard_address="127.0.0.1:0",
                        memory_limit=worker_bytes,
                        silence_logs="CRITICAL",
                    )
            except (OSError, RuntimeError, TimeoutError) as error:
                raise SchedulerError(
                    f"{workers} local workers did not start: {error}. Try --workers 1."
                ) from error
            with cluster, Client(cluster) as client:
                if Path("/dev/nvidiactl").exists():
                    place.tell("This machine has a GPU, which is left alone here: see --scheduler cuda.")
                yield Cluster(client, workers, threads, worker_bytes, Keeper(cluster, workers).watch)

    def _sizes(self, resources: Resources, place: Place) -> tuple[int, int, int]:
        """Workers, threads of each, bytes of each."""
        if place.settings:
            raise InputError(f"--scheduler local has no setting {', '.join(map(repr, place.settings))}.")
        memory_bytes = int(MEMORY_LIMIT)
        one_block = resources.process_bytes + resources.block_bytes
        workers = resources.workers or fitting_workers(cores(), memory_bytes, one_block)
        worker_bytes = memory_bytes // workers
        return workers, fitting_threads(worker_bytes, resources), worker_bytes


def _require_semaphores() -> None:
    """Refuses a machine on which no process can be started and heard of; Dask would wait for good."""
    try:
        multiprocessing.get_context("spawn").Lock()
    except OSError as error:
        raise SchedulerError(
            f"worker processes can't be started here: no semaphore can be made ({error}). Make /dev/shm "
            "writable; a container may need --shm-size, or that folder mounted."
        ) from error


def fitting_workers(cores: int, memory_bytes: int, worker_bytes: int) -> int:
    """As many as there are cores, fewer where that many workers with a block each would not fit in memory."""
    return max(1, min(cores, memory_bytes // max(1, worker_bytes)))


def cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0))
