"""Finds labelled images in OME-Zarr: an image, a plate, a folder of them, or a run with corrected labels.

An image of one channel is grey; one of the channels Red, Green and Blue is RGB. Of several channels the one
that the run segmented is taken (run.json records it), or the only nuclear stain. Of several label images
``nuclei`` is taken, and ``ignore`` marks pixels to leave out. Every other case is refused, with the names
that are there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nucbatch.core.errors import InputError, NucbatchError, StoreError
from nucbatch.labels.label_files import IGNORE
from nucbatch.labels.ome_zarr_images import StoredImage, is_ome_zarr, open_images
from nucbatch.labels.sources import Findings, LabelledImage, Pixels, ignored, paired
from nucbatch.planning.plan import nuclear_stains
from nucbatch.store.run_folder import RunFolder

NUCLEI = "nuclei"
_RGB = (("red", "green", "blue"), ("r", "g", "b"), ("0", "1", "2"))


@dataclass(frozen=True, slots=True)
class ZarrPair:
    """An image of an OME-Zarr with one of its label images; ``channel`` None means RGB."""

    stored: StoredImage
    channel: int | None
    labels: str

    def read(self) -> Pixels:
        """Reads image and labels at full size (level 0).

        Raises:
            InputError: they don't fit one another, or have several planes.
            StoreError: they can't be read.
        """
        image = self.stored.read_image(self.channel)
        if self.channel is None:
            image = np.ascontiguousarray(image.transpose(1, 2, 0))
        labels = self.stored.read_labels(self.labels)
        pixels = paired(image, labels, f"{self.stored.path}/labels/{self.labels}")
        if IGNORE not in self.stored.labels or self.labels == IGNORE:
            return pixels
        mask = self.stored.read_labels(IGNORE)
        return replace(pixels, ignore=ignored(mask, labels.shape, f"{self.stored.path}/labels/{IGNORE}"))


def find_omezarr(folder: Path, channel: str = "") -> Findings | None:
    """The labelled images of an OME-Zarr; None if the folder is none.

    ``channel`` names the channel to learn from.
    """
    if not is_ome_zarr(folder):
        return None
    wanted = channel or recorded_channel(folder)
    found, problems = [], []
    for stored in open_images(folder):
        try:
            place = choose_channel(stored.channels, stored.count_channels(), wanted)
            found.append(LabelledImage(stored.name, ZarrPair(stored, place, choose_labels(stored.labels))))
        except NucbatchError as error:
            problems.append(f"{stored.name}: {str(error).rstrip('.')}.")
    found.sort(key=lambda one: one.name)
    return Findings(folder, tuple(found), tuple(problems))


def recorded_channel(folder: Path) -> str:
    """The channel that a run segmented, from run.json in the folder or beside the store.

    Empty if there is none.

    Raises:
        StoreError: run.json doesn't name it.
    """
    for place in (folder, folder.parent):
        path = RunFolder(place).run_json
        if RunFolder(place).is_run() and path.is_file():
            try:
                return str(json.loads(path.read_bytes())["settings"]["channel"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise StoreError(f"{path} does not name a run's channel ({error}).") from error
    return ""


def choose_channel(names: Sequence[str], count: int, wanted: str) -> int | None:
    """The position of the channel that shows nuclei, None for RGB. ``names`` may be empty.

    Raises:
        InputError: the wanted channel doesn't exist; or there are several, and their names don't tell.
    """
    if count == 1 and (not wanted or not names or wanted in names):
        return 0
    named_rgb = tuple(map(str.lower, names)) in _RGB  # a run's RGB images have no channel of its name
    if count == 3 and wanted not in names and (named_rgb or not (names or wanted)):
        return None
    listed = ", ".join(names) or f"{count} without names"
    if wanted:
        if wanted not in names:
            raise InputError(f"there is no channel {wanted!r} among its channels ({listed})")
        return list(names).index(wanted)
    stains = nuclear_stains(names)
    if len(stains) != 1:
        raise InputError(f"its channels ({listed}) don't tell which one shows nuclei. Name it with --channel")
    return list(names).index(stains[0])


def choose_labels(names: Sequence[str]) -> str:
    """The label image to use: ``nuclei``, or the only one.

    Raises:
        InputError: there is none, or there are several with other names.
    """
    names = [name for name in names if name != IGNORE]
    if NUCLEI in names:
        return NUCLEI
    if len(names) != 1:
        raise InputError(
            f"it has the label images {', '.join(names)}; call the right one {NUCLEI}"
            if names
            else "it has no labels group"
        )
    return names[0]
