"""Groups images by a column of a CSV, such as modality, plate or stain.

The CSV names an image in its column ``id``, else ``name``, else its first column, with or without a file's
suffix. Every scored image needs a row; rows of other images are ignored. An empty cell is a group of its own,
``(empty)``, so that no image is missing from the groups.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.labels.pairing import listed, without_suffix
from nucbatch.scoring.table import ImageScore, ScoreTable

ID_COLUMNS = ("id", "name")
EMPTY = "(empty)"


def read_groups(path: Path, column: str) -> dict[str, str]:
    """The group of each image in a CSV with a header, by the image's name without suffix.

    Raises:
        InputNotFound: there is no such file.
        InputError: it is not a CSV in UTF-8, has no such column, or gives one image two groups.
    """
    if not path.is_file():
        raise InputNotFound(f"{path} is not a file: --by takes a CSV with a row for each image.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or [])
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} can't be read as a CSV in UTF-8: {error}.") from error
    if column not in columns:
        shown = ", ".join(columns) or "no columns"
        raise InputError(f"{path} has no column {column!r}: it has {shown}. Name one with --column.")
    name_column = next((name for name in ID_COLUMNS if name in columns), columns[0])
    groups: dict[str, str] = {}
    for row in rows:
        # Cells that a short row lacks are None.
        name, group = without_suffix((row[name_column] or "").strip()), (row[column] or "").strip() or EMPTY
        if groups.setdefault(name, group) != group:
            raise InputError(
                f"{path} has {name!r} twice in column {name_column!r}, with {column} {groups[name]!r} and "
                f"{group!r}: an image can have only one."
            )
    return groups


def grouped(table: ScoreTable, groups: Mapping[str, str]) -> dict[str, ScoreTable]:
    """The table's images by group, in the order of the groups' names.

    Raises:
        InputError: some images have no group; the message lists them.
    """
    missing = [row.name for row in table.rows if row.name not in groups]
    if missing:
        known = ", ".join(list(groups)[:3]) or "none"
        raise InputError(
            f"{len(missing)} of {len(table.rows)} images have no row in the CSV of --by:\n{listed(missing)}\n"
            f"It names images such as {known}. Add rows with the names of the images."
        )
    members: dict[str, list[ImageScore]] = {}
    for row in table.rows:
        members.setdefault(groups[row.name], []).append(row)
    return {group: ScoreTable(tuple(members[group])) for group in sorted(members)}
