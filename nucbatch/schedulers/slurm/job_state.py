"""Classifies worker jobs: working, ended in order, lost, unresponsive or never connected.

The functions are pure. They take the job's state in SLURM's queue, its workers' state in Dask's scheduler and
the current time; they call no command and change no job.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from nucbatch.schedulers.slurm.commands import JobState
from nucbatch.schedulers.slurm.jobs import JobWorkers
from nucbatch.schedulers.slurm.slurm_settings import SlurmSettings


class JobHealth(Enum):
    """Classification of a worker job."""

    ACTIVE = "active"
    """The job is queued, starts or works."""
    COMPLETED = "completed"
    """The worker closed in order, for example before the end of the walltime."""
    LOST = "lost"
    """The worker had connected, and the job has ended."""
    DISCONNECTED = "disconnected"
    """The job runs, but its worker has disconnected and not come back in time."""
    UNRESPONSIVE = "unresponsive"
    """The worker is connected, but sends nothing."""
    FAILED_TO_START = "failed to start"
    """The job ended before its worker connected."""
    NEVER_CONNECTED = "never connected"
    """The job runs, but its worker did not connect in time."""


@dataclass(slots=True)
class JobHistory:
    """Observations of one worker job so far; times in seconds of one monotonic clock."""

    job_id: str
    node: str = ""
    connected: bool = False
    running_since: float | None = None
    disconnected_since: float | None = None

    def classify(
        self, state: JobState, workers: JobWorkers | None, now: float, settings: SlurmSettings
    ) -> JobHealth:
        """Records the current observations and classifies the job.

        Args:
            state: the job's state in SLURM's queue.
            workers: the job's connected workers; None if there are none.
            now: the current time in seconds.
            settings: the timeouts.
        """
        self.node = state.node or self.node
        if workers is not None:
            self.connected, self.disconnected_since = True, None
            return (
                JobHealth.UNRESPONSIVE if workers.silent_s > settings.frozen_timeout_s else JobHealth.ACTIVE
            )
        if state.waits:
            return JobHealth.ACTIVE
        if not state.runs:
            if not self.connected:
                return JobHealth.FAILED_TO_START
            return JobHealth.COMPLETED if state.state == "COMPLETED" else JobHealth.LOST
        if self.connected:
            self.disconnected_since = now if self.disconnected_since is None else self.disconnected_since
            overdue = now - self.disconnected_since > settings.lost_timeout_s
            return JobHealth.DISCONNECTED if overdue else JobHealth.ACTIVE
        self.running_since = now if self.running_since is None else self.running_since
        overdue = now - self.running_since > settings.start_timeout_s
        return JobHealth.NEVER_CONNECTED if overdue else JobHealth.ACTIVE
