"""Options of the command line that choose the scheduler and configure it.

Options that were not given are not passed on, so that a profile or a backend's default applies. A scheduler
refuses options that it does not have.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import click

from nucbatch.cli.headings import Command, headed, option
from nucbatch.cli.shared_options import DiskPath

_PLACE = (
    option(
        "--scheduler",
        "scheduler_name",
        default="local",
        show_default=True,
        help="Where blocks run: local, cuda, slurm, or a scheduler's address (tls://HOST:PORT) or file.",
    ),
    option(
        "--workers", type=click.IntRange(min=1), help="Number of worker processes. [default: one per core]"
    ),
    option(
        "--block-size",
        "block_px",
        type=int,
        metavar="PX",
        help="Cut images longer than this into blocks of this side; results don't depend on it. "
        "[default: 2048, for images of more than 4096]",
    ),
    option(
        "--insecure",
        is_flag=True,
        help="tcp://: allow an unencrypted connection, which others on the network can read and change.",
    ),
)
_FILE = DiskPath()
_SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "profile": (
        "--profile",
        {"type": _FILE, "help": "slurm: TOML file with settings; options override it."},
    ),
    "partition": ("--partition", {"help": "slurm: partition of the worker jobs."}),
    "account": ("--account", {"help": "slurm: account to charge."}),
    "qos": ("--qos", {"help": "slurm: quality of service."}),
    "gres": ("--gres", {"help": "slurm: generic resources of each job, as in gpu:1."}),
    "constraint": ("--constraint", {"help": "slurm: required features of the nodes."}),
    "walltime": ("--walltime", {"metavar": "TIME", "help": "slurm: time limit of a job, as in 4:00:00."}),
    "memory": (
        "--memory",
        {"metavar": "SIZE", "help": "slurm: memory of a job. [default: as the blocks need]"},
    ),
    "cores": ("--cores", {"type": int, "help": "slurm: cores of a job."}),
    "interface": (
        "--interface",
        {"help": "slurm: network interface that connects nodes and this machine, such as ib0."},
    ),
    "driver_interface": (
        "--driver-interface",
        {"help": "slurm: name of that interface on this machine, if different."},
    ),
    "local_directory": (
        "--scratch",
        {"metavar": "DIR", "help": "slurm: folder on the node for the workers' temporary files."},
    ),
    "python": ("--python", {"help": "slurm: command that starts Python on a node. [default: this Python]"}),
    "prologue": (
        "--prologue",
        {
            "multiple": True,
            "metavar": "LINE",
            "help": "slurm: shell line to run before the worker; may be repeated.",
        },
    ),
    "directives": (
        "--directive",
        {"multiple": True, "metavar": "OPTION", "help": "slurm: further option of sbatch; may be repeated."},
    ),
    "min_jobs": ("--min-jobs", {"type": int, "help": "slurm: minimum number of jobs. [default: 1]"}),
    "max_jobs": (
        "--max-jobs",
        {"type": int, "help": "slurm: maximum number of jobs. [default: --workers, or 8]"},
    ),
    "tls_ca": (
        "--tls-ca",
        {"type": _FILE, "help": "tls://: certificate of the authority that signed the scheduler's."},
    ),
    "tls_cert": ("--tls-cert", {"type": _FILE, "help": "tls://: your certificate."}),
    "tls_key": ("--tls-key", {"type": _FILE, "help": "tls://: your key."}),
}
"""Each setting's name, its option, and the option's attributes for Click."""


def cluster_options(command: Command) -> Command:
    """Adds ``--scheduler``, the options of all schedulers, and those of the single ones.

    The command gets ``scheduling`` (Scheduling, with the options given) and ``block_px`` (int or None).
    """

    @wraps(command)
    def collected(**values: Any) -> Any:
        from nucbatch.schedulers.contract import Scheduling

        given = {name: values.pop(name) for name in _SETTINGS}
        settings = {name: value for name, value in given.items() if value not in (None, ())}
        own = {name: values.pop(name) for name in ("insecure", "workers")}
        return command(scheduling=Scheduling(values.pop("scheduler_name"), settings, **own), **values)

    named = [option(flag, name, **attributes) for name, (flag, attributes) in _SETTINGS.items()]
    return headed("Where it runs", *_PLACE, *named)(collected)
