"""The job in which one worker lives: what it asks of SLURM, and the script that starts the worker.

The decision owned here: one job is one process with at most two blocks at once; or it has one GPU, and as
many processes as cores share that, because one alone feeds it with a tenth of what it can do. A worker job is
never requeued by SLURM, which would bring it back under a name that nobody expects; lost ones are replaced by
new ones.
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
from nucbatch.schedulers.slurm.settings import SlurmSettings, require_interface, slurm_settings, walltime_text
from nucbatch.schedulers.walltime import JOB_END
from nucbatch.schedulers.workers import CLUSTER_CONFIG, fitting_on_gpu, fitting_threads, no_http

BESIDE_BYTES = 256 * 2**20
"""Of a job's memory, what its shell and the worker's guard process (Dask's nanny) may use."""

_ROOM = 1.25
"""How much more than projected a job asks for, if its user doesn't say."""

_MIB = 2**20

_SCRATCH = "NUCBATCH_SCRATCH"
"""The shell's variable for a job's folder on its node."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One worker job, settled: sizes, settings, and where its keys and log lie.

    ``threads`` are each process'.
    """

    settings: SlurmSettings
    folder: Path
    name: str
    memory_bytes: int
    threads: int
    processes: int = 1

    @property
    def worker_bytes(self) -> int:
        """What each worker process itself may use."""
        return (self.memory_bytes - BESIDE_BYTES) // self.processes

    @property
    def blocks(self) -> int:
        """How many blocks a job works on at once."""
        return self.threads * self.processes

    def job_of(self, worker: str) -> str:
        """The name of the job in which a worker of that name lives: Dask numbers those that share one."""
        return worker.rpartition("-")[0] if self.processes > 1 else worker

    @property
    def cores(self) -> int:
        """Cores that each job asks for."""
        return self.settings.cores or self.threads

    def log(self, job_id: str) -> Path:
        """What a job printed."""
        return self.logs / f"{job_id}.log"

    @property
    def logs(self) -> Path:
        """Where jobs print to."""
        return self.folder / "logs" / "jobs"

    def job_arguments(self) -> dict[str, Any]:
        """The same for dask-jobqueue's ``SLURMJob``."""
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
            # -P: not the current folder, which -m puts on the import path. Also where a container keeps the
            # environment out.
            "python": f"{settings.python or sys.executable} -P",
            "nanny": True,
            "death_timeout": 60,
            "interface": settings.interface,
            "local_directory": f'"${_SCRATCH}"',
            # Also with a GPU: the one that SLURM gives the job is the one that its processes see.
            "worker_command": "distributed.cli.dask_worker",
            "worker_extra_args": self._worker_arguments(),
            "job_script_prologue": self._prologue(),
            "job_extra_directives": self._directives(),
            # The user's jobqueue.yaml may send logs elsewhere; here they are read.
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
        # The user's lines come between: a module may set the numbers of threads, and has not the last word.
        return [
            f"export {JOB_END}=$(( $(date +%s) + {self.settings.walltime} ))",
            *self.settings.prologue,
            *(f"export {name}={shlex.quote(value)}" for name, value in exported().items()),
            # Empty parts mean the current folder.
            'export PYTHONPATH=$(printf %s "${PYTHONPATH:-}" | sed "s/::*/:/g; s/^://; s/:$//")',
            *self._scratch(),
        ]

    def _scratch(self) -> list[str]:
        """A folder on the node that only the user can enter: Dask puts it on Python's import path."""
        given = self.settings.local_directory
        if given is None:
            # A job may get the TMPDIR of the machine it was submitted from, which its node doesn't have.
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
    """What a worker process must find in its environment, Dask's own settings among it."""
    # What Dask sets before it starts a worker is WORKER_ENVIRONMENT again; the rest goes by Dask's variables.
    settings = {
        f"DASK_{key.upper().replace('.', '__').replace('-', '_')}": str(value)
        for key, value in (CLUSTER_CONFIG | no_http()).items()
        if key.startswith(("distributed.worker.", "distributed.comm.", "distributed.nanny.http."))
    }
    return WORKER_ENVIRONMENT | settings


def worker_spec(resources: Resources, place: Place) -> WorkerSpec:
    """The worker job of a run.

    Raises:
        InputError, InputNotFound: the settings. MemoryRefused: a block does not fit in a job's memory.
    """
    settings = slurm_settings(place.settings, resources.workers)
    require_interface(settings.of_driver)
    folder = place.folder.absolute()
    if re.search(r"[\"\\\n]", str(folder)):
        raise InputError(
            f"the run's folder {str(folder)!r} has a quote, backslash or line break in its name, which no "
            "job script can hold: choose another --out."
        )
    least = BESIDE_BYTES + resources.process_bytes + resources.block_bytes
    memory = settings.memory
    wanted = _sharing(settings, resources)
    if memory is None:
        memory = math.ceil(wanted * (least + resources.block_bytes) * _ROOM / 2**30) * 2**30
    if memory < least:
        raise MemoryRefused(
            f"a block needs {_gib(least)} in one job, which has {_gib(memory)}: ask for more with --memory, "
            "or use smaller blocks (--block-size)."
        )
    memory -= memory % _MIB
    processes = min(wanted, (memory - BESIDE_BYTES) // (least - BESIDE_BYTES))
    threads = fitting_threads((memory - BESIDE_BYTES) // processes, resources)
    if processes == 1:
        threads = min(threads, settings.cores or 2)
    return WorkerSpec(settings, folder, _job_name(place.name), memory, threads, processes)


def _sharing(settings: SlurmSettings, resources: Resources) -> int:
    """How many processes there are to be in a job: several only where they share a GPU, and fit in it."""
    if not settings.with_gpu:
        return 1
    return min(settings.cores or 1, fitting_on_gpu(settings.gpu_memory, resources))


def _job_name(name: str) -> str:
    """A name that SLURM shows and that can't be read as anything else in a script."""
    return f"nucbatch-{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)[:40]}"


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.2f} GiB"
