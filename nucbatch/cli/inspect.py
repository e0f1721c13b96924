"""``nucbatch inspect``: shows what a run would use, ignore and refuse, without running anything."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from nucbatch.cli.headings import HeadedCommand
from nucbatch.cli.input_options import input_options
from nucbatch.cli.selection_options import selection_options
from nucbatch.cli.terminal import terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from nucbatch.core.plate import Plate
    from nucbatch.core.selection import Selection
    from nucbatch.execution.run_request import InputOptions
    from nucbatch.execution.unfamiliar_sample import Looked
    from nucbatch.readers.plate_summary import PlateSummary

_MOST_MAPPED_WELLS = 1536
_MOST_INCOMPLETE = 20
_MOST_LISTED = 100
_NOTHING, _SOME_REFUSED = 1, 3


@click.command(cls=HeadedCommand, short_help="Show what a run would use, ignore and refuse.")
@input_options
@selection_options
@click.option(
    "--unfamiliar",
    "count",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Segment N fields, spread evenly, and say which are unlike all images the model was made with.",
)
@click.option("--channel", default="", metavar="NAME", help="Channel that shows nuclei, for --unfamiliar.")
@click.option(
    "--model", default="default", metavar="MODEL", help="Model for --unfamiliar.", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
@click.pass_context
def inspect(
    context: click.Context,
    source: InputOptions,
    selection: Selection,
    count: int,
    channel: str,
    model: str,
    as_json: bool,
) -> None:
    """Show how nucbatch reads INPUT: a plate, a folder of images, one image, or a manifest CSV.

    Exit code: 0 everything is usable; 1 nothing is; 2 wrong usage; 3 some files or fields can't be used.
    """
    from rich.text import Text

    from nucbatch.experiment.field_layout import overlap_of
    from nucbatch.readers.finite import values_checked
    from nucbatch.readers.merged_colours import detect_merged_colours
    from nucbatch.readers.plate_summary import summarise

    plate = source.open()
    selection.require_in(plate)
    plate = values_checked(plate)
    summary = summarise(plate, selection, overlap_of(plate.fields))
    grounds = detect_merged_colours(plate)
    looked = _looked(plate, selection, count, channel, model) if count else None
    if as_json:
        document = summary.as_dict() | {"dark_ground": grounds.sentence}
        if looked is not None:
            document["unfamiliar"] = asdict(looked)
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        console = terminal()
        _show(console, plate, summary)
        if grounds.sentence:
            console.print(Text(f"\n{grounds.sentence}", style="yellow"))
        if looked is not None:
            _show_unfamiliar(console, looked)
    if not (summary.usable_fields if summary.selected_fields is None else summary.selected_fields):
        context.exit(_NOTHING)
    if summary.quarantined or summary.problem_fields or summary.lacking_fields:
        context.exit(_SOME_REFUSED)


def _looked(plate: Plate, selection: Selection, count: int, channel: str, model: str) -> Looked:
    """Looks at some of the selected fields."""
    from nucbatch.execution.unfamiliar_sample import unfamiliar_fields

    fields = [field for field in plate.fields if selection.includes(field)]
    return unfamiliar_fields(plate, fields, count, channel, model)


def _show_unfamiliar(console: Console, looked: Looked) -> None:
    """Prints how many of the fields that were looked at are unfamiliar, and why."""
    from rich.text import Text

    seen = looked.looked_at - looked.without_nuclei
    console.print(
        Text(f"\nUnlike all images of the model: {len(looked.unfamiliar)} of {seen} fields with nuclei")
    )
    for name, reason in looked.unfamiliar:
        console.print(Text(f"  {name}: {reason}", style="yellow", overflow="fold"))


def _show(console: Console, plate: Plate, summary: PlateSummary) -> None:
    from rich.table import Table
    from rich.text import Text

    from nucbatch.readers.summary_text import facts as facts_of

    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for title, value in facts_of(summary):
        facts.add_row(title, Text(value))
    console.print(facts)
    if plate.is_plate and 0 < len(summary.wells) <= _MOST_MAPPED_WELLS:
        _show_map(console, summary)
    if summary.ignored:
        console.print(Text("\nIgnored", style="bold"))
        for rule in summary.ignored:
            console.print(Text(f"  {rule.name}: {rule.count:,}", style="cyan"), Text(f"({rule.sentence})"))
            for path in rule.examples:
                console.print(Text(f"      {path}", style="dim", overflow="fold"))
            if rule.count > len(rule.examples):
                console.print(Text(f"      and {rule.count - len(rule.examples):,} more", style="dim"))
    _list(console, "Quarantined", summary.quarantined)
    if summary.incomplete_images:
        console.print(Text("\nChunks or tiles absent", style="bold yellow"))
        for path, absent in summary.incomplete_images[:_MOST_INCOMPLETE]:
            console.print(Text(f"  {path}: {absent}", style="yellow", overflow="fold"))
        if len(summary.incomplete_images) > _MOST_INCOMPLETE:
            console.print(
                Text(f"  and {len(summary.incomplete_images) - _MOST_INCOMPLETE:,} more images", style="dim")
            )
    _list(console, "Fields that can't be used", summary.problem_fields)
    counted = "counted and flagged, unless the missing channel is the segmented one"
    _list(console, "Fields without one of their channels", summary.lacking_fields, counted)


def _list(console: Console, title: str, entries: Sequence[tuple[str, str]], subtitle: str = "") -> None:
    """Prints names with their reasons under a title, if there are any; at most :data:`_MOST_LISTED`."""
    from rich.text import Text

    if not entries:
        return
    console.print(Text(f"\n{title}", style="bold red"))
    if subtitle:
        console.print(Text(f"  {subtitle}"))
    for name, reason in entries[:_MOST_LISTED]:
        console.print(Text(f"  {name}\n", overflow="fold") + Text(f"      {reason}", style="red"))
    if len(entries) > _MOST_LISTED:
        more = f"  and {len(entries) - _MOST_LISTED:,} more; --json lists all of them"
        console.print(Text(more, style="dim"))


def _show_map(console: Console, summary: PlateSummary) -> None:
    """Prints one mark per well: its number of fields (``+`` above 9), ``!`` for a problem, ``·`` for none."""
    from rich.text import Text

    from nucbatch.readers.summary_text import plate_map

    drawing = plate_map(summary)
    if max(len(line) for line in drawing) > console.width:
        console.print(Text("\n(the terminal is too narrow for the map of wells)", style="dim"))
        return
    console.print()
    for line in drawing:
        shown = Text(line, no_wrap=True)
        shown.highlight_regex(r"!", "bold red")
        shown.highlight_regex(r"·", "dim")
        console.print(shown)
    console.print(Text("fields per well; ! some can't be used or lack a channel; · no image", style="dim"))
