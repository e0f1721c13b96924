"""Folders of labelled images → one data set that has been checked, every pixel of it, once.

Of each folder the layout is recognised, everything is read and the splits are settled; then the sets are
checked against one another, and all errors go into one message, so that they can be mended at once. No pixels
are kept: a data set is names, places and hashes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nucbatch.core.errors import InputError, InputNotFound, NucbatchError
from nucbatch.labels import recognise
from nucbatch.labels.binary import Components, is_binary
from nucbatch.labels.contract import Findings, Found, Labels, Source
from nucbatch.training import check
from nucbatch.training.provenance import digests_of_run, is_prediction, warning_of
from nucbatch.training.split import SplitTable, hold_out, read_split

_MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """One labelled image on disk.

    ``group`` is what it was cut from; group and modality may be empty. ``dataset`` is the name of the data
    set that it comes from, empty where there is only one.
    """

    name: str
    split: str
    modality: str
    group: str
    source: Source
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class DataSet:
    """A checked data set, its entries in order of name.

    ``sha256`` is of names, splits, modalities and pixels, the same in whatever files or layout these are (a
    grey image saved as RGB counts as grey). ``sets`` are the data sets it was made of by name, each with the
    hash that it has alone. ``predicted`` counts the images whose labels are a run's predictions, unchanged.
    ``warnings`` are sentences for the user.
    """

    entries: tuple[Entry, ...]
    sha256: str
    warnings: tuple[str, ...] = ()
    sets: Mapping[str, str] = field(default_factory=dict)
    predicted: int = 0

    def split(self, name: str) -> list[Entry]:
        """Entries of one split, in order of name."""
        return [entry for entry in self.entries if entry.split == name]


@dataclass(frozen=True, slots=True)
class _Examined:
    """One folder's entries, the facts of their pixels by name, what is wrong, and what to warn of."""

    entries: tuple[Entry, ...]
    facts: Mapping[str, check.Facts]
    errors: list[str]
    warnings: list[str]

    @property
    def sha256(self) -> str:
        """Hash of all that decides a training on this folder."""
        return check.data_sha256(
            (entry.name, entry.split, entry.modality, *self.facts[entry.name].digests)
            for entry in self.entries
        )

    def called(self, name: str) -> _Examined:
        """The same as one of several data sets: image, group and warnings bear the set's name."""
        return _Examined(
            tuple(
                replace(
                    entry,
                    name=f"{name}/{entry.name}",
                    group=f"{name}/{entry.group}" if entry.group else "",
                    dataset=name,
                )
                for entry in self.entries
            ),
            {f"{name}/{old}": replace(one, name=f"{name}/{old}") for old, one in self.facts.items()},
            [f"{name}: {error}" for error in self.errors],
            [f"{name}: {warning}" for warning in self.warnings],
        )


def read_entry(entry: Entry) -> tuple[NDArray[Any], Labels]:
    """One entry's pixels: image (Y, X) or (Y, X, 3) as stored, labels (Y, X) uint16 or uint32.

    The pixels to leave out are in ``entry.source.read().ignore``.

    Raises:
        InputError: image and labels differ in size, or the labels are no integers of one channel.
        UnreadableImage, StoreError: they can't be read.
    """
    pixels = entry.source.read()
    return pixels.image, pixels.labels


