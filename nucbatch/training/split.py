"""Which images are learnt from, which choose the thresholds, which are kept for the last word.

Decisions owned here: ``split.csv`` rules where it stands; an image without a row is left out, because it may
be anything's neighbour. Where nothing says so, every tenth group is held out, a group being images that must
not be divided (the same pixels, the same mosaic), in order of a hash of its first name: the same for everyone
who has the same images.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nucbatch.core.errors import InputError
from nucbatch.labels.contract import some
from nucbatch.labels.files import IMAGE_SUFFIXES

SPLITS = ("train", "val", "test")
HELD_OUT_EVERY = 10
FEWEST_TO_HOLD_OUT = 4


@dataclass(frozen=True, slots=True)
class SplitTable:
    """``split.csv``: its rows by image, and whether it has the column ``split`` at all."""

    rows: Mapping[str, Mapping[str, str]]
    has_split: bool
    warnings: tuple[str, ...]


def read_split(path: Path, names: Collection[str]) -> SplitTable:
    """Reads split.csv: columns ``id`` and perhaps ``split``, ``modality``, ``group``; others are ignored.

    Raises:
        InputError: no CSV in UTF-8; no column ``id``; an image twice; a split that is not train, val or test;
            none of the images.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or []
            listed = [{key: (value or "").strip() for key, value in row.items() if key} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no CSV in UTF-8 ({error}): save it anew as one.") from error
    if "id" not in columns:
        raise InputError(f"{path} has the columns {', '.join(columns) or 'none'}: one must be id.")
    rows: dict[str, dict[str, str]] = {}
    below: dict[str, list[str]] = {}
    for name in names:
        below.setdefault(name.rpartition("/")[2], []).append(name)
    for row in listed:
        name = _name(row["id"], names, below)
        if name in rows and rows[name] != row:
            raise InputError(f"{path} has two different rows for {name}: keep one.")
        rows[name] = row
    has_split = "split" in columns
    wrong = sorted({row["split"] for row in rows.values()} - set(SPLITS)) if has_split else []
    if wrong:
        raise InputError(f"{path}: split must be train, val or test, not {', '.join(map(repr, wrong))}.")
    missing, strangers = sorted(set(names) - rows.keys()), sorted(rows.keys() - set(names))
    if len(missing) == len(names):
        raise InputError(
            f"{path} has no row for any of the {len(names)} images: id is the name without .png. "
            f"It has {some(strangers, 3)}; the images are {some(missing, 3)}."
        )
    warnings = []
    if missing:
        fate = "left out" if has_split else "without modality and group"
        warnings.append(f"{path} has no row for {len(missing)} images, which are {fate}: {some(missing)}.")
    if strangers:
        warnings.append(f"{path} lists {len(strangers)} images that are not there: {some(strangers)}.")
    return SplitTable(rows, has_split, tuple(warnings))


def hold_out(names: Sequence[str], ties: Sequence[Mapping[str, Hashable]]) -> set[str]:
    """Those of the names that are val where nobody has chosen: about a tenth, none of fewer than four groups.

    Args:
        ties: each a mapping from names to what binds them: names with an equal value stay together.
    """
    groups = bound(names, ties)
    if len(groups) < FEWEST_TO_HOLD_OUT:
        return set()
    order = sorted(groups, key=lambda group: hashlib.sha256(group[0].encode()).hexdigest())
    return {name for group in order[::HELD_OUT_EVERY] for name in group}


def bound(names: Sequence[str], ties: Sequence[Mapping[str, Hashable]]) -> list[list[str]]:
    """The names in groups, two names being in one group if any chain of ties connects them; all sorted."""
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for tie in ties:
        first: dict[Hashable, str] = {}
        for name, value in tie.items():
            parent[root(name)] = root(first.setdefault(value, name))
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(root(name), []).append(name)
    return sorted(groups.values())


def _name(written: str, names: Collection[str], below: Mapping[str, list[str]]) -> str:
    """An id as the images are named; people write the file's name too, or leave the sub-folder out.

    ``below``: the images by their names without sub-folders.
    """
    for suffix in IMAGE_SUFFIXES:
        if written not in names and written.lower().endswith(suffix):
            written = written[: -len(suffix)]
    same = below.get(written, [])
    return same[0] if written not in names and len(same) == 1 else written
