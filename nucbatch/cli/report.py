"""``nucbatch report``: writes a run's report again, from its tables and images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nucbatch.cli.experiment_options import experiment_options
from nucbatch.cli.headings import HeadedCommand
from nucbatch.cli.shared_options import RunPath

if TYPE_CHECKING:
    from nucbatch.experiment.description import Experiment


@click.command(cls=HeadedCommand, short_help="Write a run's report again.")
@click.argument("out", type=RunPath())
@experiment_options
def report(out: Path, experiment: Experiment | None) -> None:
    """Write report.html of the run in OUT again, from its tables and images.

    OUT is a folder, or an address such as s3://bucket/run, where the report is written, too.

    The run may be finished, stopped, or going on: fields that are not processed yet are shown as such.
    Options of the experiment change what a finished run was described with; --metadata replaces all of it.
    Nothing is segmented again.
    """
    from nucbatch.execution.redraw import describe_and_redraw

    lines, path = describe_and_redraw(out, experiment)
    for line in lines:
        click.echo(line)
    click.echo(f"Report: {path}")
