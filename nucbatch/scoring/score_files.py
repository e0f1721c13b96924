"""Writes scores as files: a CSV of images, a CSV of totals, and a JSON file with everything.

Figures keep their short names; undefined ones are empty (CSV) or null (JSON). Totals have a CSV of their own,
so that each file has rows of one kind: one row per total and group, the group of all images first. Names that
a spreadsheet would evaluate as a formula are neutralised as in the CSV files of a run.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nucbatch.scoring.table import ScoreTable, plain
from nucbatch.store.sheets import neutral

ALL = "(all)"
Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Grouping:
    """Images grouped by a column of a CSV: the column's name, and a table per group."""

    column: str
    tables: dict[str, ScoreTable]


def images_csv(table: ScoreTable, by: Grouping | None = None) -> str:
    """One row per image; with groups, the second column holds the image's group."""
    group_of = {row.name: group for group, part in by.tables.items() for row in part.rows} if by else {}
    return _as_csv(
        {"name": record["name"]} | ({by.column: group_of[str(record["name"])]} if by else {}) | record
        for record in table.records()
    )


def totals_csv(table: ScoreTable, by: Grouping | None = None) -> str:
    """One row per group (``(all)`` first) and total: ``pooled``, ``averaged``, ``median``."""
    column = by.column if by else "group"
    groups = {ALL: table} | (by.tables if by else {})
    return _as_csv(
        {column: group, "total": total, "images": len(part.rows), **plain(figures)}
        for group, part in groups.items()
        for total, figures in part.totals().items()
    )


def totals_path(path: Path) -> Path:
    """Path of the totals beside the file of images: ``a.csv`` → ``a_totals.csv``."""
    return path.with_name(f"{path.stem}_totals{path.suffix}")


def as_json(table: ScoreTable, about: Row, by: Grouping | None = None) -> str:
    """Everything as JSON text: ``about``, the table's summary, and the groups by name."""
    content = dict(about) | table.summary()
    if by is not None:
        groups = {
            group: {"images": len(part.rows)} | {name: plain(one) for name, one in part.totals().items()}
            for group, part in by.tables.items()
        }
        content["by"] = {"column": by.column, "groups": groups}
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _as_csv(rows: Iterable[Row]) -> str:
    known: Sequence[Row] = list(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(neutral, known[0]))
    writer.writerows([neutral(row[column]) for column in known[0]] for row in known)
    return text.getvalue()
