"""Makes one checked data set from folders of labelled images.

For each folder the layout is recognised, all pixels are read once, and the splits are assigned. Then the sets
are checked against one another, and all errors are raised in one message. No pixels are kept: a data set
consists of names, places and hashes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nucbatch.core.errors import InputError, InputNotFound, NucbatchError
from nucbatch.labels import recognise
from nucbatch.labels.binary import ComponentLabels, is_binary
from nucbatch.labels.sources import Findings, LabelledImage, Labels, LabelSource
from nucbatch.training import data_checks
from nucbatch.training.data_split import SplitTable, hold_out, read_split
from nucbatch.training.provenance import digests_of_run, is_prediction, warning_of

_MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """One labelled image on disk.

    ``group`` is the mosaic, slide or patient it was cut from; group and modality may be empty. ``dataset`` is
    the name of the data set it belongs to, empty if there is only one.
    """

    name: str
    split: str
    modality: str
    group: str
    source: LabelSource
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class DataSet:
    """A checked data set, with its entries in order of name.

    ``sha256`` covers names, splits, modalities and pixels, independent of file format and layout (a grey
    image saved as RGB counts as grey). ``sets`` maps the name of each data set in it to the hash that it has
    alone. ``predicted`` counts the images whose labels are a run's predictions, unchanged. ``warnings`` are
    sentences for the user.
    """

    entries: tuple[Entry, ...]
    sha256: str
    warnings: tuple[str, ...] = ()
    sets: Mapping[str, str] = field(default_factory=dict)
    predicted: int = 0

    def split(self, name: str) -> list[Entry]:
        """The entries of one split, in order of name."""
        return [entry for entry in self.entries if entry.split == name]


@dataclass(frozen=True, slots=True)
class _Examined:
    """One folder's entries, the facts of their pixels by name, errors and warnings."""

    entries: tuple[Entry, ...]
    facts: Mapping[str, data_checks.ImageFacts]
    errors: list[str]
    warnings: list[str]

    @property
    def sha256(self) -> str:
        """Hash of everything that decides a training on this folder."""
        return data_checks.data_sha256(
            (entry.name, entry.split, entry.modality, *self.facts[entry.name].digests)
            for entry in self.entries
        )

    def called(self, name: str) -> _Examined:
        """The same as one of several data sets.

        Names of images and groups, errors and warnings get the set's name as prefix.
        """
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

    Pixels to ignore are given by ``entry.source.read().ignore``.

    Raises:
        InputError: image and labels differ in size, or the labels are not integers of one channel.
        UnreadableImage, StoreError: they can't be read.
    """
    pixels = entry.source.read()
    return pixels.image, pixels.labels


def find_data(folders: Path | Sequence[Path], channel: str = "") -> DataSet:
    """The data set in a folder, or in several folders together. Every image is read and checked.

    Splits, modalities and groups are taken from ``split.csv`` in a folder. Without that file, splits are
    taken from the layout's folders, or about a tenth of the images become ``val``. Several data sets keep
    their own splits, and an image is then named ``<data set>/<name>``, where a data set has its folder's
    name.

    Args:
        folders: one folder or several.
        channel: name of the channel to learn from, in an OME-Zarr of several.

    Raises:
        InputNotFound: there is no such folder.
        InputError: a folder is given twice, has no known layout, or holds images that can't be trained on;
            the message lists them all.
    """
    places = [folders] if isinstance(folders, Path) else list(folders)
    for place in places:
        if not place.is_dir():
            raise InputNotFound(f"{place} is not a folder: training needs a folder of images with labels.")
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
        sha256 = data_checks.data_sha256(hashes.items())
    entries = sorted((entry for one in sets for entry in one.entries), key=lambda entry: entry.name)
    facts = {name: known for one in sets for name, known in one.facts.items()}
    placed = [data_checks.Assigned(facts[entry.name], entry.split, entry.group) for entry in entries]
    errors = data_checks.errors_of(placed) if placed else []
    if errors:
        raise InputError(_message(places, errors))
    warnings = [warning for one in sets for warning in one.warnings] + data_checks.warnings_of(placed)
    warnings += data_checks.shared_groups(shared)
    predicted = sum(facts[entry.name].predicted for entry in entries)
    return DataSet(tuple(entries), sha256, tuple(warnings), hashes, predicted)


def set_names(folders: Sequence[Path]) -> list[str]:
    """The names of the data sets: each folder's name, with as many parent folders as make the names unique.

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
    found: tuple[LabelledImage, ...] = findings.found
    if is_binary([one.kind for one in facts.values()]):
        found = tuple(replace(one, source=ComponentLabels(one.source)) for one in found)
        facts, changed = _look(tuple(one for one in found if one.name in facts), digests)
        problems += changed
        warnings.append(
            "The masks are binary, so instances are lost: each connected component counts as one nucleus, "
            "and touching nuclei are learnt as one. Use instance labels where there are any (of the 2018 "
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


def _look(
    found: tuple[LabelledImage, ...], digests: frozenset[str]
) -> tuple[dict[str, data_checks.ImageFacts], list[str]]:
    """The facts of all readable images by name, and the errors of the others.

    ``digests``: of the labels that a run predicted, if the folder is a run's.
    """
    facts: dict[str, data_checks.ImageFacts] = {}
    problems = []
    for one in found:
        try:
            pixels = one.source.read()
            own = is_prediction(one.source, pixels, digests)
            facts[one.name] = replace(data_checks.facts_of(one.name, pixels), predicted=own)
        except NucbatchError as error:
            problems.append(str(error).rstrip(".") + ".")
    return facts, problems


def _placed(
    found: tuple[LabelledImage, ...], facts: Mapping[str, data_checks.ImageFacts], table: SplitTable | None
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
        [f"No validation split is given: {len(held_out)} of {len(free)} were chosen by name hash."]
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
