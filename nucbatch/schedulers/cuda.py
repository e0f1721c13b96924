"""Backend for this machine's GPUs: several worker processes per GPU, started by dask-cuda on loopback only.

Everything but the network runs on the CPU, where the threads of one process compete for Python's global
interpreter lock. So there is one process per core, each with an inference queue of its own, as far as main
and GPU memory allow. Each process runs two blocks: one uses the core while the other waits for the GPU.
Measured on an H200: 583 Mpx/s with sixteen processes, 501 Mpx/s with one.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from distributed.system import MEMORY_LIMIT

from nucbatch.core.errors import InputError, SchedulerError
from nucbatch.schedulers.contract import Cluster, Place, Resources
from nucbatch.schedulers.environment import WORKER_ENVIRONMENT
from nucbatch.schedulers.local import cores, fitting_workers
from nucbatch.schedulers.machine import cluster_here
from nucbatch.schedulers.workers import fitting_on_gpu, fitting_threads

if TYPE_CHECKING:
    from distributed import LocalCluster

_INSTEAD = "or use --scheduler local."


class Cuda:
    """Worker processes that share this machine's GPUs."""

    def preview(self, resources: Resources, place: Place) -> str:
        """Describes the cluster in one sentence; see :class:`nucbatch.schedulers.contract.Backend`."""
        workers, threads, worker_bytes = _sizes(resources, place)
        there = len(gpus())
        share = f"{there} GPUs" if there > 1 else "a GPU"
        return (
            f"{workers} worker processes on this machine, which share {share}, with up to "
            f"{worker_bytes / 2**30:.1f} GiB and {threads} blocks at once each."
        )

    @contextmanager
    def connect(self, resources: Resources, place: Place) -> Iterator[Cluster]:
        """Starts dask-cuda's local cluster; see :class:`nucbatch.schedulers.contract.Backend`."""
        sizes = _sizes(resources, place)
        with cluster_here(_cluster, sizes, WORKER_ENVIRONMENT, place, f", {_INSTEAD.rstrip('.')}") as cluster:
            yield cluster


def _cluster(**options: Any) -> LocalCluster:
    """Starts dask-cuda's cluster, changed so that each worker sees one GPU and several share it."""
    from dask_cuda import LocalCUDACluster
    from pynvml import NVMLError

    class Shared(LocalCUDACluster):  # type: ignore[misc]  # dask-cuda has no types
        cuda_visible_devices: list[int | str]

        def new_worker_spec(self) -> dict[str, Any]:
            taken = Counter(
                spec["options"]["env"]["CUDA_VISIBLE_DEVICES"] for spec in self.worker_spec.values()
            )
            every = self.cuda_visible_devices
            device = min(every, key=lambda one: taken[str(one)])
            self.cuda_visible_devices = [device]
            try:
                ((_, spec),) = super().new_worker_spec().items()
            finally:
                self.cuda_visible_devices = every
            self._i += 1  # Dask's counter for worker names
            return {f"{device}-{self._i}": spec}

    try:
        return Shared(
            CUDA_VISIBLE_DEVICES=gpus(),
            data=dict,  # results are small; keep them in memory and never spill to disk
            resources={"GPU": 1},
            **options,
        )
    except NVMLError as error:
        raise SchedulerError(f"NVIDIA's driver reports: {error}") from error


def gpus() -> list[str]:
    """Lists the GPUs that this process may use, named as in ``CUDA_VISIBLE_DEVICES``: numbers or UUIDs.

    Raises:
        SchedulerError: no usable GPU, or a package or driver is missing.
    """
    try:
        from dask_cuda.utils import get_gpu_count
        from pynvml import NVMLError
    except ImportError as error:
        raise SchedulerError(
            f"--scheduler cuda needs more packages ({error}): python -m pip install 'nucbatch[cuda]', "
            f"{_INSTEAD}"
        ) from error
    try:
        # Ask the driver first: the environment variable may name GPUs that do not exist.
        count = int(get_gpu_count())
    except NVMLError as error:
        raise SchedulerError(
            f"no GPU can be used on this machine: {error} (NVML). Check that `nvidia-smi` lists one; if "
            f"not, install NVIDIA's driver, {_INSTEAD}"
        ) from error
    if count < 1:
        raise SchedulerError(f"NVIDIA's driver lists no GPU on this machine: add one, {_INSTEAD}")
    found = visible(os.environ.get("CUDA_VISIBLE_DEVICES"), count)
    if not found:
        raise SchedulerError(f"CUDA_VISIBLE_DEVICES hides this machine's GPUs: unset it, {_INSTEAD}")
    return found


def visible(variable: str | None, count: int) -> list[str]:
    """Lists the GPUs that ``CUDA_VISIBLE_DEVICES`` exposes, of ``count``: numbers, UUIDs or MIG instances."""
    names = map(str, range(count)) if variable is None else map(str.strip, variable.split(","))
    return [
        name for name in names if name.startswith(("GPU-", "MIG-")) or (name.isdigit() and int(name) < count)
    ]


def _gpu_bytes(names: list[str]) -> int:
    """Returns the memory of the smallest of these GPUs, in bytes."""
    from dask_cuda.utils import get_device_total_memory, nvml_device_index

    sizes = [get_device_total_memory(nvml_device_index(0, name)) for name in names]
    return min(size for size in sizes if size) if any(sizes) else int(MEMORY_LIMIT)


def _sizes(resources: Resources, place: Place) -> tuple[int, int, int]:
    """Returns the number of workers, and the threads and memory (bytes) of each.

    Raises:
        InputError: a setting is given, or more workers than fit. SchedulerError: no usable GPU.
    """
    if place.settings:
        raise InputError(f"--scheduler cuda has no setting {', '.join(map(repr, place.settings))}.")
    there = gpus()
    of_each = _gpu_bytes(there)
    most = len(there) * fitting_on_gpu(of_each, resources)
    memory_bytes = int(MEMORY_LIMIT)
    if resources.workers is None:
        one_block = resources.process_bytes + resources.block_bytes
        workers = fitting_workers(min(most, max(cores(), len(there))), memory_bytes, one_block)
    elif resources.workers > most:
        raise InputError(
            f"{resources.workers} workers don't fit: each needs {resources.device_bytes / 2**30:.1f} GiB of "
            f"GPU memory, and this machine's GPUs ({len(there)}) have {of_each / 2**30:.1f} GiB each. Use at "
            f"most --workers {most}."
        )
    else:
        workers = resources.workers
    worker_bytes = memory_bytes // workers
    return workers, fitting_threads(worker_bytes, resources), worker_bytes
