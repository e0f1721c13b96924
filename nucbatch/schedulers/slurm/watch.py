"""Watches worker jobs: scales their number with the work, replaces lost ones and reports to the user.

Ends the session with an error if jobs repeatedly end before their workers connect, if jobs repeatedly end
without finishing a block, if SLURM will never start the jobs, or if no worker is connected for too long.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

from nucbatch.core.errors import SchedulerError
from nucbatch.schedulers.slurm import commands
from nucbatch.schedulers.slurm.commands import JobState, SlurmNoAnswer
from nucbatch.schedulers.slurm.job_state import JobHealth, JobHistory
from nucbatch.schedulers.slurm.jobs import Snapshot, WorkerJobs
from nucbatch.schedulers.slurm.script import WorkerSpec
from nucbatch.schedulers.slurm.waiting import PendingReasons

_POLL_S = 1.0
_MOST_IN_A_ROW = 3
"""Failed jobs in a row, per connected worker, before the session ends."""
_LONGEST_PAUSE_POLLS = 64
_LONGEST_QUERY_INTERVAL_S = 30.0
"""Longest time between two calls of ``squeue``, so that a long wait does not burden SLURM."""
_CALM_POLLS = 3
"""Polls in a row with too little work, before workers are released."""
_LOG_LINES, _LOG_BYTES = 12, 4096


class Watch:
    """Checks and adjusts the worker jobs of one session each time it is called."""

    def __init__(
        self, jobs: WorkerJobs, spec: WorkerSpec, tell: Callable[[str], None], inform: Callable[[str], None]
    ) -> None:
        self._jobs, self._spec, self._settings = jobs, spec, spec.settings
        self._tell, self._inform, self._pending = tell, inform, PendingReasons()
        self._histories: dict[str, JobHistory] = {}
        self._told_once: set[str] = set()
        self._failed_starts = self._fruitless = self._finished = self._surplus_polls = self._pause_polls = 0
        self._last_worker_at = self._queried_at = monotonic()
        self._query_interval_s = 0.0
        self._states: dict[str, JobState] = {}
        self._connected: object = None

    def wait_for_a_worker(self, leaving: Callable[[], bool]) -> None:
        """Submits the first jobs and polls until a worker is connected, or the user asks to stop.

        Raises:
            SchedulerError: see :meth:`__call__`.
        """
        while not leaving():
            self()
            if self._jobs.snapshot().workers:
                return
            sleep(_POLL_S)

    def __call__(self) -> None:
        """Checks all jobs once: replaces failed ones, adjusts their number and reports to the user.

        Raises:
            SchedulerError: the run can't go on; the message says why.
        """
        snapshot = self._jobs.snapshot()
        if snapshot.workers:
            self._last_worker_at = monotonic()
        try:
            states = self._query(snapshot)
            self._note_progress(snapshot)
            self._replace_refused(snapshot)
            self._replace_ended(snapshot, states)
            self._scale(snapshot, states)
        except SlurmNoAnswer as error:
            self._tell_once("no answer", f"{error} Connected workers continue.")
            self._require_worker_in_time(snapshot, str(error))
            return
        self._told_once.discard("no answer")
        for message in self._pending.update(states, workers_connected=bool(snapshot.workers)):
            self._tell(message)
        if self._pending.impossible and not snapshot.workers:
            raise SchedulerError(f"SLURM will never start the worker jobs. {self._pending.impossible}")
        self._require_worker_in_time(snapshot, self._pending.text)

    def _query(self, snapshot: Snapshot) -> dict[str, JobState]:
        """Returns the jobs' states in SLURM's queue.

        Queries SLURM at once when jobs or workers have changed, and less and less often while nothing
        changes.
        """
        connected = frozenset(snapshot.job_ids.items()), frozenset(snapshot.workers)
        if connected != self._connected:
            self._connected, self._query_interval_s = connected, 0.0
        if monotonic() - self._queried_at >= self._query_interval_s:
            states = commands.states(snapshot.job_ids.values())
            self._query_interval_s = (
                min(_LONGEST_QUERY_INTERVAL_S, 1.5 * self._query_interval_s + 1)
                if states == self._states
                else 0
            )
            self._queried_at, self._states = monotonic(), states
        return self._states

    def _note_progress(self, snapshot: Snapshot) -> None:
        finished = sum(snapshot.finished.values())
        if finished > self._finished:
            self._finished, self._fruitless = finished, 0

    def _replace_refused(self, snapshot: Snapshot) -> None:
        for name, refusal in snapshot.refusals.items():
            self._jobs.drop([name])
            self._count_failed_start()
            if self._failed_starts >= _MOST_IN_A_ROW and not snapshot.workers:
                raise commands.refused(refusal)
            self._tell_once("refused", f"SLURM refuses a worker job for now: {refusal}.")

    def _replace_ended(self, snapshot: Snapshot, states: dict[str, JobState]) -> None:
        self._histories = {
            name: self._histories.get(name) or JobHistory(job_id) for name, job_id in snapshot.job_ids.items()
        }
        for name, history in self._histories.items():
            state, connected_before = states[history.job_id], history.connected
            health = history.classify(state, snapshot.workers.get(name), monotonic(), self._settings)
            if history.connected and not connected_before:
                self._failed_starts = self._pause_polls = 0
                self._told_once.clear()
            if health is not JobHealth.ACTIVE:
                self._jobs.drop([name])
                self._report_ended(health, history, state, snapshot, blocks=snapshot.finished.get(name, 0))

    def _report_ended(
        self, health: JobHealth, history: JobHistory, state: JobState, snapshot: Snapshot, blocks: int
    ) -> None:
        """Reports a job that is over.

        Args:
            blocks: number of blocks that the job has finished.

        Raises:
            SchedulerError: too many jobs in a row have failed.
        """
        job = f"Job {history.job_id}" + (f" on {history.node}" if history.node else "")
        if health in (JobHealth.FAILED_TO_START, JobHealth.NEVER_CONNECTED):
            self._count_failed_start()
            how = (
                f"ended ({state.state}) before its worker connected"
                if health is JobHealth.FAILED_TO_START
                else f"runs, but its worker has not connected for {self._settings.start_timeout_s:.0f} s"
            )
            message = f"{job} {how}. {log_tail(self._spec.log(history.job_id))}"
            if self._failed_starts >= _MOST_IN_A_ROW * (1 + len(snapshot.workers)):
                raise SchedulerError(
                    f"worker jobs don't come up: {self._failed_starts} in a row did not. {message}\n"
                    "Check the prologue (modules, conda), --python, and that nodes can reach this machine "
                    "(--interface names the network they share)."
                )
            self._tell_once("failed start", f"{message}\nA new job is submitted.")
            return
        in_order = health is JobHealth.COMPLETED
        had_work = not in_order or snapshot.unfinished > len(snapshot.workers) * self._spec.blocks
        if not blocks and had_work:
            self._fruitless += 1
        say = self._inform if in_order else self._tell
        say(f"{job} {self._outcome_text(health, state)}")
        if self._fruitless >= _MOST_IN_A_ROW * max(1, len(snapshot.workers)):
            raise SchedulerError(self._fruitless_text(state))

    def _outcome_text(self, health: JobHealth, state: JobState) -> str:
        if health is JobHealth.COMPLETED:
            return "ended in order before its walltime."
        if health is JobHealth.DISCONNECTED:
            return f"is cancelled: its worker was disconnected for {self._settings.lost_timeout_s:.0f} s."
        if health is JobHealth.UNRESPONSIVE:
            return f"is cancelled: its worker did not respond for {self._settings.frozen_timeout_s:.0f} s."
        return f"was ended ({state.state}); other workers take its blocks."

    def _fruitless_text(self, state: JobState) -> str:
        problem = f"{self._fruitless} worker jobs in a row ended ({state.state}) without finishing a block"
        again = "then repeat the command: finished work is kept."
        if state.state in ("TIMEOUT", "COMPLETED"):
            return (
                f"{problem}: a block takes longer than a job may run. Give more --walltime (now "
                f"{self._settings.walltime / 60:.0f} min) or smaller blocks (--block-size), {again}"
            )
        return f"{problem}: find out why (`scontrol show job`; logs in {self._spec.logs}), {again}"

    def _count_failed_start(self) -> None:
        self._failed_starts += 1
        self._pause_polls = min(_LONGEST_PAUSE_POLLS, 2**self._failed_starts)

    def _require_worker_in_time(self, snapshot: Snapshot, reason: str) -> None:
        waited_s = monotonic() - self._last_worker_at
        if not snapshot.workers and waited_s > self._settings.queue_timeout_s:
            raise SchedulerError(
                f"no worker for {waited_s:.0f} s, and the limit is {self._settings.queue_timeout_s:.0f} s "
                f"(queue_timeout_s). {reason} Repeat the command later: finished work is kept."
            )

    def _scale(self, snapshot: Snapshot, states: dict[str, JobState]) -> None:
        """Submits or releases jobs so that their number fits the remaining work, within the limits."""
        settings, names = self._settings, set(self._jobs.worker_spec)
        busy = math.ceil(snapshot.unfinished / self._spec.blocks)
        wanted = min(settings.max_jobs, max(settings.min_jobs, busy))
        self._pause_polls = max(0, self._pause_polls - 1)
        if len(names) < wanted and not self._pause_polls:
            self._jobs.submit(wanted - len(names))
        self._surplus_polls = self._surplus_polls + 1 if len(names) > wanted else 0
        if self._surplus_polls < _CALM_POLLS:
            return
        surplus = len(names) - wanted
        queued = [name for name, job_id in snapshot.job_ids.items() if name in names and states[job_id].waits]
        idle = [name for name, worker in snapshot.workers.items() if name in names and worker.idle]
        self._jobs.drop(queued[:surplus])
        self._jobs.release(idle[: max(0, surplus - len(queued))])

    def _tell_once(self, about: str, message: str) -> None:
        if about not in self._told_once:
            self._told_once.add(about)
            self._tell(message)


def log_tail(log: Path) -> str:
    """Returns the last lines of a job's log, indented, after a sentence that names the file."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return f"It wrote no log ({log})."
    lines = [line.rstrip() for line in text.splitlines() if line.strip()][-_LOG_LINES:]
    return f"The end of its log ({log}):\n" + "\n".join(f"    {line}" for line in lines)
