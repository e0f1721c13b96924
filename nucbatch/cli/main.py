"""The ``nucbatch`` command: runs subcommands, and prints user errors as sentences without traceback.

A subcommand's module is imported only when that command, or its help, is called. Exit codes mean the same in
all commands: 0 done; 1 nothing could be done; 2 usage; 3 done, with failures; 130 ended by Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module

import click

from nucbatch.cli.terminal import log_to_terminal, say_error
from nucbatch.cli.verbosity import verbosity_options
from nucbatch.core.errors import (
    InputError,
    InputNotFound,
    NucbatchError,
    PrecisionError,
    SettingsConflict,
    WeightsError,
)
from nucbatch.version import __version__

_COMMANDS = {
    "demo": "Make a synthetic plate, run it and score it.",
    "inspect": "Show what a run would use, ignore and refuse.",
    "run": "Find the nuclei of a plate or a folder of images.",
    "screen": "Run many plates, several at once, into one table.",
    "status": "Show how far a run is, from any shell.",
    "measure": "Measure masks made elsewhere.",
    "convert": "Write a plate or a folder of images as OME-Zarr.",
    "train": "Train a network on labelled images.",
    "score": "Compare masks with ground truth.",
    "compare": "Compare models on the same images.",
    "export": "Write a run's masks, outlines and table for other programs.",
    "suggest": "List the fields most worth labelling first.",
    "view": "Look at a run's nuclei in napari, and correct them.",
    "copy": "Copy a run to an object store, or back.",
    "report": "Write a run's report again.",
    "models": "List the shipped models; show, calibrate, prune or export one.",
}
_USAGE_ERRORS = (InputError, InputNotFound, PrecisionError, SettingsConflict, WeightsError)


class _Commands(click.Group):
    """Subcommands by name; their modules are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"nucbatch.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nucbatch")
@verbosity_options
def nucbatch() -> None:
    """Finds cell nuclei in whole plates: masks, measurements, counts, and a line for every file."""


def main() -> None:
    """Runs the command line and exits with its code."""
    # Hides Python's warnings about resources that killed workers leave behind.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker:UserWarning")
    log_to_terminal()
    try:
        nucbatch(standalone_mode=True)
    except NucbatchError as error:
        say_error(str(error))
        sys.exit(2 if isinstance(error, _USAGE_ERRORS) else 1)
    finally:  # while exiting, another Ctrl-C would only interrupt the libraries' cleanup
        signal.signal(signal.SIGINT, signal.SIG_IGN)
