"""The cluster of worker jobs, built on dask-jobqueue's SLURMCluster.

dask-jobqueue writes the job script and calls ``sbatch``. The number of jobs is decided by the watch alone;
dask-jobqueue's own adaptation in the background is turned off. Errors at submission are kept for the watch,
and no job name is used twice.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
import signal
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import time
from typing import Any

import dask.config
from distributed import Scheduler, SchedulerPlugin
from distributed.core import Status
from distributed.deploy.cluster import Cluster as DaskCluster
from distributed.scheduler import WorkerState
from distributed.security import Security

from nucbatch.schedulers.slurm.commands import cancel, submission
from nucbatch.schedulers.slurm.script import WorkerSpec


@contextmanager
def _without_side_effects() -> Iterator[None]:
    """Suppresses the two side effects of importing dask-jobqueue.

    The import writes a file into the user's Dask configuration. It also replaces the handler of Ctrl-C, which
    commits finished work first, by one that exits at once with status 0.
    """
    path, install = dask.config.PATH, signal.signal
    with tempfile.TemporaryDirectory() as elsewhere:
        dask.config.PATH = elsewhere
        # Replace signal.signal itself: outside the main thread the call would fail.
        signal.signal = lambda signalnum, handler: signal.getsignal(signalnum)
        try:
            yield
        finally:
            dask.config.PATH, signal.signal = path, install


with _without_side_effects():
    from dask_jobqueue.slurm import SLURMCluster, SLURMJob

_log = logging.getLogger(__name__)

_SUBMIT_TIMEOUT_S, _CLOSE_TIMEOUT_S = 180, 60
_UNFINISHED = {"waiting", "no-worker", "queued", "processing"}
NOWHERE = "'<address of the driver>'"
"""Placeholder, in a preview, for the address of a running scheduler."""


class WorkerJob(SLURMJob):  # type: ignore[misc]  # dask-jobqueue has no types here
    """One worker job; ``refusal`` is SLURM's error message if it refused the job, otherwise empty."""

    def __init__(self, scheduler: str, name: str, *, spec: WorkerSpec, **shared: Any) -> None:
        # Ignore ``shared``, the cluster's options: the spec holds the same for the job, quoted for the shell.
        super().__init__(scheduler, name, **spec.job_arguments())
        self.submit_command = shlex.join(submission(self.job_script()))
        self.refusal = ""

    @property
    def worker_process_memory(self) -> str:
        """Memory of a worker process in exact bytes; dask-jobqueue rounds it to a readable value."""
        return f"{self.worker_memory // self.worker_processes}B"

    async def start(self) -> None:
        """Submits the job; keeps a refusal for the watch, which dask-jobqueue would only log."""
        try:
            await asyncio.wait_for(super().start(), _SUBMIT_TIMEOUT_S)
        except TimeoutError:
            self.refusal = f"sbatch has not answered for {_SUBMIT_TIMEOUT_S} s"
        except (RuntimeError, OSError, ValueError) as error:
            self.refusal = " ".join(str(error).rpartition("stderr:\n")[2].split())
        self.status = Status.running

    async def close(self) -> None:
        """Marks the job as closed; the cluster cancels all jobs together, with one ``scancel``."""
        self.status = Status.closed


class FinishedBlocks(SchedulerPlugin):  # type: ignore[misc]  # distributed has no types here
    """Counts the blocks that finished, successfully or with an error, by job name."""

    name = "nucbatch-finished-blocks"

    def __init__(self, scheduler: Scheduler, job_of: Callable[[str], str]) -> None:
        self._scheduler, self._job_of = scheduler, job_of
        self.by_job: dict[str, int] = {}

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        """Handles each change of a task's state; called by Dask."""
        # A task given up because its workers died names no connected worker.
        worker = self._scheduler.workers.get(kwargs.get("worker", ""))
        if start == "processing" and finish in ("memory", "erred") and worker is not None:
            job = self._job_of(worker.name)
            self.by_job[job] = self.by_job.get(job, 0) + 1


