"""Options that ``run`` and ``measure`` share: where the results go, and how a session treats earlier ones."""

from __future__ import annotations

import os
from pathlib import Path

import click

from nucbatch.cli.headings import option
from nucbatch.object_store import is_address


class OutputPath(click.Path):
    """Folder on a disk, for results."""

    def coerce_path_result(self, value: str | os.PathLike[str]) -> Path:
        """Returns the path.

        Raises:
            click.BadParameter: it is an address in an object store.
        """
        text = os.fspath(value)
        if is_address(text):
            raise click.BadParameter(
                f"{text} is an address: results are written to a disk. Give a folder, and copy it with "
                f"`nucbatch copy FOLDER {text}`, also while the run is not finished."
            )
        return Path(text)


OUT = option("-o", "--out", required=True, type=OutputPath(), help="Output folder of the run.")
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
