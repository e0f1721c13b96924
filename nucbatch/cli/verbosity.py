"""``--verbose`` and ``--quiet``: accepted before a subcommand, and after it by those that take long."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import click

from nucbatch.cli.terminal import set_log_level
from nucbatch.core.log_file import PROJECT

Command = Callable[..., Any]

_KEY = "nucbatch.verbosity"


def verbosity_options(command: Command) -> Command:
    """Adds the two options; the command gets no argument for them."""
    for name, letter, text in (
        ("quiet", "-q", "Print errors and the result, and nothing else."),
        ("verbose", "-v", "Show the log on standard error, with details for finding a problem."),
    ):
        command = click.option(
            f"--{name}", letter, is_flag=True, expose_value=False, callback=_choose, help=text
        )(command)
    return command


def is_quiet() -> bool:
    """Whether the running command was asked to print errors and its result alone."""
    context = click.get_current_context(silent=True)
    return context is not None and context.meta.get(_KEY) == "quiet"


def _choose(context: click.Context, option: click.Parameter, given: bool) -> None:
    if not given:
        return
    chosen = str(option.name)
    if context.meta.setdefault(_KEY, chosen) != chosen:
        raise click.UsageError("--verbose and --quiet contradict each other: give one of them.")
    project = logging.getLogger(PROJECT)
    context.call_on_close(lambda level=project.level: project.setLevel(level))
    if chosen == "verbose":
        project.setLevel(logging.DEBUG)
    set_log_level(logging.DEBUG if chosen == "verbose" else logging.ERROR)
