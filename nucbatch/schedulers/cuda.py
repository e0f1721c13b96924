"""This machine's GPUs: one process for each, on loopback only, by dask-cuda.

The decision owned here: a process has as many blocks at once as keep its GPU fed, which is more than a
process without one has, because decoding and objects take the processor while the network does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dask
from distributed import Client
from distributed.system import MEMORY_LIMIT

from nucbatch.errors import InputError, SchedulerError
from nucbatch.schedulers.contract import Cluster, Place, Resources
from nucbatch.schedulers.environment import WORKER_ENVIRONMENT, starting_with
from nucbatch.schedulers.keeper import KEEPER_CONFIG, Keeper
from nucbatch.schedulers.local import cores
from nucbatch.schedulers.workers import CLUSTER_CONFIG, fitting_threads

_MOST_THREADS_PER_GPU = 16
_INSTEAD = "or use --scheduler local."


class Cuda:
    """One worker process per GPU."""

    def preview(self, resources: Resources, place: Place) -> str:
        """One sentence; see :class:`nucbatch.schedulers.contract.Backend`."""
        workers, threads, worker_bytes = _sizes(resources, place)
        return (
            f"{workers} worker processes with a GPU each on this machine, with up to "
            f"{worker_bytes / 2**30:.1f} GiB and {threads} blocks at once each."
        )

    @contextmanager
    def connect(self, resources: Resources, place: Place) -> Iterator[Cluster]:
        """dask-cuda's local cluster; see :class:`nucbatch.schedulers.contract.Backend`."""
        workers, threads, worker_bytes = _sizes(resources, place)
        from dask_cuda import LocalCUDACluster
        from pynvml import NVMLError

        with dask.config.set(CLUSTER_CONFIG | KEEPER_CONFIG):
            try:
                with starting_with(WORKER_ENVIRONMENT):
                    cluster = LocalCUDACluster(
                        n_workers=workers,
                        threads_per_worker=threads,
                        host="127.0.0.1",
                        protocol="tcp",
                        dashboard_address="127.0.0.1:0",
                        memory_limit=worker_bytes,
                        resources={"GPU": 1},
                        silence_logs="CRITICAL",
                    )
            except (OSError, RuntimeError, TimeoutError, ValueError, NVMLError) as error:
                raise SchedulerError(
                    f"{workers} workers with a GPU each did not start: {error}. Try --workers 1, {_INSTEAD}"
                ) from error
            with cluster, Client(cluster) as client:
                yield Cluster(client, workers, threads, worker_bytes, Keeper(cluster, workers).watch)


def gpus() -> int:
    """GPUs that this process may use.

    Raises:
        SchedulerError: none, or what is needed to use one is missing.
    """
    try:
        from dask_cuda.utils import get_n_gpus
        from pynvml import NVMLError
    except ImportError as error:
        raise SchedulerError(
            f"--scheduler cuda needs more packages ({error}): python -m pip install 'nucbatch[cuda]', "
            f"{_INSTEAD}"
        ) from error
    try:
        # The driver is asked too, because an environment variable may name GPUs where there are none.
        from dask_cuda.utils import get_gpu_count

        count = min(int(get_gpu_count()), int(get_n_gpus()))
    except NVMLError as error:
        raise SchedulerError(
            f"no GPU can be used on this machine: {error} (NVML). See whether `nvidia-smi` lists one; if "
            f"not, install NVIDIA's driver, {_INSTEAD}"
        ) from error
    if count < 1:
        raise SchedulerError(f"NVIDIA's driver lists no GPU on this machine: add one, {_INSTEAD}")
    return count


def _sizes(resources: Resources, place: Place) -> tuple[int, int, int]:
    """Workers, threads of each, bytes of each."""
    if place.settings:
        raise InputError(f"--scheduler cuda has no setting {', '.join(map(repr, place.settings))}.")
    there = gpus()
    workers = there if resources.workers is None else resources.workers
    if workers > there:
        raise InputError(
            f"{workers} workers need a GPU each, and there are {there}: ask for at most that many."
        )
    worker_bytes = int(MEMORY_LIMIT) // workers
    most = max(2, min(_MOST_THREADS_PER_GPU, cores() // workers))
    return workers, fitting_threads(worker_bytes, resources, most), worker_bytes
