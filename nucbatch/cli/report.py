"""``nucbatch report``: writes a run's report again, from its tables and images."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Write a run's report again.")
@click.argument("out", type=click.Path(path_type=Path))
def report(out: Path) -> None:
    """Write report.html of the run in OUT again."""
    from nucbatch.report.page import write_report

    click.echo(f"Report: {write_report(out)}")
