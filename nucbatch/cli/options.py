"""What means the same in several commands: the input and how to read it, and the end by Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]

INTERRUPTED = 130
"""Exit code of a command ended by Ctrl-C, as a shell reports it."""


def input_options(command: Command) -> Command:
    """INPUT with ``--layout``, ``--pattern`` and ``--pixel-size``.

    The command gets ``source`` (Path), ``layout`` and ``pattern`` (str, empty: find out), ``pixel_size_um``.
    """
    for decorate in (
        click.option(
            "--pixel-size",
            "pixel_size_um",
            type=float,
            metavar="UM",
            help="Micrometres per pixel, instead of what the files say.",
        ),
        click.option(
            "--pattern",
            default="",
            metavar="REGEX",
            help="Names by a regex with groups named well (or row and column), site, channel, z, t, plate.",
        ),
        click.option(
            "--layout", default="", metavar="NAME", help="The input's layout, instead of finding out."
        ),
        click.argument("source", metavar="INPUT", type=click.Path(path_type=Path)),
    ):
        command = decorate(command)
    return command
