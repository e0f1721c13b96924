"""Calls SLURM's commands with a timeout, and turns their output into values or error messages.

SLURM's own message is always shown to the user unchanged, followed by advice where there is some.
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

_UNSET = ("SBATCH_ARRAY_INX", "SBATCH_WAIT")
"""Environment variables of sbatch that no command line option can override."""

_MENDS = {
    "unable to contact": "SLURM's controller is down, or out of reach from here: try again later",
    "account": "Name one of yours with --account; `sacctmgr show associations user=$USER` lists them",
    "partition": "Name an existing one with --partition; `sinfo -s` lists them",
    "qos": "Name one of yours with --qos; `sacctmgr show associations user=$USER format=qos` lists them",
    "generic resource": "`sinfo -o '%P %G'` lists the allowed values of --gres",
    "feature": "`sinfo -o '%P %f'` lists the allowed values of --constraint",
    "time limit": "Ask for less with --walltime; `sinfo -o '%P %l'` lists each partition's longest",
    "mutually exclusive": "Give memory in one way: a job has --mem from --memory, unless a --directive asks "
    "for --mem-per-cpu or --mem-per-gpu; SBATCH_MEM_PER_* and SLURM_MEM_PER_* in the environment count, too",
    "memory specification": "Change --memory; if the site allows no memory request, leave --mem out with "
    'job_directives_skip = ["--mem"] in a --profile, or ask per CPU or GPU with --directive',
    "node configuration": "No node has that many cores, memory or GPUs: ask for less with --cores, --memory "
    "or --gres; `sinfo -o '%P %c %m %G'` lists what nodes have",
}
"""Advice by words in SLURM's error message; the first match is shown."""

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


class SlurmNoAnswer(SchedulerError):
    """SLURM's controller does not answer; a later call may succeed."""


@dataclass(frozen=True, slots=True)
class JobState:
    """A job's state, reason and node as ``squeue`` prints them."""

    state: str
    reason: str = ""
    node: str = ""

    @property
    def waits(self) -> bool:
        """Whether the job has not started yet."""
        return _STATES.get(self.state) == WAITING

    @property
    def runs(self) -> bool:
        """Whether the job has started and not ended."""
        return _STATES.get(self.state) == RUNNING


GONE = JobState("GONE", "SLURM no longer lists the job")


def require_commands() -> None:
    """Checks that SLURM's commands are installed.

    Raises:
        SchedulerError: a command is missing.
    """
    missing = [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name) is None]
    if missing:
        raise SchedulerError(
            f"SLURM's {' and '.join(missing)} can't be found on this machine: run nucbatch on a login node "
            "of the cluster or in a job, or load the module that provides them. Without SLURM use "
            "--scheduler local."
        )


def submission(script: str) -> list[str]:
    """Returns the command that submits a job script from standard input.

    The script's options are repeated on the command line. Environment variables such as SBATCH_PARTITION
    override options in a script, but not those on the command line. Variables that no option overrides (job
    arrays, waiting for the job's end) are unset.
    """
    words = (
        shlex.split(line.removeprefix("#SBATCH"))
        for line in script.splitlines()
        if line.startswith("#SBATCH ")
    )
    unset = [part for name in _UNSET for part in ("-u", name)]
    return ["env", *unset, "sbatch", *(word for line in words for word in line)]


def submission_test(script: str) -> str:
    """Tests a job script with ``sbatch --test-only`` and returns SLURM's answer; submits nothing.

    Raises:
        SchedulerError: SLURM would refuse the script; the message has its reason and advice.
    """
    answer = _call([*submission(script), "--test-only"], script)
    said = _said(answer)
    if answer.returncode != 0:
        raise refused(said)
    # "sbatch: Job 3 to start at … using 1 processors on nodes n2 in partition cpu"; the number is not real.
    return re.sub(r"^sbatch: Job \d+", "a job", said)


def refused(said: str) -> SchedulerError:
    """Builds the error for a refused worker job: SLURM's message, and advice where there is some."""
    mends = [mend for words, mend in _MENDS.items() if words in said.lower()]
    mend = f" {mends[0]}." if mends else ""
    return SchedulerError(f"SLURM refuses the worker jobs: {said.rstrip('.')}.{mend}")


def states(job_ids: Collection[str]) -> dict[str, JobState]:
    """Returns the state of each job, by job ID, from ``squeue``.

    SLURM lists ended jobs for some minutes; later they are ``GONE``.

    Raises:
        SlurmNoAnswer: the controller does not answer.
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
        raise SlurmNoAnswer(f"SLURM does not answer: {_said(answer)}")
    found = {}
    for line in answer.stdout.splitlines():
        job_id, state, reason, node = line.split("|", 3)
        found[job_id] = JobState(state, reason, node)
    return {job_id: found.get(job_id, GONE) for job_id in job_ids}


def cancel(job_ids: Collection[str]) -> None:
    """Cancels jobs; jobs that have already ended are ignored.

    Raises:
        SlurmNoAnswer: the controller does not answer.
    """
    if not job_ids:
        return
    answer = _call(["scancel", *sorted(job_ids)])
    if answer.returncode != 0 and "invalid job id" not in answer.stderr.lower():
        raise SlurmNoAnswer(f"jobs {', '.join(sorted(job_ids))} could not be cancelled: {_said(answer)}")


def _call(command: Sequence[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603  # nosec B603  # a list of words, through no shell
            command,
            input=text,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            start_new_session=True,  # so that Ctrl-C reaches only the driver, which must still cancel jobs
        )
    except FileNotFoundError as error:
        raise SchedulerError(f"{command[0]} can't be found on this machine.") from error
    except subprocess.TimeoutExpired as error:
        raise SlurmNoAnswer(f"SLURM's {command[0]} has not answered for {_TIMEOUT_S} s.") from error


def _said(answer: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (answer.stderr + answer.stdout).splitlines() if line.strip()]
    return "; ".join(line.removeprefix("sbatch: error: ").removeprefix("error: ") for line in lines) or (
        f"{answer.args[0]} ended with {answer.returncode}"
    )
