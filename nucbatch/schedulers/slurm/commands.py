"""SLURM's own commands, each with a timeout, and their answers as values or sentences.

The decision owned here: what SLURM says is shown to the user as it is, with what can be done about it.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from nucbatch.core.errors import SchedulerError

_TIMEOUT_S = 60

_LEFT_OUT = ("SBATCH_ARRAY_INX", "SBATCH_WAIT")
"""Variables that sbatch reads and that no option of its command line takes back."""

_MENDS = {
    "unable to contact": "SLURM's controller is down, or out of reach from here: try again later",
    "account": "Name one of yours with --account; `sacctmgr show associations user=$USER` lists them",
    "partition": "Name one that there is with --partition; `sinfo -s` lists them",
    "qos": "Name one of yours with --qos; `sacctmgr show associations user=$USER format=qos` lists them",
    "generic resource": "See with `sinfo -o '%P %G'` what --gres may be",
    "feature": "See with `sinfo -o '%P %f'` what --constraint may be",
    "time limit": "Ask for less with --walltime; `sinfo -o '%P %l'` lists each partition's longest",
    "mutually exclusive": "Give memory in one way: a job has --mem from --memory, unless a --directive asks "
    "for --mem-per-cpu or --mem-per-gpu; SBATCH_MEM_PER_* and SLURM_MEM_PER_* in the environment count, too",
    "memory specification": "Ask for another --memory; where the site wants none, leave --mem out with "
    'job_directives_skip = ["--mem"] in a --profile, or ask per CPU or GPU with --directive',
    "node configuration": "No node has that many cores, memory or GPUs: ask for less with --cores, --memory "
    "or --gres; `sinfo -o '%P %c %m %G'` lists what nodes have",
}
"""What can be done about an answer in which SLURM uses these words; the first that fit."""

WAITING, RUNNING = "waiting", "running"
_STATES = {
    "PENDING": WAITING,
    "CONFIGURING": WAITING,
    "REQUEUED": WAITING,
    "REQUEUE_HOLD": WAITING,
    "REQUEUE_FED": WAITING,
    "SPECIAL_EXIT": WAITING,
    "RESV_DEL_HOLD": WAITING,
    "RUNNING": RUNNING,
    "COMPLETING": RUNNING,
    "SUSPENDED": RUNNING,
    "STOPPED": RUNNING,
    "SIGNALING": RUNNING,
    "STAGE_OUT": RUNNING,
    "RESIZING": RUNNING,
}


class SlurmSilent(SchedulerError):
    """SLURM's controller does not answer; it may do so again."""


@dataclass(frozen=True, slots=True)
class JobState:
    """What the queue says of a job: SLURM's word for its state, why it is in it, and on which node."""

    state: str
    reason: str = ""
    node: str = ""

    @property
    def waits(self) -> bool:
        """It has not begun."""
        return _STATES.get(self.state) == WAITING

    @property
    def runs(self) -> bool:
        """It has begun and not ended."""
        return _STATES.get(self.state) == RUNNING


GONE = JobState("GONE", "SLURM knows it no more")


def require_commands() -> None:
    """Refuses a machine that has no SLURM.

    Raises:
        SchedulerError: a command is missing.
    """
    missing = [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name) is None]
    if missing:
        raise SchedulerError(
            f"SLURM's {' and '.join(missing)} can't be found on this machine: give the command on a login "
            "node of the cluster, or in a job, or load the module that has them. Elsewhere use --scheduler "
            "local."
        )


def submission(script: str) -> list[str]:
    """The command that submits a job script, less the script itself.

    The script's own options are given on the command line as well: there they win over SBATCH_PARTITION,
    SBATCH_TIMELIMIT and the like, which would win over those in the script. Variables that no option takes
    back are left out: a worker job is one job, and nobody waits for its end.
    """
    words = (
        shlex.split(line.removeprefix("#SBATCH"))
        for line in script.splitlines()
        if line.startswith("#SBATCH ")
    )
    without = [part for name in _LEFT_OUT for part in ("-u", name)]
    return ["env", *without, "sbatch", *(word for line in words for word in line)]


def would_start(script: str) -> str:
    """What SLURM would do with a job script; nothing is submitted.

    Raises:
        SchedulerError: it would refuse it; the message has SLURM's reason and what can be done.
    """
    answer = _call([*submission(script), "--test-only"], script)
    said = _said(answer)
    if answer.returncode != 0:
        raise refused(said)
    # "sbatch: Job 3 to start at … using 1 processors on nodes n2 in partition cpu"; no job will be number 3.
    return re.sub(r"^sbatch: Job \d+", "a job", said)


def refused(said: str) -> SchedulerError:
    """SLURM's refusal of a worker job, with the mend for it."""
    mends = [mend for words, mend in _MENDS.items() if words in said.lower()]
    mend = f" {mends[0]}." if mends else ""
    return SchedulerError(f"SLURM refuses the worker jobs: {said.rstrip('.')}.{mend}")


def states(job_ids: Collection[str]) -> dict[str, JobState]:
    """What the queue says of jobs, by their numbers; of ended ones too, for some minutes.

    Raises:
        SlurmSilent: the controller does not answer.
    """
    if not job_ids:
        return {}
    command = [
        "squeue",
        "--noheader",
        "--states=all",
        f"--jobs={','.join(sorted(job_ids))}",
        "--format=%i|%T|%r|%N",
    ]
    answer = _call(command)
    if answer.returncode != 0 and "invalid job id" not in answer.stderr.lower():
        raise SlurmSilent(f"SLURM does not answer: {_said(answer)}")
    found = {}
    for line in answer.stdout.splitlines():
        job_id, state, reason, node = line.split("|", 3)
        found[job_id] = JobState(state, reason, node)
    return {job_id: found.get(job_id, GONE) for job_id in job_ids}


def cancel(job_ids: Collection[str]) -> None:
    """Ends jobs; those that have ended already are no error.

    Raises:
        SlurmSilent: the controller does not answer.
    """
    if not job_ids:
        return
    answer = _call(["scancel", *sorted(job_ids)])
    if answer.returncode != 0 and "invalid job id" not in answer.stderr.lower():
        raise SlurmSilent(f"jobs {', '.join(sorted(job_ids))} could not be cancelled: {_said(answer)}")


def _call(command: Sequence[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603  # nosec B603  # a list of words, through no shell
            command,
            input=text,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            start_new_session=True,  # Ctrl-C is for the driver, which may still have jobs to cancel
        )
    except FileNotFoundError as error:
        raise SchedulerError(f"{command[0]} can't be found on this machine.") from error
    except subprocess.TimeoutExpired as error:
        raise SlurmSilent(f"SLURM's {command[0]} has not answered for {_TIMEOUT_S} s.") from error


def _said(answer: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (answer.stderr + answer.stdout).splitlines() if line.strip()]
    return "; ".join(line.removeprefix("sbatch: error: ").removeprefix("error: ") for line in lines) or (
        f"{answer.args[0]} ended with {answer.returncode}"
    )
