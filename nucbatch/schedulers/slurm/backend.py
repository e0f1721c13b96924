"""SLURM as a backend: asked first, then jobs; between driver and workers nothing goes unencrypted.

The decision owned here: the order of a sitting. What can be refused is refused before a key is made or a job
submitted; in the end every job that was submitted is cancelled.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import dask
from distributed import Client

from nucbatch.core.errors import SchedulerError
from nucbatch.schedulers.contract import Cluster, Place, Resources
from nucbatch.schedulers.slurm.commands import SlurmSilent, require_commands, would_start
from nucbatch.schedulers.slurm.script import WorkerSpec, worker_spec
from nucbatch.schedulers.workers import CLUSTER_CONFIG, MOST_THREADS_PER_WORKER, no_http

_WATCHED = {"distributed.scheduler.worker-ttl": None}
"""Dask would ask a frozen worker's guard to start it again; the watch ends the job instead."""


class Slurm:
    """Workers as SLURM jobs."""

    def preview(self, resources: Resources, place: Place) -> str:
        """The job script, and what SLURM says of it; see :class:`nucbatch.schedulers.contract.Backend`."""
        spec = worker_spec(resources, place)
        script = _script(spec)
        try:
            require_commands()
            verdict = f"SLURM says: {would_start(script)}"
        except SchedulerError as error:
            verdict = f"It can't be submitted: {error}"
        return f"{_jobs_sentence(spec)}\n\n{script}\n{verdict}"

    @contextmanager
    def connect(self, resources: Resources, place: Place) -> Iterator[Cluster]:
        """Jobs, with a first worker connected; see :class:`nucbatch.schedulers.contract.Backend`."""
        spec = worker_spec(resources, place)
        require_commands()
        would_start(_script(spec))
        from nucbatch.schedulers.keys import sitting_keys
        from nucbatch.schedulers.slurm.jobs import WorkerJobs
        from nucbatch.schedulers.slurm.watch import Watch
        from nucbatch.schedulers.walltime import LeavesInTime

        spec.logs.mkdir(parents=True, exist_ok=True)
        with (
            sitting_keys(spec.folder) as keys,
            # Dask puts it on this process' import path, so it must not be everybody's.
            tempfile.TemporaryDirectory(prefix="nucbatch-", ignore_cleanup_errors=True) as scratch,
            dask.config.set(CLUSTER_CONFIG | no_http() | _WATCHED | {"temporary-directory": scratch}),
        ):
            jobs = WorkerJobs(spec, keys.security())
            try:
                with Client(jobs) as client:
                    client.register_plugin(LeavesInTime())
                    watch = Watch(jobs, spec, place.tell, place.inform)
                    watch.wait_for_a_worker(place.leaving)
                    workers = spec.settings.max_jobs * spec.processes
                    yield Cluster(client, workers, spec.threads, spec.worker_bytes, watch)
            finally:
                try:
                    jobs.end()
                except SlurmSilent as error:
                    place.tell(f"{error} They end by themselves when they find nobody.")


def _script(spec: WorkerSpec) -> str:
    """The script of a worker job.

    Raises:
        SchedulerError: dask-jobqueue is not installed.
    """
    try:
        from nucbatch.schedulers.slurm.jobs import preview_script
    except ImportError as error:
        raise SchedulerError(
            f"--scheduler slurm needs more packages ({error}): python -m pip install dask-jobqueue."
        ) from error
    return preview_script(spec)


def _jobs_sentence(spec: WorkerSpec) -> str:
    settings = spec.settings
    count = (
        f"{settings.min_jobs} to {settings.max_jobs}"
        if settings.min_jobs < settings.max_jobs
        else settings.max_jobs
    )
    busy = MOST_THREADS_PER_WORKER * spec.processes
    spare = (
        f" A job's workers keep {busy} cores busy: {spec.cores} are more than they can use."
        if spec.cores > busy
        else ""
    )
    each = "one worker process" if spec.processes == 1 else f"{spec.processes} worker processes"
    return (
        f"{count} SLURM jobs with {each} each: {spec.cores} cores, "
        f"{spec.memory_bytes / 2**30:.1f} GiB, {'one GPU, ' if settings.with_gpu else ''}"
        f"{spec.blocks} blocks at once, {settings.walltime / 60:.0f} min; replaced as they end.{spare}"
    )
