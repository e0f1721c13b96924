"""Labelled images on disk → samples in memory, checked before the first step.

A data set is a folder with ``images/`` and ``labels/`` (16-bit instance labels) paired by stem, and
optionally ``split.csv`` with the columns ``id`` and ``split`` (train, val, test), and ``modality``.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nucbatch.errors import InputError, InputNotFound
from nucbatch.inference.normalise import find_constants, normalise
from nucbatch.readers.pixels import read_image
from nucbatch.settings import NormaliseSettings
from nucbatch.training import targets

SUFFIXES = {".png", ".tif", ".tiff"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One labelled image on disk."""

    name: str
    image: Path
    labels: Path
    split: str
    modality: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image in memory.

    ``maps`` (6, Y, X) uint8 are what is cut and turned together: the normalised image's three channels,
    foreground, interior (all as 0..255 for 0..1) and weight (in 1/32).
    """

    name: str
    modality: str
    maps: Tensor
    labels: NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set's entries by split, and the hash of their bytes (image and label files in order)."""

    entries: tuple[Entry, ...]
    sha256: str

    def split(self, name: str) -> list[Entry]:
        """Entries of one split, in order of name."""
        return [entry for entry in self.entries if entry.split == name]


def find_data(folder: Path) -> DataSet:
    """The data set below a folder.

    Without ``split.csv`` every tenth image in order of its name's hash is ``val``, the others ``train``.

    Raises:
        InputNotFound: the folder, or its images/ or labels/, is not there.
        InputError: unpaired files, or a split.csv that does not fit them; the message lists them.
    """
    for part in (folder, folder / "images", folder / "labels"):
        if not part.is_dir():
            raise InputNotFound(f"{part} is no folder: training needs {folder}/images and {folder}/labels.")
    images, labels = _by_stem(folder / "images"), _by_stem(folder / "labels")
    unpaired = sorted(images.keys() ^ labels.keys())
    if unpaired:
        raise InputError(
            f"{len(unpaired)} files in {folder} have no partner of the same stem in images/ and labels/: "
            + _some(unpaired)
        )
    if not images:
        raise InputError(f"{folder}/images has no {', '.join(sorted(SUFFIXES))} files.")
    rows = _read_split(folder / "split.csv", images.keys())
    entries = tuple(
        Entry(stem, images[stem], labels[stem], rows[stem]["split"], rows[stem].get("modality", ""))
        for stem in sorted(images)
    )
    digest = hashlib.sha256()
    for entry in entries:
        for path in (entry.image, entry.labels):
            digest.update(f"{path.name} {entry.split}\n".encode())
            digest.update(path.read_bytes())
    return DataSet(entries, digest.hexdigest())


def load_sample(entry: Entry, settings: NormaliseSettings) -> Sample:
    """Reads one entry and makes its targets.

    Raises:
        InputError: image and labels differ in size, or the labels are no integers of one channel.
    """
    image, labels = read_image(entry.image), read_image(entry.labels)
    if labels.ndim != 2 or labels.dtype.kind not in "ui":
        raise InputError(
            f"{entry.labels} has shape {labels.shape} of {labels.dtype}: labels are one channel of integers."
        )
    if image.shape[:2] != labels.shape:
        raise InputError(
            f"{entry.image} is {image.shape[:2]} px and its labels {labels.shape}: they must be of one size."
        )
    channels = normalise(image, find_constants(image, settings))
    maps = np.concatenate(
        [
            np.rint(channels * 255),
            (labels > 0)[np.newaxis] * 255.0,
            np.rint(targets.interior(labels) * 255)[np.newaxis],
            (targets.weight(labels) * 32)[np.newaxis],
        ]
    ).astype(np.uint8)
    return Sample(entry.name, entry.modality, torch.from_numpy(maps), labels.astype(np.uint16))


def sampling_weights(samples: Sequence[Sample]) -> NDArray[np.float64]:
    """How often each sample is drawn, (N,) summing to 1.

    Kinds of image share by the square root of their number, so that rare ones are seen without being
    learnt by heart; within a kind, an image counts by the square root of its area.
    """
    names = [sample.modality for sample in samples]
    share = {name: np.sqrt(names.count(name)) for name in set(names)}
    sizes = np.array([np.sqrt(sample.labels.size) for sample in samples])
    weights = np.zeros(len(samples))
    for name, part in share.items():
        inside = np.array([other == name for other in names])
        weights[inside] = part * sizes[inside] / sizes[inside].sum()
    return np.asarray(weights / weights.sum(), np.float64)


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            if path.stem in found:
                raise InputError(f"{folder} has two files of the stem {path.stem!r}: keep one.")
            found[path.stem] = path
    return found


def _read_split(path: Path, stems: Iterable[str]) -> dict[str, dict[str, str]]:
    names = sorted(stems)
    if not path.is_file():
        order = sorted(names, key=lambda stem: hashlib.sha256(stem.encode()).hexdigest())
        held_out = set(order[::10])
        return {stem: {"split": "val" if stem in held_out else "train"} for stem in names}
    with path.open(newline="", encoding="utf-8") as stream:
        rows = {row.get("id", ""): row for row in csv.DictReader(stream)}
    missing = [stem for stem in names if stem not in rows]
    if missing:
        raise InputError(f"{path} has no row for {len(missing)} images: {_some(missing)}")
    wrong = sorted({rows[stem].get("split", "") for stem in names} - {"train", "val", "test"})
    if wrong:
        raise InputError(f"{path}: split must be train, val or test, not {', '.join(map(repr, wrong))}.")
    return rows


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
