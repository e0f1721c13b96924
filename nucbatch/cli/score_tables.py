"""Prints the tables of ``nucbatch score``: totals, thresholds, groups and images, for 80 columns or more."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from nucbatch.scoring import ScoreTable
    from nucbatch.scoring.score_files import Grouping

# More would not fit into 80 columns; the files and the page have all columns.
_IN_GROUPS = ("truth", "found", "pixel F1", "F1 0.5", "AP 0.5", "mean AP", "PQ")
_FIGURE = 5


def show(console: Console, table: ScoreTable, by: Grouping | None, most: int) -> None:
    """Prints all tables; of more than ``2 * most`` images, the ``most`` worst alone."""
    totals = table.totals()
    console.print(_totals(totals, len(table.rows)))
    console.print(_thresholds(totals))
    if by is not None:
        console.print(_groups(by))
    console.print(_images(table, most))


def _totals(totals: dict[str, dict[str, float]], images: int) -> Table:
    from nucbatch.readers.names import plural
    from nucbatch.scoring import figure_names

    title = f"{plural(images, 'image')}; averages and medians are over images"
    shown = _table(title, "figure", *(total for total, _ in figure_names.TOTALS))
    for section, figures in figure_names.SECTIONS:
        shown.add_section()
        shown.add_row(f"[bold]{section}[/]")
        for name, title in figures:
            shown.add_row(
                f"  {title}", *(figure_names.shown(totals[total][name]) for total, _ in figure_names.TOTALS)
            )
    return shown


def _thresholds(totals: dict[str, dict[str, float]]) -> Table:
    from nucbatch.scoring import THRESHOLDS, figure_names
    from nucbatch.scoring.table import at_threshold

    headings = (heading for _, _, heading in figure_names.THRESHOLD_COLUMNS)
    shown = _table("Matched above an IoU; pooled, except the last column", "IoU", *headings)
    for threshold in THRESHOLDS:
        values = [
            totals[total][at_threshold(stem, threshold)] for total, stem, _ in figure_names.THRESHOLD_COLUMNS
        ]
        shown.add_row(f"{threshold:.2f}", *map(figure_names.shown, values))
    return shown


def _groups(by: Grouping) -> Table:
    from rich.text import Text

    from nucbatch.scoring import figure_names

    columns = [column for column in figure_names.GROUP_COLUMNS if column[2] in _IN_GROUPS]
    title = f"By {by.column}; pooled, except mean AP, which is averaged over images"
    shown = _table(title, by.column, "images", *(heading for _, _, heading in columns))
    for group, part in by.tables.items():
        totals = part.totals()
        values = (figure_names.shown(totals[total][name]) for total, name, _ in columns)
        shown.add_row(Text(group), f"{len(part.rows):,}", *values)
    return shown


def _images(table: ScoreTable, most: int) -> Table:
    from rich.text import Text

    from nucbatch.scoring import figure_names

    every = len(table.rows) <= 2 * most
    rows = sorted(table.rows, key=lambda row: row.name) if every else table.worst(most)
    title = "Images" if every else f"The {len(rows)} images with the lowest object F1"
    shown = _table(title, "image", *(heading for _, heading in figure_names.IMAGE_COLUMNS))
    for row in rows:
        figures = row.figures()
        shown.add_row(
            Text(row.name), *(figure_names.shown(figures[name]) for name, _ in figure_names.IMAGE_COLUMNS)
        )
    return shown


def _table(title: str, first: str, *headings: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # A title or heading may contain a column's name, which must not be parsed as markup.
    shown = Table(
        title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    # In a narrow terminal the first column is shortened, not the figures.
    shown.add_column(Text(first), overflow="ellipsis", max_width=36)
    for heading in headings:
        shown.add_column(heading, justify="right", no_wrap=True, min_width=max(len(heading), _FIGURE))
    return shown
