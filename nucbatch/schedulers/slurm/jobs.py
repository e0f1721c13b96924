"""dask-jobqueue's SLURM cluster, with what goes wrong at submission kept, and names never used twice.

The decision owned here: how dask-jobqueue is used. It writes the script and calls ``sbatch``; which jobs
there are to be is decided by the watch, and by nothing that runs in the background.
"""

from __future__ import annotations

import asyncio
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
    """Imports dask-jobqueue without its two side effects.

    It writes a file into the user's Dask configuration; and it installs a handler for Ctrl-C that ends the
    process with 0 at once, in place of the one that has work in hand committed first.
    """
    path, install = dask.config.PATH, signal.signal
    with tempfile.TemporaryDirectory() as elsewhere:
        dask.config.PATH = elsewhere
        # Replaced, not undone afterwards: outside the main thread the call itself would fail.
        signal.signal = lambda signalnum, handler: signal.getsignal(signalnum)
        try:
            yield
        finally:
            dask.config.PATH, signal.signal = path, install


with _without_side_effects():
    from dask_jobqueue.slurm import SLURMCluster, SLURMJob

_SUBMIT_TIMEOUT_S, _CLOSE_TIMEOUT_S = 180, 60
_UNFINISHED = {"waiting", "no-worker", "queued", "processing"}
NOWHERE = "'<address of the driver>'"
"""In a preview, what only a scheduler that runs could tell."""


class WorkerJob(SLURMJob):  # type: ignore[misc]  # dask-jobqueue has no types here
    """One worker job. ``refusal`` is what SLURM said instead of taking it."""

    def __init__(self, scheduler: str, name: str, *, spec: WorkerSpec, **shared: Any) -> None:
        # ``shared`` is what the cluster has for its scheduler too; the spec says it for the job, quoted.
        super().__init__(scheduler, name, **spec.job_arguments())
        self.submit_command = shlex.join(submission(self.job_script()))
        self.refusal = ""

    @property
    def worker_process_memory(self) -> str:
        """To the byte: dask-jobqueue's own rounds to what people read."""
        return f"{self.worker_memory // self.worker_processes}B"

    async def start(self) -> None:
        """Submits; a refusal is kept for the watch, which would else be a line in a log."""
        try:
            await asyncio.wait_for(super().start(), _SUBMIT_TIMEOUT_S)
        except TimeoutError:
            self.refusal = f"sbatch has not answered for {_SUBMIT_TIMEOUT_S} s"
        except (RuntimeError, OSError, ValueError) as error:
            self.refusal = " ".join(str(error).rpartition("stderr:\n")[2].split())
        self.status = Status.running

    async def close(self) -> None:
        """Jobs are cancelled all at once, with one ``scancel``; here is nothing left to do."""
        self.status = Status.closed


class FinishedBlocks(SchedulerPlugin):  # type: ignore[misc]  # distributed has no types here
    """Counts blocks that came to an end, well or with an error, by their jobs' names."""

    name = "nucbatch-finished-blocks"

    def __init__(self, scheduler: Scheduler, job_of: Callable[[str], str]) -> None:
        self._scheduler, self._job_of = scheduler, job_of
        self.by_job: dict[str, int] = {}

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        """Dask's hook for each change of a task's state."""
        # One that was given up because its workers died comes without a worker that is there.
        worker = self._scheduler.workers.get(kwargs.get("worker", ""))
        if start == "processing" and finish in ("memory", "erred") and worker is not None:
            job = self._job_of(worker.name)
            self.by_job[job] = self.by_job.get(job, 0) + 1


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A job's connected workers: the longest any has said nothing, and whether none has anything to do."""

    silent_s: float
    idle: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """How things stand, by jobs' names: jobs, workers, blocks finished; and how many tasks are not done."""

    job_ids: Mapping[str, str]
    refusals: Mapping[str, str]
    workers: Mapping[str, WorkerSeen]
    unfinished: int
    finished: Mapping[str, int]


class WorkerJobs(SLURMCluster):  # type: ignore[misc]  # dask-jobqueue has no types here
    """The scheduler of a sitting, which runs in this process, and its worker jobs by name.

    Methods are for the driver's thread; what they do happens in the thread of Dask's event loop.
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
        self._doomed: set[str] = set()
        self._job_of = spec.job_of
        self._finished = FinishedBlocks(self.scheduler, spec.job_of)
        self.sync(self._plug_in)

    def look(self) -> Seen:
        """How things stand now."""
        seen: Seen = self.sync(self._look)
        return seen

    def submit(self, count: int) -> None:
        """So many jobs more."""
        self.sync(self._submit, count)

    def release(self, names: Collection[str]) -> None:
        """Lets workers that have nothing to do go; they say good-bye first, and their jobs end."""
        if names:
            self.sync(self._release, names)
            self.drop(names)

    def drop(self, names: Collection[str]) -> None:
        """Ends jobs, whatever their workers do, and counts on them no more; blocks go to other workers.

        Raises:
            SlurmSilent: SLURM does not answer.
        """
        if names:
            self._doomed |= self.sync(self._drop, names)
            cancel(self._doomed)
            self._doomed.clear()

    def end(self) -> None:
        """Ends the scheduler and every job that was ever submitted."""
        try:
            with suppress(TimeoutError):  # the jobs are cancelled all the same, and nothing else is left
                self.close(timeout=_CLOSE_TIMEOUT_S)
        finally:
            cancel(self._submitted)

    def new_worker_spec(self) -> dict[str, Any]:
        """Never an old name: what is said of one that is gone must not be taken for a new one."""
        spec: dict[str, Any] = super().new_worker_spec()
        self._i += 1
        return spec

    def _update_worker_status(self, op: str, msg: Any) -> None:
        # Not SpecCluster's, which in its own time ends the jobs of workers that left: the watch does.
        DaskCluster._update_worker_status(self, op, msg)

    async def _plug_in(self) -> None:
        self.scheduler.add_plugin(self._finished)

    async def _look(self) -> Seen:
        now = time()
        jobs: dict[str, WorkerJob] = dict(self.workers)
        self._submitted.update(job.job_id for job in jobs.values() if job.job_id)
        connected: dict[str, list[WorkerState]] = {}
        for worker in self.scheduler.workers.values():
            connected.setdefault(self._job_of(worker.name), []).append(worker)
        return Seen(
            {name: job.job_id for name, job in jobs.items() if job.job_id},
            {name: job.refusal for name, job in jobs.items() if job.refusal},
            {
                name: WorkerSeen(
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
        await self._look()

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
        """The connected workers of these jobs."""
        return [worker for worker in self.scheduler.workers.values() if self._job_of(worker.name) in names]


def preview_script(spec: WorkerSpec) -> str:
    """A worker job's script, exactly as it will be submitted but for the driver's address and a number."""
    script: str = WorkerJob(NOWHERE, f"{spec.name}-0", spec=spec).job_script()
    return script
