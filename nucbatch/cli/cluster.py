"""The options that say where blocks run: the scheduler, and what only it understands.

The decision owned here: an option that was not given is not passed on, so that a profile or a backend's own
choice has its say; and an option that a scheduler doesn't know is refused by it, not ignored here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]

_FILE = click.Path(path_type=Path)
_SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "profile": (
        "--profile",
        {"type": _FILE, "help": "slurm: settings from a TOML file; options win over it."},
    ),
    "partition": ("--partition", {"help": "slurm: in which partition jobs are."}),
    "account": ("--account", {"help": "slurm: whose hours they use."}),
    "qos": ("--qos", {"help": "slurm: their quality of service."}),
    "gres": ("--gres", {"help": "slurm: what else each job needs, as in gpu:1."}),
    "constraint": ("--constraint", {"help": "slurm: what its node must be like."}),
    "walltime": ("--walltime", {"metavar": "TIME", "help": "slurm: a job's longest time, as in 4:00:00."}),
    "memory": ("--memory", {"metavar": "SIZE", "help": "slurm: a job's memory. [default: what blocks need]"}),
    "cores": ("--cores", {"type": int, "help": "slurm: a job's cores."}),
    "interface": (
        "--interface",
        {"help": "slurm: the network that nodes and this machine share, as in ib0."},
    ),
    "driver_interface": (
        "--driver-interface",
        {"help": "slurm: what it is called on this machine, if not the same."},
    ),
    "local_directory": ("--scratch", {"metavar": "DIR", "help": "slurm: a folder on the node for workers."}),
    "python": ("--python", {"help": "slurm: what starts Python on a node. [default: this Python]"}),
    "prologue": (
        "--prologue",
        {
            "multiple": True,
            "metavar": "LINE",
            "help": "slurm: a shell line before the worker; may be repeated.",
        },
    ),
    "directives": (
        "--directive",
        {"multiple": True, "metavar": "OPTION", "help": "slurm: an option of sbatch; may be repeated."},
    ),
    "min_jobs": ("--min-jobs", {"type": int, "help": "slurm: so many jobs at least. [default: 1]"}),
    "max_jobs": ("--max-jobs", {"type": int, "help": "slurm: so many at most. [default: --workers, or 8]"}),
    "tls_ca": ("--tls-ca", {"type": _FILE, "help": "tls://: who signed the scheduler's certificate."}),
    "tls_cert": ("--tls-cert", {"type": _FILE, "help": "tls://: your certificate."}),
    "tls_key": ("--tls-key", {"type": _FILE, "help": "tls://: your key."}),
}
"""Each setting's name, its option, and what Click must know of it."""


def cluster_options(command: Command) -> Command:
    """``--scheduler``, ``--insecure``, and what single schedulers understand.

    The command gets ``scheduler_name`` (str), ``insecure`` (bool) and ``scheduler_settings`` (dict), of what
    was given.
    """

    @wraps(command)
    def collected(**values: Any) -> Any:
        given = {name: values.pop(name) for name in _SETTINGS}
        settings = {name: value for name, value in given.items() if value not in (None, ())}
        return command(scheduler_settings=settings, **values)

    decorated: Command = collected
    for name, (flag, attributes) in reversed(_SETTINGS.items()):
        decorated = click.option(flag, name, **attributes)(decorated)
    decorated = click.option(
        "--insecure", is_flag=True, help="tcp://: accept a network on which others can read and meddle."
    )(decorated)
    return click.option(
        "--scheduler",
        "scheduler_name",
        default="local",
        show_default=True,
        help="Where blocks run: local, cuda, slurm, or a scheduler's address (tls://HOST:PORT) or file.",
    )(decorated)
