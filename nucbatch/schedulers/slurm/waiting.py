"""What is told of jobs that stand in the queue: SLURM's own reason, and what can be done about it.

The decision owned here: each reason is told once, until no job waits any more; what is ordinary only if it
lasts and nobody works meanwhile; and for which reasons there is no use in waiting.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from nucbatch.schedulers.slurm.commands import JobState

_ORDINARY = {
    "Resources": "the nodes are busy",
    "Priority": "others come first",
    "BeginTime": "it may not begin yet",
}
_ORDINARY_LOOKS = 5

_MEANINGS = {
    "JobHeldUser": "held: `scontrol release {ids}` lets go",
    "JobHeldAdmin": "held by an administrator, who alone can let go",
    "PartitionDown": "the partition is down: wait, or give another --partition",
    "PartitionInactive": "the partition is closed: wait, or give another --partition",
    "ReqNodeNotAvail": "nodes are down or reserved, often for maintenance: jobs with less --walltime may "
    "still fit before it",
    "Licenses": "they wait for a licence",
}
_HOPELESS = {
    "PartitionTimeLimit": "the partition allows no job so long: give less --walltime",
    "PartitionNodeLimit": "the partition has no such nodes: give another --partition",
    "BadConstraints": "no node is so: give another --constraint",
    "AccountNotAllowed": "the partition is closed to the account: give another --account or --partition",
    "QOSNotAllowed": "the partition is closed to the QOS: give another --qos or --partition",
    "InvalidAccount": "there is no such account: give another --account",
    "InvalidQOS": "there is no such QOS: give another --qos",
    "DependencyNeverSatisfied": "what they depend on has failed",
}
_LIMITED = "your jobs have reached a limit: fewer at once with --max-jobs, or wait"


class Queue:
    """Why jobs wait, look after look, and what of it the user knows."""

    def __init__(self) -> None:
        self._looks: Counter[str] = Counter()
        self._told: set[str] = set()
        self._waiting: dict[str, list[str]] = {}

    def look(self, states: Mapping[str, JobState], *, somebody_works: bool) -> Iterable[str]:
        """What is new to tell; ``states`` by job number."""
        self._waiting = _reasons(states)
        self._looks = Counter({reason: self._looks[reason] + 1 for reason in self._waiting})
        if not self._waiting:
            self._told.clear()
        new = [
            reason
            for reason, looks in self._looks.items()
            if reason not in self._told
            and (reason not in _ORDINARY or (looks >= _ORDINARY_LOOKS and not somebody_works))
        ]
        self._told.update(new)
        return [sentence(reason, self._waiting[reason]) for reason in new]

    @property
    def hopeless(self) -> str:
        """Why the jobs will never start; empty: they may."""
        found = [sentence(reason, ids) for reason, ids in self._waiting.items() if reason in _HOPELESS]
        return found[0] if found else ""

    @property
    def because(self) -> str:
        """Why jobs wait, all of it."""
        return " ".join(sentence(reason, ids) for reason, ids in self._waiting.items())


def sentence(reason: str, job_ids: list[str]) -> str:
    """Why these jobs wait, for people; ``reason`` is SLURM's word."""
    meaning = (_ORDINARY | _MEANINGS | _HOPELESS).get(reason) or (
        _LIMITED if reason.startswith(("QOS", "Assoc")) else ""
    )
    told = f" ({meaning.format(ids=','.join(sorted(job_ids)))})" if meaning else ""
    jobs = f"Job {job_ids[0]} waits" if len(job_ids) == 1 else f"{len(job_ids)} jobs wait"
    return f"{jobs} in SLURM's queue: {reason}{told}."


def _reasons(states: Mapping[str, JobState]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for job_id, state in states.items():
        if state.waits and state.reason not in ("", "None"):  # nobody has looked at it yet
            # "ReqNodeNotAvail, UnavailableNodes:n[1-2]": the first word decides
            found[state.reason.partition(",")[0]].append(job_id)
    return dict(found)
