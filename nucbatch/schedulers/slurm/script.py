"""A worker job's size, its SLURM options and the script that starts the worker.

A job without a GPU runs one worker process with at most two blocks at once. A job with a GPU runs one process
per core, all sharing that GPU, because a single process uses a tenth of what the GPU can do. SLURM never
requeues a worker job, because it would return under a name already in use; lost jobs are replaced by new
ones.
"""

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nucbatch.core.errors import InputError, MemoryRefused
from nucbatch.schedulers.contract import Place, Resources
from nucbatch.schedulers.environment import WORKER_ENVIRONMENT
from nucbatch.schedulers.keys import key_files
from nucbatch.schedulers.slurm.slurm_settings import (
    SlurmSettings,
    require_interface,
    slurm_settings,
    walltime_text,
)
from nucbatch.schedulers.walltime import JOB_END
from nucbatch.schedulers.workers import CLUSTER_CONFIG, fitting_on_gpu, fitting_threads, no_http

OVERHEAD_BYTES = 256 * 2**20
"""Memory of a job reserved for its shell and Dask's nanny process."""

_MEMORY_MARGIN = 1.25
"""Ratio of a job's requested to its projected memory, if the user sets no memory."""

_MIB = 2**20

_SCRATCH = "NUCBATCH_SCRATCH"
"""Shell variable with a job's scratch folder on its node."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """The complete specification of a worker job.

    ``folder``: the run's ``.nucbatch`` folder, for keys and logs. ``name``: the job's name in SLURM.
    ``memory_bytes``: memory of the whole job. ``threads``: blocks that each process runs at once.
    ``processes``: worker processes per job.
    """

    settings: SlurmSettings
    folder: Path
    name: str
    memory_bytes: int
    threads: int
    processes: int = 1

    @property
    def worker_bytes(self) -> int:
        """Memory of each worker process, in bytes."""
        return (self.memory_bytes - OVERHEAD_BYTES) // self.processes

    @property
    def blocks(self) -> int:
        """Number of blocks that a job runs at once."""
        return self.threads * self.processes

    def job_of(self, worker: str) -> str:
        """Returns the name of a worker's job; Dask appends a number to workers that share a job."""
        return worker.rpartition("-")[0] if self.processes > 1 else worker

    @property
    def cores(self) -> int:
        """Number of cores that each job requests."""
        return self.settings.cores or self.threads

    def log(self, job_id: str) -> Path:
        """Returns the path of a job's log."""
        return self.logs / f"{job_id}.log"

    @property
    def logs(self) -> Path:
        """The folder of the jobs' logs."""
        return self.folder / "logs" / "jobs"

    def job_arguments(self) -> dict[str, Any]:
        """Returns the specification as arguments of dask-jobqueue's ``SLURMJob``."""
        settings = self.settings
        return {
            "queue": settings.partition,
            "account": settings.account,
            "walltime": walltime_text(settings.walltime),
            "cores": self.blocks,
            "job_cpu": self.cores,
            "memory": f"{self.worker_bytes * self.processes}B",
            "job_mem": f"{self.memory_bytes // _MIB}M",
            "processes": self.processes,
            "job_name": self.name,
            # -P keeps the current folder, which -m adds, off the import path, also in a container that drops
            # environment variables.
            "python": f"{settings.python or sys.executable} -P",
            "nanny": True,
            "death_timeout": 60,
            "interface": settings.interface,
            "local_directory": f'"${_SCRATCH}"',
            # No dask-cuda is needed for a GPU: SLURM shows each job only the GPU that it assigned.
            "worker_command": "distributed.cli.dask_worker",
            "worker_extra_args": self._worker_arguments(),
            "job_script_prologue": self._prologue(),
            "job_extra_directives": self._directives(),
            # The user's jobqueue.yaml may redirect logs, but the watch must find them.
            "job_directives_skip": [
                "#SBATCH -e ",
                "#SBATCH -o ",
                *(() if settings.asks_for_memory else ("#SBATCH --mem=",)),
                *settings.job_directives_skip,
            ],
        }

    def _directives(self) -> list[str]:
        settings = self.settings
        named = {"qos": settings.qos, "gres": settings.gres, "constraint": settings.constraint}
        return [
            *(f"--{option}={value}" for option, value in named.items() if value),
            *settings.directives,
            "--no-requeue",
            f'--output="{str(self.logs).replace("%", "%%")}/%j.log"',
        ]

    def _prologue(self) -> list[str]:
        # The exports follow the user's lines, because a module may change the numbers of threads.
        return [
            f"export {JOB_END}=$(( $(date +%s) + {self.settings.walltime} ))",
            *self.settings.prologue,
            *(f"export {name}={shlex.quote(value)}" for name, value in exported().items()),
            # Remove empty entries, which mean the current folder.
            'export PYTHONPATH=$(printf %s "${PYTHONPATH:-}" | sed "s/::*/:/g; s/^://; s/:$//")',
            *self._scratch(),
        ]

    def _scratch(self) -> list[str]:
        """Returns the lines that create a private scratch folder; Dask puts it on Python's import path."""
        given = self.settings.local_directory
        if given is None:
            # A job may inherit a TMPDIR that exists only on the machine it was submitted from.
            made = "mktemp -d -t nucbatch-XXXXXXXX 2>/dev/null || mktemp -d /tmp/nucbatch-XXXXXXXX"
        else:
            folder = shlex.quote(given.rstrip("/"))
            made = f"mkdir -p {folder}/ && mktemp -d {folder}/nucbatch-XXXXXXXX"
        return [f"{_SCRATCH}=$({made}) || exit 1", f"trap 'rm -rf \"${_SCRATCH}\"' EXIT"]

    def _worker_arguments(self) -> list[str]:
        arguments = {
            "--protocol": "tls",
            "--dashboard-address": "127.0.0.1:0",
            "--resources": "GPU=1" if self.settings.with_gpu else None,
        } | key_files(self.folder).worker_arguments
        given = [(option, value) for option, value in arguments.items() if value is not None]
        return [*(shlex.quote(part) for pair in given for part in pair), "--no-dashboard"]


