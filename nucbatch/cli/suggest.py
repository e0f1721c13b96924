"""``nucbatch suggest``: the fields of a run that are most worth labelling first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nucbatch.cli.headings import HeadedCommand, headed, option
from nucbatch.cli.selection_options import selection_options
from nucbatch.cli.shared_options import DiskPath, FolderPath
from nucbatch.cli.terminal import terminal

if TYPE_CHECKING:
    from nucbatch.core.selection import Selection

_CHOICE = (
    option(
        "-n",
        "--number",
        "count",
        type=click.IntRange(min=1),
        default=20,
        show_default=True,
        help="Number of fields to suggest.",
    ),
    option(
        "--among",
        type=click.IntRange(min=1),
        default=1000,
        show_default=True,
        help="Look at this number of fields at most, spread evenly over the run.",
    ),
)
_OUTPUT = (
    option(
        "--csv",
        "table",
        type=DiskPath(dir_okay=False),
        help="Table to write.  [default: suggested.csv in OUT]",
    ),
    option(
        "--export",
        "folder",
        type=DiskPath(),
        help="Also write the images to this folder, with the run's labels to correct, as nucbatch train "
        "reads them.",
    ),
)


@click.command(cls=HeadedCommand, short_help="List the fields most worth labelling first.")
@click.argument("out", type=FolderPath())
@headed("Choice", *_CHOICE)
@selection_options
@headed("Output", *_OUTPUT)
def suggest(
    out: Path, count: int, among: int, selection: Selection, table: Path | None, folder: Path | None
) -> None:
    """List the fields of the run in OUT that are most worth labelling, to train a better model.

    They are doubtful (their nuclei change with the threshold) and differ from one another, and each stands
    for many others that look like it. Of images of more than 2,176 px a side, windows are listed. The same
    run always gives the same list.

    Probabilities are taken from the run if it kept them (nucbatch run --keep-probabilities). Others go
    through the network again.
    """
    from rich.progress import Progress

    from nucbatch.readers.names import plural
    from nucbatch.report.exports.run_fields import fields_of
    from nucbatch.review.label_folder import LabelFolder
    from nucbatch.review.reviewed_run import ReviewedRun
    from nucbatch.review.suggest import export_suggestions, write_suggestions
    from nucbatch.review.suggest import suggest as choose
    from nucbatch.schedulers.local import cores

    run = ReviewedRun(out)
    target = None if folder is None else LabelFolder(folder)
    selected = [one.field.group for one in fields_of(out).selected(selection).fields if one.status == "done"]
    console = terminal(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("fields", total=min(len(selected), max(among, count)))
        found = choose(
            run, count, groups=selected, among=among, threads=cores(), on_field=lambda: bar.advance(task)
        )
    path = out / "suggested.csv" if table is None else table
    write_suggestions(path, run, found)
    if target is not None:
        export_suggestions(target, run, found)
    shown = terminal(soft_wrap=True)
    what = f"{plural(len(found.chosen), 'field')} of {found.looked_at:,} looked at"
    rest = f", {found.of:,} in all" if found.of > found.looked_at else ""
    again = f"; {found.predicted:,} went through the network again" if found.predicted else ""
    shown.print(f"{what}{rest}{again}", markup=False)
    for one in found.chosen[:5]:
        name = run.row(one.candidate.group)["Name"]
        shown.print(f"  {name}: doubt {one.doubt:.2f}, stands for {one.stands_for:,}", markup=False)
    shown.print(f"Suggestions: {path}", markup=False)
    if folder is not None:
        shown.print(f"Images and labels to correct: {folder}", markup=False)
