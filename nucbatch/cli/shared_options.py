"""Options that ``run`` and ``measure`` share: where the results go, and how a session treats earlier ones."""

from __future__ import annotations

import os
from pathlib import Path

import click

from nucbatch.cli.headings import option
from nucbatch.object_store import as_path, is_address


class DiskPath(click.Path):
    """File or folder on a disk; ``refusal`` says what to do with an ``{address}`` in an object store."""

    refusal = "{address} is an address in an object store: give a file or folder on a disk."

    def coerce_path_result(self, value: str | os.PathLike[str]) -> Path:
        """Returns the path.

        Raises:
            click.BadParameter: it is an address in an object store.
        """
        text = os.fspath(value)
        if is_address(text):
            raise click.BadParameter(self.refusal.format(address=text))
        return Path(text)


class OutputPath(DiskPath):
    """Folder on a disk, for results that can't go to a store."""

    refusal = (
        "{address} is an address: these results are written to a disk. Give a folder; that of a run or a "
        "screen can be copied with `nucbatch copy FOLDER {address}`."
    )


class FolderPath(DiskPath):
    """File or folder on a disk, such as a finished run to read."""

    refusal = (
        "{address} is an address, and this command reads from a disk: copy the run with "
        "`nucbatch copy {address} FOLDER`, and give that folder."
    )


class RunPath(click.Path):
    """Folder of a run, or its address in an object store."""

    def coerce_path_result(self, value: str | os.PathLike[str]) -> Path:
        """Returns the path as it was given."""
        return as_path(os.fspath(value))


OUT = option("-o", "--out", required=True, type=OutputPath(), help="Output folder of the run.")
OUT_OR_ADDRESS = option(
    "-o",
    "--out",
    required=True,
    type=RunPath(),
    metavar="OUT",
    help="Output folder of the run, or an address such as s3://bucket/run.",
)
WORK = option(
    "--work",
    type=OutputPath(),
    metavar="DIR",
    help="Where -o is an address: folder in which results wait until they are sent; all workers must see it. "
    "[default: the user's cache folder]",
)
OVERLAPS = option(
    "--overlaps",
    type=click.Choice(["once", "keep"]),
    default="once",
    show_default=True,
    help="Nuclei in several fields that overlap by their stage positions count once, or are all kept.",
)
TABLE = option(
    "--table",
    type=click.Choice(["parquet", "csv"]),
    default="parquet",
    show_default=True,
    help="Table of nuclei: nuclei.parquet alone, or nuclei.csv beside it.",
)
RESTART = option("--restart", is_flag=True, help="Delete an earlier run in the folder first.")
VERIFY = option(
    "--verify",
    is_flag=True,
    help="Compare the checksums of all finished results; damaged ones are made again.",
)
FAIL_FAST = option("--fail-fast", is_flag=True, help="Stop at the first file or field that can't be used.")
