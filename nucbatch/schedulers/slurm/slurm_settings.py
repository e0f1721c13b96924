"""Settings of SLURM worker jobs, merged from options, a profile (TOML) and the user's jobqueue.yaml.

Options override the profile, the profile overrides jobqueue.yaml, and that overrides nucbatch's defaults. All
values are validated here, before SLURM is called.
"""

from __future__ import annotations

import re
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import dask.config
import psutil
from dask.utils import parse_bytes
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from nucbatch.core.errors import InputError, InputNotFound

_WALLTIME = re.compile(
    r"(?:(?P<days>\d+)-(?P<hours>\d+)(?::(?P<minutes>\d+)(?::(?P<seconds>\d+))?)?"
    r"|(?:(?P<h>\d+):)?(?P<m>\d+):(?P<s>\d+)|(?P<only_minutes>\d+))"
)


def walltime_s(text: object) -> int:
    """Converts SLURM's notation of a time to seconds.

    Args:
        text: ``MM`` (minutes), ``MM:SS``, ``HH:MM:SS`` or ``D-HH[:MM[:SS]]``.

    Raises:
        ValueError: not a time in this notation, or zero.
    """
    found = _WALLTIME.fullmatch(str(text).strip())
    if found is None or isinstance(text, bool):
        raise ValueError("write a time as in SLURM: minutes, MM:SS, HH:MM:SS or D-HH:MM:SS")
    part = {name: int(value or 0) for name, value in found.groupdict().items()}
    seconds = (
        ((part["days"] * 24 + part["hours"] + part["h"]) * 60 + part["minutes"] + part["m"]) * 60
        + part["seconds"]
        + part["s"]
        + part["only_minutes"] * 60
    )
    if seconds == 0:
        raise ValueError("the time is zero: give at least a minute")
    return seconds


def walltime_text(seconds: int) -> str:
    """Formats seconds as ``D-HH:MM:SS``, which SLURM reads."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    return f"{day}-{hour:02}:{minute:02}:{second:02}"


def _walltime(value: object) -> int:
    return walltime_s(value)


def _bytes(value: object) -> int:
    text = str(value).strip()
    if not re.search(r"[A-Za-z]", text):
        raise ValueError("add the unit, as in 8GB or 6000MiB")
    size: int = parse_bytes(text)
    return size


def _one_process(value: object) -> int:
    if value not in (1, "1"):
        raise ValueError(
            "a job of several worker processes is never replaced when one of them is lost "
            "(distributed#9102): write 1, divide cores and memory, and request more jobs instead"
        )
    return 1


def _directive(value: object) -> str:
    text = str(value).strip().removeprefix("#SBATCH").strip()
    if not text.startswith("-") or "\n" in text:
        raise ValueError("a directive must be one option of sbatch on one line, as in --exclusive")
    if re.match(r"(-a\b|--array|-o\b|--output|-e\b|--error|--requeue|-n\b|--ntasks)", text):
        raise ValueError("nucbatch sets this option for each worker job; remove it")
    return text


_Word = Annotated[str, Field(pattern=r"^\S+$")]
_Skipped = Annotated[str, Field(pattern=r"^\S.*$")]
_Seconds = Annotated[float, Field(gt=0)]


class SlurmSettings(BaseModel):
    """Settings of worker jobs: requests, limits and timeouts.

    Requests of each job:
        ``partition``, ``account``, ``qos``, ``gres``, ``constraint``: as sbatch's options of these names.
        ``walltime``: in seconds. ``memory``: of the job, in bytes; None: what the run's blocks need.
        ``cores``: None: as many as a worker uses. ``processes``: only 1 is allowed.
        ``gpu``: whether the job has one GPU, shared by one process per core; None: if ``gres`` requests one.
        ``gpu_memory``: memory of the GPU, in bytes; limits the number of processes.
        ``directives``: more options of sbatch. ``job_directives_skip``: text, such as ``--mem``; the script's
        ``#SBATCH`` lines that contain it are left out.

    Environment of each job:
        ``interface``: network interface by which nodes and driver reach each other; ``driver_interface``: its
        name on the driver's machine, if different. ``local_directory``: scratch folder on the node.
        ``python``: command that starts Python on a node; None: the driver's own. ``prologue``: shell lines to
        run before the worker starts.

    Limits:
        ``min_jobs``, ``max_jobs``: bounds of the number of jobs. ``queue_timeout_s``: the longest time
        without any worker, for example while jobs are queued. ``start_timeout_s``: the longest time from a
        job's start to its worker's connection. ``lost_timeout_s``: the longest disconnection of a worker
        whose job runs.
        ``frozen_timeout_s``: the longest silence of a connected worker.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    partition: _Word | None = None
    account: _Word | None = None
    qos: _Word | None = None
    gres: _Word | None = None
    constraint: _Word | None = None
    walltime: Annotated[int, BeforeValidator(_walltime)] = 3600
    memory: Annotated[int, BeforeValidator(_bytes)] | None = None
    cores: int | None = Field(default=None, ge=1)
    processes: Annotated[int, BeforeValidator(_one_process)] = 1
    gpu: bool | None = None
    gpu_memory: Annotated[int, BeforeValidator(_bytes)] = 16 * 10**9
    interface: _Word | None = None
    driver_interface: _Word | None = None
    local_directory: str | None = None
    python: str | None = None
    prologue: tuple[str, ...] = ()
    directives: tuple[Annotated[str, BeforeValidator(_directive)], ...] = ()
    job_directives_skip: tuple[_Skipped, ...] = ()
    min_jobs: int = Field(default=1, ge=1)
    max_jobs: int = Field(default=8, ge=1)
    queue_timeout_s: _Seconds = 7 * 24 * 3600.0
    start_timeout_s: _Seconds = 600.0
    lost_timeout_s: _Seconds = 120.0
    frozen_timeout_s: _Seconds = 300.0

    @model_validator(mode="after")
    def _least_is_not_most(self) -> Self:
        if self.min_jobs > self.max_jobs:
            raise ValueError(f"min_jobs = {self.min_jobs} is more than max_jobs = {self.max_jobs}")
        return self

    @property
    def of_driver(self) -> str | None:
        """The network interface on the driver's machine."""
        return self.driver_interface or self.interface

    @property
    def asks_for_memory(self) -> bool:
        """Whether a job requests memory with ``--mem``, because no directive requests it per CPU or GPU."""
        return not any(re.match(r"--mem-per-(cpu|gpu)\b", directive) for directive in self.directives)

    @property
    def with_gpu(self) -> bool:
        """Whether each job has a GPU."""
        return bool(self.gres and self.gres.startswith("gpu")) if self.gpu is None else self.gpu


