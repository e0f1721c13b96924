"""Selects the images that ``nucbatch score`` scores: all, or those with the values of ``--where`` in a CSV.

The CSV is that of ``--by``, else ``split.csv`` of the true labels' data set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nucbatch.object_store import ObjectPath

if TYPE_CHECKING:
    from nucbatch.cli.score_worst import Pairs
    from nucbatch.labels.label_image import LabelImage

T = TypeVar("T")
Wanted = Mapping[str, frozenset[str]]


def conditions(texts: Iterable[str]) -> Wanted:
    """The wanted values of each column, from texts ``COLUMN=VALUE``.

    Several values of one column are alternatives; all columns must match.

    Raises:
        InputError: a text has no ``=`` or no column name.
    """
    from nucbatch.core.errors import InputError

    wanted: dict[str, set[str]] = {}
    for text in texts:
        column, equals, value = (part.strip() for part in text.partition("="))
        if not (column and equals):
            raise InputError(f"--where {text!r} must be COLUMN=VALUE, such as --where split=test.")
        wanted.setdefault(column, set()).add(value)
    return {column: frozenset(values) for column, values in wanted.items()}


def table_beside(truth: Path) -> Path | None:
    """The ``split.csv`` of a data set, given its folder or its folder of labels; None if there is none."""
    if isinstance(truth, ObjectPath):
        return None
    places = (truth, truth.parent) if truth.name in ("labels", "masks") else (truth,)
    return next((place / "split.csv" for place in places if (place / "split.csv").is_file()), None)


def groups_file(
    table: Path | None, column: str | None, where: tuple[str, ...], *, named: bool
) -> Path | None:
    """The CSV of ``--column`` and ``--where``, None if neither is given.

    Raises:
        InputError: it is needed and missing, or named and not used.
    """
    from nucbatch.core.errors import InputError

    if column is None and not where:
        if named:
            raise InputError("--by needs --column, to group images, --where, to select images, or --cluster.")
        return None
    if table is None:
        raise InputError(
            "--column, --cluster and --where look up images in a CSV: name it with --by. There is no "
            "split.csv beside the true labels."
        )
    return table


def of_names(pairs: Pairs, known: dict[str, T]) -> dict[str, T]:
    """The values of ``known`` under any of an image's names, by the name under which it is scored."""
    found: dict[str, T] = {}
    for name, (pred, truth) in pairs.items():
        for alias in (name, *truth.names, *pred.names):
            if alias in known:
                found[name] = known[alias]
                break
    return found


def subset(
    pred: list[LabelImage], truth: list[LabelImage], table: Path, wanted: Wanted
) -> tuple[list[LabelImage], list[LabelImage], str]:
    """The selected predictions and true images, and a sentence with their number.

    True images without a row are left out. Predictions are selected with the true image of one of their
    names; predictions without a true image are kept, so that pairing reports them.

    Raises:
        InputError: there is no such column, or no image matches; the message lists the existing values.
    """
    from nucbatch.core.errors import InputError
    from nucbatch.scoring import read_groups
    from nucbatch.scoring.groups import EMPTY

    columns = {column: read_groups(table, column) for column in wanted}
    known = next(iter(columns.values()))

    def row(entry: LabelImage) -> str | None:
        return next((name for name in entry.names if name in known), None)

    kept: list[LabelImage] = []
    left: list[LabelImage] = []
    unlisted = 0
    for entry in truth:
        name = row(entry)
        unlisted += name is None
        fits = name is not None and all(
            columns[column][name] in values or (columns[column][name] == EMPTY and "" in values)
            for column, values in wanted.items()
        )
        (kept if fits else left).append(entry)
    condition = " and ".join(f"{column} = {' or '.join(sorted(values))}" for column, values in wanted.items())
    if not kept:
        there = "; ".join(
            f"{column} is {_some(sorted(set(values.values())))}" for column, values in columns.items()
        )
        raise InputError(
            f"none of the {len(truth)} true images has {condition} in {table}. In that file {there}."
        )
    mine = {name for entry in kept for name in entry.names}
    others = {name for entry in left for name in entry.names} - mine
    chosen = [entry for entry in pred if mine & set(entry.names) or not others & set(entry.names)]
    sentence = f"{len(kept)} of {len(truth)} images: {condition} in {table}"
    if unlisted:
        sentence += f"; {unlisted} without a row are left out"
    return chosen, kept, sentence


def _some(values: Sequence[str], most: int = 10) -> str:
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(values[:most]) + more
