"""``nucbatch copy``: copies a run to an object store, or back, and compares every file."""

from __future__ import annotations

from pathlib import Path

import click

from nucbatch.cli.input_options import InputPath
from nucbatch.cli.terminal import terminal
from nucbatch.cli.verbosity import is_quiet, verbosity_options


@click.command(short_help="Copy a run to an object store, or back.")
@click.argument("source", type=InputPath())
@click.argument("target", type=InputPath())
@verbosity_options
def copy(source: Path, target: Path) -> None:
    """Copy the run in SOURCE, finished or not, to TARGET. One of them is an address such as s3://bucket/run.

    Every object is read back and compared by its SHA-256. The same command again continues an interrupted
    copy. A run that was copied back continues with its own command.
    """
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from nucbatch.core.errors import InputError
    from nucbatch.object_store import ObjectPath
    from nucbatch.store.copy_run import download, upload

    if isinstance(source, ObjectPath) == isinstance(target, ObjectPath):
        raise InputError(
            f"{source} and {target}: give a folder and an address such as s3://bucket/run; between two "
            "folders use cp -r."
        )
    columns = TextColumn("files compared"), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=terminal(quiet=is_quiet())) as progress:
        task = progress.add_task("copy", total=None)

        def tell(files: int) -> None:
            progress.advance(task, files)

        if isinstance(target, ObjectPath):
            found = upload(source, target, tell)
        elif isinstance(source, ObjectPath):
            found = download(source, target, tell)
    terminal(soft_wrap=True).print(
        f"{found.files:,} files ({found.size_bytes / 1e6:,.1f} MB) are in {target}, compared by their "
        f"SHA-256; {found.there_before:,} were there before.",
        markup=False,
    )
