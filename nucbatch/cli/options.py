"""Options shared by several commands: the input and how to read it, and the exit code of Ctrl-C."""

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
    """Adds INPUT and the options that say how to read it.

    The command gets ``source`` (Path), ``layout``, ``acquisition`` and ``pattern`` (str, empty: detect),
    ``pixel_size_um`` and ``resolution_um`` (None: as the files say, and full resolution), ``root`` (Path or
    None) and ``read_timeout_s``.
    """
    for decorate in (
        click.option(
            "--read-timeout",
            "read_timeout_s",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            default=READ_TIMEOUT_S,
            show_default=True,
            help="Longest time to read a file; after it the file is quarantined and its field fails.",
        ),
        click.option(
            "--root",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Folder of a manifest's images, if its paths are from another machine.",
        ),
        click.option(
            "--resolution",
            "resolution_um",
            type=float,
            metavar="UM",
            help="Pixel size in micrometres; the nearest level of a pyramid is read. "
            "[default: the full resolution]",
        ),
        click.option(
            "--pixel-size",
            "pixel_size_um",
            type=float,
            metavar="UM",
            help="Micrometres per pixel at full resolution, instead of the value in the files.",
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
            help="Acquisition to read, if an OME-Zarr plate has several.",
        ),
        click.option(
            "--layout", default="", metavar="NAME", help="Layout of the input, if it isn't recognised."
        ),
        click.argument("source", metavar="INPUT", type=click.Path(path_type=Path)),
    ):
        command = decorate(command)
    return command
