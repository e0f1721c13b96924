"""What means the same in several commands: the input and how to read it, and the end by Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from nucbatch.core.plate import READ_TIMEOUT_S

Command = Callable[..., Any]

INTERRUPTED = 130
"""Exit code of a command ended by Ctrl-C, as a shell reports it."""


def input_options(command: Command) -> Command:
    """INPUT and the options that say how to read it.

    The command gets ``source`` (Path), ``layout``, ``acquisition`` and ``pattern`` (str, empty: find out),
    ``pixel_size_um`` and ``resolution_um`` (None: as the files say, and the full resolution), ``root`` (Path
    or None) and ``read_timeout_s``.
    """
    for decorate in (
        click.option(
            "--read-timeout",
            "read_timeout_s",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            default=READ_TIMEOUT_S,
            show_default=True,
            help="How long a file may take to answer; then it is quarantined, and its field fails.",
        ),
        click.option(
            "--root",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="The folder with a manifest's images, if its paths are from another machine.",
        ),
        click.option(
            "--resolution",
            "resolution_um",
            type=float,
            metavar="UM",
            help="Read the level of a pyramid whose pixels are nearest to this size in micrometres. "
            "[default: the full resolution]",
        ),
        click.option(
            "--pixel-size",
            "pixel_size_um",
            type=float,
            metavar="UM",
            help="Micrometres per pixel, of a pyramid at full resolution, instead of what the files say.",
        ),
        click.option(
            "--pattern",
            default="",
            metavar="REGEX",
            help="Regex for the file names, with groups named well (or row and column, or well_of_96), site, "
            "channel, z, t, plate.",
        ),
        click.option(
            "--acquisition",
            default="",
            metavar="ID",
            help="The acquisition to read, if an OME-Zarr plate has several.",
        ),
        click.option(
            "--layout", default="", metavar="NAME", help="The input's layout, if it isn't recognised."
        ),
        click.argument("source", metavar="INPUT", type=click.Path(path_type=Path)),
    ):
        command = decorate(command)
    return command