def find_data(folders: Path | Sequence[Path], channel: str = "") -> DataSet:
    """The data set below a folder, or that of several folders together; each image is read and checked.

    ``split.csv`` in a folder says the splits, modalities and groups. Without it the layout's folders do, or
    else about a tenth is ``val``. Several data sets keep their own splits; an image is then called
    ``<data set>/<name>``, where the data set is called as its folder. ``channel`` is the one to learn from in
    an OME-Zarr of several.

    Raises:
        InputNotFound: there is no such folder.
        InputError: a folder is given twice, has no known layout, or images that can't be trained on; the
            message lists them all.
    """
    places = [folders] if isinstance(folders, Path) else list(folders)
    for place in places:
        if not place.is_dir():
            raise InputNotFound(f"{place} is no folder: training needs a folder of images with labels.")
    names = set_names(places)
    sets = [_examine(place, channel) for place in places]
    if any(one.errors for one in sets):
        sets = [one.called(name) for one, name in zip(sets, names, strict=True)] if len(sets) > 1 else sets
        raise InputError(_message(places, [error for one in sets for error in one.errors]))
    hashes = dict(sorted((name, one.sha256) for name, one in zip(names, sets, strict=True)))
    shared = [
        (name, entry.group, entry.split)
        for one, name in zip(sets, names, strict=True)
        for entry in one.entries
    ]
    if len(sets) == 1:
        sha256 = sets[0].sha256
    else:
        sets = [one.called(name) for one, name in zip(sets, names, strict=True)]
        sha256 = check.data_sha256(hashes.items())
    entries = sorted((entry for one in sets for entry in one.entries), key=lambda entry: entry.name)
    facts = {name: known for one in sets for name, known in one.facts.items()}
    placed = [check.Placed(facts[entry.name], entry.split, entry.group) for entry in entries]
    errors = check.errors_of(placed) if placed else []
    if errors:
        raise InputError(_message(places, errors))
    warnings = [warning for one in sets for warning in one.warnings] + check.warnings_of(placed)
    warnings += check.shared_groups(shared)
    predicted = sum(facts[entry.name].predicted for entry in entries)
    return DataSet(tuple(entries), sha256, tuple(warnings), hashes, predicted)


def set_names(folders: Sequence[Path]) -> list[str]:
    """The names of the folders' data sets: the folder's own, with as many parents as tell them apart.

    Raises:
        InputError: a folder is given twice.
    """
    real = [folder.resolve() for folder in folders]
    twice = next((path for path in real if real.count(path) > 1), None)
    if twice is not None:
        raise InputError(f"{twice} is given twice: name each data set once.")
    for count in range(1, max(len(path.parts) for path in real) + 1):
        names = ["/".join(path.parts[-count:]) for path in real]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in real]


def _examine(folder: Path, channel: str) -> _Examined:
    """Reads everything in a folder.

    Raises:
        InputError: it has no known layout, or no images.
    """
    findings = recognise(folder, channel)
    if not findings.found and not findings.problems:
        raise InputError(f"{folder} has no images in it.")
    digests, unknown = digests_of_run(folder)
    facts, unusable = _look(findings.found, digests)
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
        facts, changed = _look(tuple(one for one in found if one.name in facts), digests)
        problems += changed
        warnings.append(
            "The masks are binary, so instances are lost: each connected component counts as one nucleus, "
            "and nuclei that touch are learnt as one. Use instance labels where there are any (of the 2018 "
            "Data Science Bowl stage1_train, not the processed masks)."
        )
    found = tuple(one for one in found if one.name in facts)
    entries, more = _placed(found, facts, table)
    more += warning_of(folder, [one.name for one in entries if facts[one.name].predicted], len(entries))
    return _Examined(entries, facts, problems, [*warnings, *unknown, *more])


def _table(folder: Path, findings: Findings) -> SplitTable | None:
    for place in (folder, findings.root):
        if findings.found and (place / "split.csv").is_file():
            return read_split(place / "split.csv", [one.name for one in findings.found])
    return None


def _look(found: tuple[Found, ...], digests: frozenset[str]) -> tuple[dict[str, check.Facts], list[str]]:
    """The facts of all images that can be read, by name, and what is wrong with the others.

    ``digests``: of the label images of the run that is looked at, if it is one.
    """
    facts: dict[str, check.Facts] = {}
    problems = []
    for one in found:
        try:
            pixels = one.source.read()
            own = is_prediction(one.source, pixels, digests)
            facts[one.name] = replace(check.facts_of(one.name, pixels), predicted=own)
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


def _message(folders: Sequence[Path], errors: list[str]) -> str:
    shown = " and ".join(map(str, folders))
    if len(errors) == 1:
        return f"{shown} can't be trained on. {errors[0]}"
    lines = [f"  {error}" for error in errors[:_MOST_SHOWN]]
    if len(errors) > _MOST_SHOWN:
        lines.append(f"  … and {len(errors) - _MOST_SHOWN} more")
    return f"{shown} can't be trained on:\n" + "\n".join(lines)
