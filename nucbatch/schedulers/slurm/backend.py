"""SLURM backend: checks the request with SLURM, submits worker jobs and cancels them at the end.

Invalid requests are refused before keys are generated or a job is submitted. At the end of the session every
submitted job is cancelled. All connections between driver and workers are encrypted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import dask
from distributed import Client

from nucbatch.core.errors import SchedulerError
from nucbatch.schedulers.contract import Cluster, Place, Resources
from nucbatch.schedulers.slurm.commands import SlurmNoAnswer, require_commands, submission_test
from nucbatch.schedulers.slurm.script import WorkerSpec, worker_spec
from nucbatch.schedulers.workers import CLUSTER_CONFIG, MOST_THREADS_PER_WORKER, no_http

_WATCHED = {"distributed.scheduler.worker-ttl": None}
"""Turns off Dask's restart of unresponsive workers by their nannies; the watch cancels the job instead."""


class Slurm:
    """Runs workers as SLURM jobs."""

    def preview(self, resources: Resources, place: Place) -> str:
        """Shows the job script and SLURM's answer; see :class:`nucbatch.schedulers.contract.Backend`."""
        spec = worker_spec(resources, place)
        script = _script(spec)
        try:
            require_commands()
            verdict = f"SLURM says: {submission_test(script)}"
        except SchedulerError as error:
            verdict = f"It can't be submitted: {error}"
        return f"{_jobs_sentence(spec)}\n\n{script}\n{verdict}"

    @contextmanager
    def connect(self, resources: Resources, place: Place) -> Iterator[Cluster]:
        """Submits jobs and waits for a first worker; see :class:`nucbatch.schedulers.contract.Backend`."""
        spec = worker_spec(resources, place)
        require_commands()
        submission_test(_script(spec))
        from nucbatch.schedulers.keys import session_keys
        from nucbatch.schedulers.slurm.jobs import WorkerJobs
        from nucbatch.schedulers.slurm.watch import Watch
        from nucbatch.schedulers.walltime import WalltimePlugin

        spec.logs.mkdir(parents=True, exist_ok=True)
        with (
            session_keys(spec.folder) as keys,
            # Dask puts this folder on the process' import path, so it must be private to the user.
            tempfile.TemporaryDirectory(prefix="nucbatch-", ignore_cleanup_errors=True) as scratch,
            dask.config.set(CLUSTER_CONFIG | no_http() | _WATCHED | {"temporary-directory": scratch}),
        ):
            jobs = WorkerJobs(spec, keys.security())
            try:
                with Client(jobs) as client:
                    client.register_plugin(WalltimePlugin())
                    watch = Watch(jobs, spec, place.tell, place.inform)
                    watch.wait_for_a_worker(place.leaving)
                    workers = spec.settings.max_jobs * spec.processes
                    yield Cluster(client, workers, spec.threads, spec.worker_bytes, watch)
            finally:
                try:
                    jobs.end()
                except SlurmNoAnswer as error:
                    place.tell(f"{error} They end on their own when they can't reach the scheduler.")


def _script(spec: WorkerSpec) -> str:
    """Returns the script of a worker job.

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
        f" A job's workers use {busy} cores at most, fewer than the {spec.cores} requested."
        if spec.cores > busy
        else ""
    )
    each = "one worker process" if spec.processes == 1 else f"{spec.processes} worker processes"
    return (
        f"{count} SLURM jobs with {each} each: {spec.cores} cores, "
        f"{spec.memory_bytes / 2**30:.1f} GiB, {'one GPU, ' if settings.with_gpu else ''}"
        f"{spec.blocks} blocks at once, {settings.walltime / 60:.0f} min; replaced as they end.{spare}"
    )
