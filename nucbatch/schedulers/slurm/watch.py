"""The watch over worker jobs: as many as there is work for, lost ones replaced, the user told, and no end
without a reason.

The decisions owned here: how many jobs there are to be, how soon and how often one is tried again, and when
the sitting ends: jobs keep dying before they connect, they keep ending without a block done, or waiting has
no use or lasts too long.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

from nucbatch.core.errors import SchedulerError
from nucbatch.schedulers.slurm import commands
from nucbatch.schedulers.slurm.commands import JobState, SlurmSilent
from nucbatch.schedulers.slurm.job_state import Fate, Record
from nucbatch.schedulers.slurm.jobs import Seen, WorkerJobs
from nucbatch.schedulers.slurm.script import WorkerSpec
from nucbatch.schedulers.slurm.waiting import Queue

_LOOK_S = 1.0
_MOST_IN_A_ROW = 3
"""Jobs one after the other that never connect, or that end without a block done; times the workers there."""
_LONGEST_PAUSE_LOOKS = 64
_LONGEST_UNASKED_S = 30.0
"""A queue of thousands of jobs is not asked every second for days."""
_CALM_LOOKS = 3
"""Work must be too little for so many looks before workers are let go."""
_LOG_LINES, _LOG_BYTES = 12, 4096


class Watch:
    """Looks after the jobs of one sitting each time it is called."""

    def __init__(
        self, jobs: WorkerJobs, spec: WorkerSpec, tell: Callable[[str], None], inform: Callable[[str], None]
    ) -> None:
        self._jobs, self._spec, self._settings = jobs, spec, spec.settings
        self._tell, self._inform, self._queue = tell, inform, Queue()
        self._records: dict[str, Record] = {}
        self._said_once: set[str] = set()
        self._stillborn = self._fruitless = self._finished = self._surplus_looks = self._pause_looks = 0
        self._somebody_at = self._asked_at = monotonic()
        self._ask_every_s = 0.0
        self._states: dict[str, JobState] = {}
        self._connected: object = None

    def wait_for_a_worker(self, leaving: Callable[[], bool]) -> None:
        """Asks for the first jobs, and looks until a worker is there, or the user asks to leave.

        Raises:
            SchedulerError: as when called; it always comes to an end.
        """
        while not leaving():
            self()
            if self._jobs.look().workers:
                return
            sleep(_LOOK_S)

    def __call__(self) -> None:
        """One look: puts right what can be, and tells the user.

        Raises:
            SchedulerError: no waiting will help; the message says why.
        """
        seen = self._jobs.look()
        if seen.workers:
            self._somebody_at = monotonic()
        try:
            states = self._ask_politely(seen)
            self._note_progress(seen)
            self._replace_refused(seen)
            self._replace_ended(seen, states)
            self._scale(seen, states)
        except SlurmSilent as error:
            self._tell_once("silent", f"{error} Workers that are there go on.")
            self._give_up_late(seen, str(error))
            return
        self._said_once.discard("silent")
        for told in self._queue.look(states, somebody_works=bool(seen.workers)):
            self._tell(told)
        if self._queue.hopeless and not seen.workers:
            raise SchedulerError(f"SLURM will never start the worker jobs. {self._queue.hopeless}")
        self._give_up_late(seen, self._queue.because)

    def _ask_politely(self, seen: Seen) -> dict[str, JobState]:
        """What the queue says; asked at once when something has changed, and ever less often otherwise."""
        connected = frozenset(seen.job_ids.items()), frozenset(seen.workers)
        if connected != self._connected:
            self._connected, self._ask_every_s = connected, 0.0
        if monotonic() - self._asked_at >= self._ask_every_s:
            states = commands.states(seen.job_ids.values())
            self._ask_every_s = (
                min(_LONGEST_UNASKED_S, 1.5 * self._ask_every_s + 1) if states == self._states else 0
            )
            self._asked_at, self._states = monotonic(), states
        return self._states

    def _note_progress(self, seen: Seen) -> None:
        finished = sum(seen.finished.values())
        if finished > self._finished:
            self._finished, self._fruitless = finished, 0

    def _replace_refused(self, seen: Seen) -> None:
        for name, refusal in seen.refusals.items():
            self._jobs.drop([name])
            self._another_try_failed()
            if self._stillborn >= _MOST_IN_A_ROW and not seen.workers:
                raise commands.refused(refusal)
            self._tell_once("refused", f"SLURM refuses a worker job for now: {refusal}.")

    def _replace_ended(self, seen: Seen, states: dict[str, JobState]) -> None:
        self._records = {
            name: self._records.get(name) or Record(job_id) for name, job_id in seen.job_ids.items()
        }
        for name, record in self._records.items():
            state, connected_before = states[record.job_id], record.connected
            fate = record.judge(state, seen.workers.get(name), monotonic(), self._settings)
            if record.connected and not connected_before:
                self._stillborn = self._pause_looks = 0
                self._said_once.clear()
            if fate is not Fate.STAYS:
                self._jobs.drop([name])
                self._account_for(fate, record, state, seen, blocks=seen.finished.get(name, 0))

    def _account_for(self, fate: Fate, record: Record, state: JobState, seen: Seen, blocks: int) -> None:
        """Tells of a job that is over, and ends the sitting where it is one too many."""
        job = f"Job {record.job_id}" + (f" on {record.node}" if record.node else "")
        if fate in (Fate.STILLBORN, Fate.DEAF):
            self._another_try_failed()
            how = (
                f"ended ({state.state}) before its worker connected"
                if fate is Fate.STILLBORN
                else f"runs, but its worker has not connected for {self._settings.start_timeout_s:.0f} s"
            )
            told = f"{job} {how}. {last_words(self._spec.log(record.job_id))}"
            if self._stillborn >= _MOST_IN_A_ROW * (1 + len(seen.workers)):
                raise SchedulerError(
                    f"worker jobs don't come up: {self._stillborn} in a row did not. {told}\nLook at the "
                    "prologue (modules, conda), at --python, and whether nodes can reach this machine "
                    "(--interface names the network they share)."
                )
            self._tell_once("stillborn", f"{told}\nAnother is tried.")
            return
        had_work = fate is not Fate.LEFT or seen.unfinished > len(seen.workers) * self._spec.blocks
        if not blocks and had_work:
            self._fruitless += 1
        say = self._inform if fate is Fate.LEFT else self._tell
        say(f"{job} {self._what_became(fate, state)}")
        if self._fruitless >= _MOST_IN_A_ROW * max(1, len(seen.workers)):
            raise SchedulerError(self._why_fruitless(state))

    def _what_became(self, fate: Fate, state: JobState) -> str:
        if fate is Fate.LEFT:
            return "has handed over and ended, before its walltime did."
        if fate is Fate.AWAY:
            return f"is cancelled: its worker has been gone for {self._settings.lost_timeout_s:.0f} s."
        if fate is Fate.FROZEN:
            return f"is cancelled: its worker has said nothing for {self._settings.frozen_timeout_s:.0f} s."
        return f"was ended ({state.state}); its blocks go to others."

    def _why_fruitless(self, state: JobState) -> str:
        said = f"{self._fruitless} worker jobs in a row ended ({state.state}) without one block done"
        again = "then give the same command again: what is done is kept."
        if state.state in ("TIMEOUT", "COMPLETED"):
            return (
                f"{said}: a block takes longer than a job may run. Give more --walltime (now "
                f"{self._settings.walltime / 60:.0f} min) or smaller blocks (--block-size), {again}"
            )
        return f"{said}: see what ends them (`scontrol show job`; logs in {self._spec.logs}), {again}"

    def _another_try_failed(self) -> None:
        self._stillborn += 1
        self._pause_looks = min(_LONGEST_PAUSE_LOOKS, 2**self._stillborn)

    def _give_up_late(self, seen: Seen, because: str) -> None:
        waited_s = monotonic() - self._somebody_at
        if not seen.workers and waited_s > self._settings.queue_timeout_s:
            raise SchedulerError(
                f"no worker for {waited_s:.0f} s, and {self._settings.queue_timeout_s:.0f} s is the most "
                f"(queue_timeout_s). {because} Give the same command again later: what is done is kept."
            )

    def _scale(self, seen: Seen, states: dict[str, JobState]) -> None:
        """As many jobs as have something to do, within the bounds."""
        settings, names = self._settings, set(self._jobs.worker_spec)
        busy = math.ceil(seen.unfinished / self._spec.blocks)
        wanted = min(settings.max_jobs, max(settings.min_jobs, busy))
        self._pause_looks = max(0, self._pause_looks - 1)
        if len(names) < wanted and not self._pause_looks:
            self._jobs.submit(wanted - len(names))
        self._surplus_looks = self._surplus_looks + 1 if len(names) > wanted else 0
        if self._surplus_looks < _CALM_LOOKS:
            return
        surplus = len(names) - wanted
        queued = [name for name, job_id in seen.job_ids.items() if name in names and states[job_id].waits]
        idle = [name for name, worker in seen.workers.items() if name in names and worker.idle]
        self._jobs.drop(queued[:surplus])
        self._jobs.release(idle[: max(0, surplus - len(queued))])

    def _tell_once(self, about: str, told: str) -> None:
        if about not in self._said_once:
            self._said_once.add(about)
            self._tell(told)


def last_words(log: Path) -> str:
    """The end of a job's log, as a sentence and its lines."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return f"It left no log ({log})."
    lines = [line.rstrip() for line in text.splitlines() if line.strip()][-_LOG_LINES:]
    return f"The end of its log ({log}):\n" + "\n".join(f"    {line}" for line in lines)
