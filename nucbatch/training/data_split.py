"""Assigns images to the splits train, val and test.

``split.csv`` decides if it exists; an image without a row is left out, because it might be a neighbour of any
other. Without it, every tenth group is held out as val. A group consists of images that must not be
separated: those with the same pixels or from the same mosaic. Groups are ordered by a hash of their first
name, so that the same images always give the same split.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nucbatch.core.errors import InputError
from nucbatch.labels.label_files import IMAGE_SUFFIXES
from nucbatch.labels.sources import some

SPLITS = ("train", "val", "test")
HELD_OUT_EVERY = 10
FEWEST_TO_HOLD_OUT = 4


@dataclass(frozen=True, slots=True)
class SplitTable:
    """The rows of ``split.csv`` by image, and whether it has a column ``split``."""

    rows: Mapping[str, Mapping[str, str]]
    has_split: bool
    warnings: tuple[str, ...]


def read_split(path: Path, names: Collection[str]) -> SplitTable:
    """Reads split.csv: columns ``id`` and optionally ``split``, ``modality``, ``group``; others are ignored.

    Raises:
        InputError: it is not a CSV in UTF-8, has no column ``id``, lists an image twice, names a split other
            than train, val and test, or lists none of the images.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or []
            listed = [{key: (value or "").strip() for key, value in row.items() if key} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV in UTF-8 ({error}): save it as one.") from error
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
    missing, extra = sorted(set(names) - rows.keys()), sorted(rows.keys() - set(names))
    if len(missing) == len(names):
        raise InputError(
            f"{path} has no row for any of the {len(names)} images: id is the name without .png. "
            f"It has {some(extra, 3)}; the images are {some(missing, 3)}."
        )
    warnings = []
    if missing:
        fate = "left out" if has_split else "without modality and group"
        warnings.append(f"{path} has no row for {len(missing)} images, which are {fate}: {some(missing)}.")
    if extra:
        warnings.append(f"{path} lists {len(extra)} images that don't exist: {some(extra)}.")
    return SplitTable(rows, has_split, tuple(warnings))


def hold_out(names: Sequence[str], keep_together: Sequence[Mapping[str, Hashable]]) -> set[str]:
    """The names that become val: about a tenth, or none if there are fewer than four groups.

    Args:
        names: all names.
        keep_together: mappings from names to values; names with equal values stay together.
    """
    groups = connected_groups(names, keep_together)
    if len(groups) < FEWEST_TO_HOLD_OUT:
        return set()
    order = sorted(groups, key=lambda group: hashlib.sha256(group[0].encode()).hexdigest())
    return {name for group in order[::HELD_OUT_EVERY] for name in group}


def connected_groups(
    names: Sequence[str], keep_together: Sequence[Mapping[str, Hashable]]
) -> list[list[str]]:
    """The names in groups, all sorted: connected components under the given mappings.

    Two names are connected if a mapping gives them the same value.
    """
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for tie in keep_together:
        first: dict[Hashable, str] = {}
        for name, value in tie.items():
            parent[root(name)] = root(first.setdefault(value, name))
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(root(name), []).append(name)
    return sorted(groups.values())


def _name(written: str, names: Collection[str], below: Mapping[str, list[str]]) -> str:
    """The image that an id means; users also write file names, or leave out the sub-folder.

    ``below``: the images by their names without sub-folders.
    """
    for suffix in IMAGE_SUFFIXES:
        if written not in names and written.lower().endswith(suffix):
            written = written[: -len(suffix)]
    same = below.get(written, [])
    return same[0] if written not in names and len(same) == 1 else written
