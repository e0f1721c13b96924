"""A folder of labelled images → a data set that has been looked at, every pixel of it, once.

The decision owned here: the order of things. A layout is recognised, everything is read, the splits are
settled, and then all errors are said in one message, so that nobody mends them one run at a time. No pixels
are kept: a data set is names, places and hashes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nucbatch.errors import InputError, InputNotFound, NucbatchError
from nucbatch.training import check
from nucbatch.training.layouts.beside import find_beside
from nucbatch.training.layouts.binary import Components, is_binary
from nucbatch.training.layouts.contract import Findings, Found, Labels, Source, some
from nucbatch.training.layouts.folders import find_folders
from nucbatch.training.layouts.kaggle import find_kaggle
from nucbatch.training.layouts.omezarr import find_omezarr
from nucbatch.training.split import SplitTable, hold_out, read_split

LAYOUTS = (
    "images/ and labels/ (or masks/) with files of the same stem, perhaps inside train/, val/ and test/",
    "stage1_train/<id>/images and masks, as Kaggle has it",
    "a.png beside a_mask.png",
    "OME-Zarr with labels, or a run's folder",
)
_MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """One labelled image on disk. ``group`` is what it was cut from; group and modality may be empty."""

    name: str
    split: str
    modality: str
    group: str
    source: Source


@dataclass(frozen=True, slots=True)
class DataSet:
    """A checked data set, its entries in order of name.

    ``sha256`` is of names, splits, modalities and pixels, the same in whatever files or layout these are (a
    grey image saved as RGB counts as grey). ``warnings`` are sentences for the user.
    """

    entries: tuple[Entry, ...]
    sha256: str
    warnings: tuple[str, ...] = ()

    def split(self, name: str) -> list[Entry]:
        """Entries of one split, in order of name."""
        return [entry for entry in self.entries if entry.split == name]


def read_entry(entry: Entry) -> tuple[NDArray[Any], Labels]:
    """One entry's pixels: image (Y, X) or (Y, X, 3) as stored, labels (Y, X) uint16 or uint32.

    Raises:
        InputError: image and labels differ in size, or the labels are no integers of one channel.
        UnreadableImage, StoreError: they can't be read.
    """
    pixels = entry.source.read()
    return pixels.image, pixels.labels


def find_data(folder: Path, channel: str = "") -> DataSet:
    """The data set below a folder, in any layout that is known; each image is read and checked.

    ``split.csv`` in the folder says the splits, modalities and groups. Without it the layout's folders do, or
    else about a tenth is ``val``. ``channel`` is the one to learn from in an OME-Zarr of several.

    Raises:
        InputNotFound: there is no such folder.
        InputError: it has no known layout, or images that can't be trained on; the message lists them all.
    """
    if not folder.is_dir():
        raise InputNotFound(f"{folder} is no folder: training needs a folder of images with labels.")
    findings = _recognised(folder, channel)
    if not findings.found and not findings.problems:
        raise InputError(f"{folder} has no images in it.")
    facts, unusable = _look(findings.found)
    problems = [*findings.problems, *unusable]
    table = None
    try:
        table = _table(folder, findings)
    except InputError as error:
        problems.append(str(error))
    warnings = [*findings.warnings, *(table.warnings if table else ())]
    found: tuple[Found, ...] = findings.found
    if is_binary([one.kind for one in facts.values()]):
        found = tuple(replace(one, source=Components(one.source)) for one in found)
        facts, changed = _look(tuple(one for one in found if one.name in facts))
        problems += changed
        warnings.append(
            "The masks are binary, so instances are lost: each connected component counts as one nucleus, "
            "and nuclei that touch are learnt as one. Use instance labels where there are any (of the 2018 "
            "Data Science Bowl stage1_train, not the processed masks)."
        )
    found = tuple(one for one in found if one.name in facts)
    entries, more = _placed(found, facts, table)
    checked = [check.Placed(facts[entry.name], entry.split, entry.group) for entry in entries]
    errors = problems + (check.errors_of(checked) if checked else [])
    if errors:
        raise InputError(_message(folder, errors))
    rows = (
        (
            *(entry.name, entry.split, entry.modality),
            *(facts[entry.name].image_sha256, facts[entry.name].labels_sha256),
        )
        for entry in entries
    )
    return DataSet(entries, check.data_sha256(rows), (*warnings, *more, *check.warnings_of(checked)))


def _recognised(folder: Path, channel: str) -> Findings:
    finders: tuple[Callable[[Path], Findings | None], ...] = (
        find_folders,
        find_kaggle,
        partial(find_omezarr, channel=channel),
        find_beside,
    )
    for find in finders:
        findings = find(folder)
        if findings is not None:
            return findings
    names = sorted(child.name for child in folder.iterdir() if not child.name.startswith("."))
    raise InputError(
        f"{folder} has no labelled images in a layout that is known. It holds "
        f"{some(names, 5) or 'nothing'}. Known are:\n" + "\n".join(f"  {layout}" for layout in LAYOUTS)
    )


def _table(folder: Path, findings: Findings) -> SplitTable | None:
    for place in (folder, findings.root):
        if findings.found and (place / "split.csv").is_file():
            return read_split(place / "split.csv", [one.name for one in findings.found])
    return None


def _look(found: tuple[Found, ...]) -> tuple[dict[str, check.Facts], list[str]]:
    """The facts of all images that can be read, by name, and what is wrong with the others."""
    facts: dict[str, check.Facts] = {}
    problems = []
    for one in found:
        try:
            facts[one.name] = check.facts_of(one.name, one.source.read())
        except NucbatchError as error:
            problems.append(str(error).rstrip(".") + ".")
    return facts, problems


def _placed(
    found: tuple[Found, ...], facts: Mapping[str, check.Facts], table: SplitTable | None
) -> tuple[tuple[Entry, ...], list[str]]:
    """The entries with their splits, and a warning where these were chosen here."""
    rows = table.rows if table else {}
    entries = [
        Entry(
            one.name,
            one.split,
            rows.get(one.name, {}).get("modality", ""),
            rows.get(one.name, {}).get("group", ""),
            one.source,
        )
        for one in sorted(found, key=lambda one: one.name)
    ]
    if table and table.has_split:
        listed = [entry for entry in entries if entry.name in rows]
        return tuple(replace(entry, split=rows[entry.name]["split"]) for entry in listed), []
    free = [entry for entry in entries if entry.split in ("", "train")]
    if any(entry.split == "val" for entry in entries):
        return tuple(entries), []
    same = {entry.name: facts[entry.name].image_sha256 for entry in free if not facts[entry.name].flat}
    mosaic = {entry.name: entry.group for entry in free if entry.group}
    held_out = hold_out([entry.name for entry in free], [same, mosaic])
    chosen = {entry.name: "val" if entry.name in held_out else "train" for entry in free}
    return (
        tuple(replace(entry, split=chosen.get(entry.name, entry.split)) for entry in entries),
        [f"No validation images are named: {len(held_out)} of {len(free)} were taken by their names' hash."]
        if held_out
        else [],
    )


def _message(folder: Path, errors: list[str]) -> str:
    if len(errors) == 1:
        return f"{folder} can't be trained on. {errors[0]}"
    lines = [f"  {error}" for error in errors[:_MOST_SHOWN]]
    if len(errors) > _MOST_SHOWN:
        lines.append(f"  … and {len(errors) - _MOST_SHOWN} more")
    return f"{folder} can't be trained on:\n" + "\n".join(lines)
