"""``nucbatch report``: writes a run's report again, from its tables and images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nucbatch.cli.experiment_options import experiment_options
from nucbatch.cli.headings import HeadedCommand
from nucbatch.cli.shared_options import FolderPath

if TYPE_CHECKING:
    from nucbatch.experiment.description import Experiment


@click.command(cls=HeadedCommand, short_help="Write a run's report again.")
@click.argument("out", type=FolderPath())
@experiment_options
def report(out: Path, experiment: Experiment | None) -> None:
    """Write report.html of the run in OUT again, from what is on the disk.

    The run may be finished, stopped, or going on: fields that are not processed yet are shown as such.
    Options of the experiment change what a finished run was described with; --metadata replaces all of it.
    Nothing is segmented again.
    """
    from nucbatch.execution.redraw import redraw

    if experiment is not None:
        from nucbatch.execution.experiment_tables import describe_again
        from nucbatch.store.run_folder import RunFolder

        for line in describe_again(RunFolder(out), experiment).lines:
            click.echo(line)
    click.echo(f"Report: {redraw(out)}")