def exported() -> Mapping[str, str]:
    """Returns a worker process' environment variables, with Dask's configuration as ``DASK_…``."""
    # The nanny's pre-spawn environment equals WORKER_ENVIRONMENT, so it is not repeated as a DASK_ variable.
    settings = {
        f"DASK_{key.upper().replace('.', '__').replace('-', '_')}": str(value)
        for key, value in (CLUSTER_CONFIG | no_http()).items()
        if key.startswith(("distributed.worker.", "distributed.comm.", "distributed.nanny.http."))
    }
    return WORKER_ENVIRONMENT | settings


def worker_spec(resources: Resources, place: Place) -> WorkerSpec:
    """Sizes the worker jobs of a run from its settings and resources.

    Raises:
        InputError: invalid settings, or a folder name that no script can hold.
        InputNotFound: the profile does not exist.
        MemoryRefused: a block does not fit in a job's memory.
    """
    settings = slurm_settings(place.settings, resources.workers)
    require_interface(settings.of_driver)
    folder = place.folder.absolute()
    if re.search(r"[\"\\\n]", str(folder)):
        raise InputError(
            f"the run's folder {str(folder)!r} has a quote, backslash or line break in its name, which a "
            "job script can't contain: choose another --out."
        )
    least = OVERHEAD_BYTES + resources.process_bytes + resources.block_bytes
    memory = settings.memory
    wanted = _processes_per_job(settings, resources)
    if memory is None:
        memory = math.ceil(wanted * (least + resources.block_bytes) * _MEMORY_MARGIN / 2**30) * 2**30
    if memory < least:
        raise MemoryRefused(
            f"a block needs {_gib(least)}, but a job has {_gib(memory)}: request more with --memory, "
            "or use smaller blocks (--block-size)."
        )
    memory -= memory % _MIB
    processes = min(wanted, (memory - OVERHEAD_BYTES) // (least - OVERHEAD_BYTES))
    threads = fitting_threads((memory - OVERHEAD_BYTES) // processes, resources)
    if processes == 1:
        threads = min(threads, settings.cores or 2)
    return WorkerSpec(settings, folder, _job_name(place.name), memory, threads, processes)


def _processes_per_job(settings: SlurmSettings, resources: Resources) -> int:
    """Returns the number of processes per job: as many as cores and GPU memory allow; 1 without a GPU."""
    if not settings.with_gpu:
        return 1
    return min(settings.cores or 1, fitting_on_gpu(settings.gpu_memory, resources))


def _job_name(name: str) -> str:
    """Returns a job name of characters that are safe in a script."""
    return f"nucbatch-{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)[:40]}"


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.2f} GiB"
