"""Messages about queued jobs: SLURM's reason, what it means and what the user can do.

Each reason is reported once, and again only after the queue was empty. Ordinary reasons, such as busy nodes,
are reported only if they last and no worker is connected. For some reasons a job can never start.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from nucbatch.schedulers.slurm.commands import JobState

_ORDINARY = {
    "Resources": "the nodes are busy",
    "Priority": "jobs of higher priority come first",
    "BeginTime": "its begin time has not come",
}
_ORDINARY_POLLS = 5

_MEANINGS = {
    "JobHeldUser": "held: `scontrol release {ids}` releases them",
    "JobHeldAdmin": "held by an administrator, who alone can release them",
    "PartitionDown": "the partition is down: wait, or give another --partition",
    "PartitionInactive": "the partition is closed: wait, or give another --partition",
    "ReqNodeNotAvail": "nodes are down or reserved, often for maintenance: jobs with less --walltime may "
    "still fit before it",
    "Licenses": "they wait for a licence",
}
_IMPOSSIBLE = {
    "PartitionTimeLimit": "the walltime exceeds the partition's limit: give less --walltime",
    "PartitionNodeLimit": "the partition has no such nodes: give another --partition",
    "BadConstraints": "no node meets the constraint: give another --constraint",
    "AccountNotAllowed": "the partition is closed to the account: give another --account or --partition",
    "QOSNotAllowed": "the partition is closed to the QOS: give another --qos or --partition",
    "InvalidAccount": "there is no such account: give another --account",
    "InvalidQOS": "there is no such QOS: give another --qos",
    "DependencyNeverSatisfied": "a job that they depend on has failed",
}
_LIMITED = "your jobs have reached a limit: run fewer at once with --max-jobs, or wait"


class PendingReasons:
    """Collects the reasons for which jobs are queued, and returns those that are new to the user."""

    def __init__(self) -> None:
        self._polls: Counter[str] = Counter()
        self._reported: set[str] = set()
        self._waiting: dict[str, list[str]] = {}

    def update(self, states: Mapping[str, JobState], *, workers_connected: bool) -> Iterable[str]:
        """Takes the jobs' current states and returns the messages that are new.

        Args:
            states: states of jobs by job ID.
            workers_connected: whether any worker is connected.
        """
        self._waiting = _reasons(states)
        self._polls = Counter({reason: self._polls[reason] + 1 for reason in self._waiting})
        if not self._waiting:
            self._reported.clear()
        new = [
            reason
            for reason, polls in self._polls.items()
            if reason not in self._reported
            and (reason not in _ORDINARY or (polls >= _ORDINARY_POLLS and not workers_connected))
        ]
        self._reported.update(new)
        return [sentence(reason, self._waiting[reason]) for reason in new]

    @property
    def impossible(self) -> str:
        """Why jobs can never start; empty if all may start."""
        found = [sentence(reason, ids) for reason, ids in self._waiting.items() if reason in _IMPOSSIBLE]
        return found[0] if found else ""

    @property
    def text(self) -> str:
        """All current reasons, one sentence each."""
        return " ".join(sentence(reason, ids) for reason, ids in self._waiting.items())


def sentence(reason: str, job_ids: list[str]) -> str:
    """Formats, for the user, why these jobs are queued.

    Args:
        reason: SLURM's keyword for the reason.
        job_ids: the jobs with this reason; at least one.
    """
    meaning = (_ORDINARY | _MEANINGS | _IMPOSSIBLE).get(reason) or (
        _LIMITED if reason.startswith(("QOS", "Assoc")) else ""
    )
    advice = f" ({meaning.format(ids=','.join(sorted(job_ids)))})" if meaning else ""
    jobs = f"Job {job_ids[0]} waits" if len(job_ids) == 1 else f"{len(job_ids)} jobs wait"
    return f"{jobs} in SLURM's queue: {reason}{advice}."


def _reasons(states: Mapping[str, JobState]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for job_id, state in states.items():
        if state.waits and state.reason not in ("", "None"):  # None: SLURM has not considered the job yet
            # Keep the keyword of reasons such as "ReqNodeNotAvail, UnavailableNodes:n[1-2]".
            found[state.reason.partition(",")[0]].append(job_id)
    return dict(found)
