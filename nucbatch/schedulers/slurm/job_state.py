"""What has become of a worker job: from what the queue and the scheduler say of it, and since when.

The decision owned here: when a job counts as lost, and what it had done by then. It is arithmetic on what was
seen and on the time that is handed in; nothing is asked of anybody, and nothing is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from nucbatch.schedulers.slurm.commands import JobState
from nucbatch.schedulers.slurm.jobs import WorkerSeen
from nucbatch.schedulers.slurm.settings import SlurmSettings


class Fate(Enum):
    """What a job came to."""

    STAYS = "stays"
    """It waits, starts or works."""
    LEFT = "left"
    """Its worker left in good order, as before the end of the walltime."""
    LOST = "lost"
    """Its worker had connected, and SLURM ended the job."""
    AWAY = "away"
    """It runs, but its worker went and did not come back."""
    FROZEN = "frozen"
    """Its worker is connected and says nothing."""
    STILLBORN = "stillborn"
    """It ended before its worker connected."""
    DEAF = "deaf"
    """It runs, but its worker never connected."""


@dataclass(slots=True)
class Record:
    """What was seen of a job so far; times in seconds of any one clock."""

    job_id: str
    node: str = ""
    connected: bool = False
    running_since: float | None = None
    away_since: float | None = None

    def judge(self, state: JobState, worker: WorkerSeen | None, now: float, settings: SlurmSettings) -> Fate:
        """Takes note of what is seen now, and says what that makes of the job."""
        self.node = state.node or self.node
        if worker is not None:
            self.connected, self.away_since = True, None
            return Fate.FROZEN if worker.silent_s > settings.frozen_timeout_s else Fate.STAYS
        if state.waits:
            return Fate.STAYS
        if not state.runs:
            if not self.connected:
                return Fate.STILLBORN
            return Fate.LEFT if state.state == "COMPLETED" else Fate.LOST
        if self.connected:
            self.away_since = now if self.away_since is None else self.away_since
            return Fate.AWAY if now - self.away_since > settings.lost_timeout_s else Fate.STAYS
        self.running_since = now if self.running_since is None else self.running_since
        return Fate.DEAF if now - self.running_since > settings.start_timeout_s else Fate.STAYS
