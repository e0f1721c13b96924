"""INPUT and the options that say how to read it, shared by the commands that open a plate."""

from __future__ import annotations

import os
from functools import wraps
from pathlib import Path
from typing import Any

import click

from nucbatch.cli.headings import Command, headed, option
from nucbatch.cli.shared_options import DiskPath
from nucbatch.core.plate import READ_TIMEOUT_S
from nucbatch.execution.run_request import InputOptions
from nucbatch.object_store import as_path


class InputPath(click.Path):
    """Path of a file or folder, or its address in an object store."""

    def coerce_path_result(self, value: str | os.PathLike[str]) -> Path:
        """Returns the path as it was given."""
        return as_path(os.fspath(value))


_OPTIONS = (
    option("--layout", default="", metavar="NAME", help="Layout of the input, if it isn't recognised."),
    option(
        "--acquisition",
        default="",
        metavar="ID",
        help="Acquisition to read, if a plate has several.",
    ),
    option(
        "--pattern",
        default="",
        metavar="REGEX",
        help="Regex for the file names, with groups named well (or row and column, or well_of_96), "
        "site, channel, z, t, plate.",
    ),
    option(
        "--pixel-size",
        "pixel_size_um",
        type=float,
        metavar="UM",
        help="Micrometres per pixel at full resolution, instead of the value in the files.",
    ),
    option(
        "--resolution",
        "resolution_um",
        type=float,
        metavar="UM",
        help="Pixel size in micrometres; the nearest level of a pyramid is read. "
        "[default: the full resolution]",
    ),
    option(
        "--flatfield",
        is_flag=True,
        help="Divide pixels by the flat-field profiles that the microscope stored with the plate.",
    ),
    option(
        "--illumination",
        type=DiskPath(),
        metavar="DIR",
        help="Correct pixels by an image of each channel's illumination: .npy (CellProfiler) or TIFF, named "
        "after the channel. [default: not corrected]",
    ),
    option(
        "--illumination-method",
        type=click.Choice(["divide", "subtract"]),
        default="divide",
        show_default=True,
        help="Divide pixels by the images of --illumination, or subtract the images.",
    ),
    option(
        "--root",
        type=InputPath(),
        metavar="DIR",
        help="Folder or address of a manifest's images, if its paths are from another machine or a store.",
    ),
    option(
        "--plate",
        "plate_name",
        default="",
        metavar="NAME",
        help="Plate to read of a manifest that names several (Metadata_Plate).",
    ),
    option(
        "--read-timeout",
        "read_timeout_s",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        default=READ_TIMEOUT_S,
        show_default=True,
        help="Longest time to read a file; after it the file is quarantined and its field fails.",
    ),
)


def input_options(command: Command) -> Command:
    """Adds INPUT and the options that say how to read it; the command gets ``source`` (InputOptions)."""

    @wraps(command)
    def collected(path: Path, **values: Any) -> Any:
        own = {name: values.pop(name) for name in InputOptions.__slots__ if name != "path"}
        return command(source=InputOptions(path, **own), **values)

    decorated = headed("Input", *_OPTIONS)(collected)
    return click.argument("path", metavar="INPUT", type=InputPath())(decorated)