@dataclass(frozen=True, slots=True)
class JobWorkers:
    """The state of one job's connected workers.

    ``silent_s``: time since the last message of the worker that has been silent longest. ``idle``: whether no
    worker has a task.
    """

    silent_s: float
    idle: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of all worker jobs at one moment; mappings are by job name.

    ``job_ids``: SLURM's job IDs. ``refusals``: error messages of refused submissions. ``workers``: connected
    workers. ``unfinished``: number of tasks not done yet. ``finished``: number of finished blocks.
    """

    job_ids: Mapping[str, str]
    refusals: Mapping[str, str]
    workers: Mapping[str, JobWorkers]
    unfinished: int
    finished: Mapping[str, int]


class WorkerJobs(SLURMCluster):  # type: ignore[misc]  # dask-jobqueue has no types here
    """A session's Dask scheduler, which runs in this process, and its worker jobs by name.

    Call the public methods from the driver's thread; they run in the thread of Dask's event loop.
    """

    job_cls = WorkerJob

    def __init__(self, spec: WorkerSpec, security: Security) -> None:
        super().__init__(
            spec=spec,
            security=security,
            protocol="tls://",
            interface=spec.settings.interface,
            scheduler_options={
                "interface": spec.settings.of_driver,
                "port": 0,
                "dashboard_address": "127.0.0.1:0",
                "dashboard": False,
            },
            silence_logs="CRITICAL",
            name=spec.name,
        )
        self._submitted: set[str] = set()
        self._to_cancel: set[str] = set()
        self._job_of = spec.job_of
        self._finished = FinishedBlocks(self.scheduler, spec.job_of)
        self.sync(self._plug_in)

    def snapshot(self) -> Snapshot:
        """Returns the current state of all jobs and workers."""
        snapshot: Snapshot = self.sync(self._snapshot)
        return snapshot

    def submit(self, count: int) -> None:
        """Submits ``count`` more jobs."""
        self.sync(self._submit, count)

    def release(self, names: Collection[str]) -> None:
        """Retires the idle workers of these jobs, then ends the jobs."""
        if names:
            self.sync(self._release, names)
            self.drop(names)

    def drop(self, names: Collection[str]) -> None:
        """Cancels jobs, even if their workers are busy; unfinished blocks go to other workers.

        Raises:
            SlurmNoAnswer: SLURM does not answer; the jobs are cancelled in the next call.
        """
        if names:
            self._to_cancel |= self.sync(self._drop, names)
            cancel(self._to_cancel)
            self._to_cancel.clear()

    def end(self) -> None:
        """Stops the scheduler and cancels every job that was ever submitted."""
        try:
            with suppress(TimeoutError):  # the jobs are cancelled below in any case
                self.close(timeout=_CLOSE_TIMEOUT_S)
        finally:
            cancel(self._submitted)

    def new_worker_spec(self) -> dict[str, Any]:
        """Returns the next job's specification, with a name never used before.

        Otherwise late messages about an ended job could be attributed to a new one.
        """
        spec: dict[str, Any] = super().new_worker_spec()
        self._i += 1
        return spec

    def _update_worker_status(self, op: str, msg: Any) -> None:
        # Skip SpecCluster's method, which would cancel the jobs of closed workers: the watch does that.
        DaskCluster._update_worker_status(self, op, msg)

    async def _plug_in(self) -> None:
        self.scheduler.add_plugin(self._finished)

    async def _snapshot(self) -> Snapshot:
        now = time()
        jobs: dict[str, WorkerJob] = dict(self.workers)
        for name, job in jobs.items():
            if job.job_id and job.job_id not in self._submitted:
                _log.info("SLURM job %s is submitted for worker %s", job.job_id, name)
                self._submitted.add(job.job_id)
        connected: dict[str, list[WorkerState]] = {}
        for worker in self.scheduler.workers.values():
            connected.setdefault(self._job_of(worker.name), []).append(worker)
        return Snapshot(
            {name: job.job_id for name, job in jobs.items() if job.job_id},
            {name: job.refusal for name, job in jobs.items() if job.refusal},
            {
                name: JobWorkers(
                    now - min(worker.last_seen for worker in workers),
                    not any(worker.processing for worker in workers),
                )
                for name, workers in connected.items()
            },
            sum(task.state in _UNFINISHED for task in self.scheduler.tasks.values()),
            dict(self._finished.by_job),
        )

    async def _submit(self, count: int) -> None:
        for _ in range(count):
            self.worker_spec.update(self.new_worker_spec())
        await self._correct_state()
        await self._snapshot()

    async def _release(self, names: Collection[str]) -> None:
        await self.scheduler.retire_workers(
            workers=[worker.address for worker in self._workers_of(names)],
            close_workers=True,
            remove=True,
            stimulus_id=f"nucbatch-release-{time()}",
        )

    async def _drop(self, names: Collection[str]) -> set[str]:
        jobs = [self.workers.pop(name) for name in names if name in self.workers]
        for name in names:
            self.worker_spec.pop(name, None)
        for worker in self._workers_of(names):
            await self.scheduler.remove_worker(worker.address, stimulus_id=f"nucbatch-drop-{time()}")
        return {job.job_id for job in jobs if job.job_id}

    def _workers_of(self, names: Collection[str]) -> list[WorkerState]:
        """Lists the connected workers of these jobs."""
        return [worker for worker in self.scheduler.workers.values() if self._job_of(worker.name) in names]


def preview_script(spec: WorkerSpec) -> str:
    """Returns a worker job's script as it will be submitted, except for the driver's address and job name."""
    script: str = WorkerJob(NOWHERE, f"{spec.name}-0", spec=spec).job_script()
    return script