_FROM_JOBQUEUE = {
    "queue": "partition",
    "account": "account",
    "walltime": "walltime",
    "memory": "memory",
    "cores": "cores",
    "processes": "processes",
    "interface": "interface",
    "local-directory": "local_directory",
    "python": "python",
    "job-script-prologue": "prologue",
    "job-extra-directives": "directives",
    "job-directives-skip": "job_directives_skip",
}
"""Keys of ``jobqueue.slurm`` that are used, and the names of the settings they set."""


def slurm_settings(given: Mapping[str, Any], workers: int | None = None) -> SlurmSettings:
    """Merges and validates the settings of options, profile and jobqueue.yaml.

    Args:
        given: options by name; ``profile`` is the path of a TOML file.
        workers: value of ``max_jobs`` where the options do not set it.

    Raises:
        InputError: an unknown setting or an invalid value; the message names its source.
        InputNotFound: the profile does not exist.
    """
    options = {name: value for name, value in given.items() if name != "profile"}
    if workers is not None:
        options = {"max_jobs": workers} | options
    path = given.get("profile")
    profile = {} if path is None else _profile(Path(path))
    values = _jobqueue() | profile | options
    if "min_jobs" not in options and "max_jobs" in options and "min_jobs" in profile:
        values["min_jobs"] = min(values["min_jobs"], values["max_jobs"])
    try:
        return SlurmSettings.model_validate(values)
    except ValidationError as error:
        raise InputError(_problems_text(error, options, profile, path)) from error


def require_interface(name: str | None) -> None:
    """Checks that this machine has a network interface of that name with an IPv4 address.

    Raises:
        InputError: it has not; the message lists the interfaces of this machine.
    """
    interfaces = {
        interface: [one.address for one in addresses if one.family == socket.AF_INET]
        for interface, addresses in psutil.net_if_addrs().items()
    }
    if name is not None and not interfaces.get(name):
        listed = ", ".join(
            f"{one} ({', '.join(found)})" for one, found in sorted(interfaces.items()) if found
        )
        why = "has no IPv4 address" if name in interfaces else "does not exist"
        raise InputError(
            f"network interface {name!r} {why} on this machine, which has {listed}. --interface names it on "
            "the nodes and on this machine; if its name is different here, add --driver-interface."
        )


def _profile(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputNotFound(f"the SLURM profile {path} does not exist.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} can't be read as a SLURM profile (TOML): {error}.") from error


def _jobqueue() -> dict[str, Any]:
    """Reads ``jobqueue.slurm`` of the user's Dask configuration, without dask-jobqueue's defaults."""
    section = (dask.config.collect(dask.config.paths).get("jobqueue") or {}).get("slurm") or {}
    return {
        ours: section[theirs] for theirs, ours in _FROM_JOBQUEUE.items() if section.get(theirs) is not None
    }


def _problems_text(
    error: ValidationError, options: Mapping[str, Any], profile: Mapping[str, Any], path: object
) -> str:
    lines = []
    for problem in error.errors():
        where, said = [str(part) for part in problem["loc"]], problem["msg"].removeprefix("Value error, ")
        name = where[0] if where else ""
        source = "" if name in options else f" (in {path})" if name in profile else " (in jobqueue.yaml)"
        if problem["type"] == "extra_forbidden":
            allowed = ", ".join(SlurmSettings.model_fields)
            lines.append(f"unknown setting {name!r}{source}; allowed are {allowed}")
        elif name:
            lines.append(f"{'.'.join(where)} = {problem['input']!r}{source}: {said}")
        else:
            lines.append(said)
    return f"invalid SLURM settings: {'; '.join(lines)}."
