"""``nucbatch export``: masks, outlines and the table of a run in the formats of other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nucbatch.cli.headings import HeadedCommand, headed, option
from nucbatch.cli.selection_options import selection_options
from nucbatch.cli.shared_options import DiskPath, RunPath
from nucbatch.cli.terminal import say_error, terminal

if TYPE_CHECKING:
    from nucbatch.core.selection import Selection

_FORMATS = (
    option(
        "--labels",
        type=click.Choice(["tiff", "png"]),
        help="Label images: TIFF of 16 or 32 bits, or PNG of 16 bits, which holds 65,535 nuclei.",
    ),
    option(
        "--outlines",
        type=click.Choice(["geojson", "imagej"]),
        help="Outlines of nuclei: GeoJSON for QuPath, or RoiSet.zip for ImageJ and Fiji.",
    ),
    option("--table", type=click.Choice(["csv"]), help="Nuclei with their measurements, as CSV."),
)
_OUTPUT = (option("-o", "--out", "target", required=True, type=DiskPath(), help="Folder of the export."),)
_MOST_SHOWN = 10


@click.command(cls=HeadedCommand, short_help="Write a run's masks, outlines and table for other programs.")
@click.argument("out", type=RunPath())
@headed("Formats", *_FORMATS)
@selection_options
@headed("Output", *_OUTPUT)
def export(
    out: Path,
    labels: Any,
    outlines: Any,
    table: str | None,
    selection: Selection,
    target: Path,
) -> None:
    """Export the run in OUT: masks, outlines, or the table of nuclei. Nothing is segmented again.

    OUT is a folder, or an address such as s3://bucket/run; -o is a folder.

    Of an unfinished run, the fields that are done are exported. export.csv lists each field with its files.

    Exit code: 0 all selected fields are exported; 1 none is; 2 wrong usage; 3 some failed, here or in the
    run, or are not done yet.
    """
    from rich.progress import Progress

    from nucbatch.core.errors import InputError
    from nucbatch.readers.names import plural
    from nucbatch.report.exports.export import Formats
    from nucbatch.report.exports.export import export as write
    from nucbatch.report.exports.run_fields import fields_at
    from nucbatch.schedulers.local import cores

    if labels is outlines is table is None:
        raise InputError("there is nothing to export: give --labels, --outlines or --table.")
    console = terminal(stderr=True)
    with (
        fields_at(out) as every,
        Progress(console=console, disable=not console.is_terminal) as bar,
    ):
        run = every.selected(selection)
        task = bar.add_task("fields", total=len(run.fields))
        result = write(
            run,
            target,
            Formats(labels, outlines, table is not None),
            threads=cores(),
            on_field=lambda one: bar.advance(task),
        )
    shown = terminal(soft_wrap=True)
    if labels or outlines:
        shown.print(
            f"{plural(result.done, 'field')} exported; {len(result.failed):,} failed; {result.without:,} "
            f"without masks in the run. See {target / 'export.csv'}",
            markup=False,
        )
    if result.rows is not None:
        shown.print(f"{plural(result.rows, 'row')} in {target / 'nuclei.csv'}", markup=False)
    for one in result.failed[:_MOST_SHOWN]:
        say_error(f"{one.source.field.name}: {one.reason}")
    if len(result.failed) > _MOST_SHOWN:
        say_error(f"and {len(result.failed) - _MOST_SHOWN:,} more: see {target / 'export.csv'}")
    if (labels or outlines) and not result.done:
        sys.exit(1)
    sys.exit(3 if result.failed or result.without > result.not_selected else 0)
