"""Checks a data set before the first training step, and reports all errors and warnings at once.

What would falsify scores is an error: the same pixels in two splits, or parts of one mosaic in two splits.
What only makes them less certain is a warning. Pixels are compared, not files: a grey image saved as RGB is
the same image. Images of a single value are never duplicates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.labels.binary import Kind, kind_of
from nucbatch.labels.sources import Pixels, one_channel, some

FEWEST_VAL = 5


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Hashes and properties of one image and its labels, as the checks need them.

    ``flat``: the image has a single value. ``ignore_sha256`` is empty if no pixel is ignored. ``predicted``:
    the labels are a run's predictions, unchanged.
    """

    name: str
    image_sha256: str
    labels_sha256: str
    flat: bool
    kind: Kind
    overlap_px: int
    ignore_sha256: str = ""
    ignored_px: int = 0
    predicted: bool = False

    @property
    def digests(self) -> tuple[str, ...]:
        """The hashes of image, labels and ignored pixels."""
        ignore = (self.ignore_sha256,) if self.ignore_sha256 else ()
        return (self.image_sha256, self.labels_sha256, *ignore)


@dataclass(frozen=True, slots=True)
class Assigned:
    """An image's facts with its split and its group: the mosaic, slide or patient it was cut from."""

    facts: ImageFacts
    split: str
    group: str


def facts_of(name: str, pixels: Pixels) -> ImageFacts:
    """Computes the facts of one image and its labels."""
    image = one_channel(pixels.image)
    ignored_px = 0 if pixels.ignore is None else int(np.count_nonzero(pixels.ignore))
    return ImageFacts(
        name,
        pixel_sha256(image),
        pixel_sha256(pixels.labels),
        bool(image.size == 0 or (image == image.reshape(-1)[0]).all()),
        kind_of(pixels.labels),
        pixels.overlap_px,
        pixel_sha256(pixels.ignore) if pixels.ignore is not None and ignored_px else "",
        ignored_px,
    )


def pixel_sha256(pixels: NDArray[Any]) -> str:
    """SHA-256 (hex) of shape, dtype and little-endian values, independent of the file format."""
    ordered = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{ordered.shape} {ordered.dtype.name}".encode())
    digest.update(ordered.data)
    return digest.hexdigest()


def data_sha256(described: Iterable[Sequence[str]]) -> str:
    """SHA-256 (hex) of the rows of a data set, in order. A row holds all fields that decide the training."""
    digest = hashlib.sha256()
    for row in described:
        digest.update(("\t".join(row) + "\n").encode())
    return digest.hexdigest()


def errors_of(placed: Sequence[Assigned]) -> list[str]:
    """Reasons why training on these images would give false scores; empty if there are none."""
    errors = []
    if not any(one.split == "train" for one in placed):
        errors.append("No image is in the train split: there is nothing to learn from.")
    pairs = [_shown(same) for same in duplicates(placed) if len({one.split for one in same}) > 1]
    if pairs:
        errors.append(
            f"{len(pairs)} images are in more than one split with the same pixels, so they would be scored "
            f"after being seen in training: {some(pairs)}. Put each into one split, or remove its copies."
        )
    mosaics: dict[str, set[str]] = {}
    for one in placed:
        if one.group:
            mosaics.setdefault(one.group, set()).add(one.split)
    torn = [f"{group} ({', '.join(sorted(splits))})" for group, splits in mosaics.items() if len(splits) > 1]
    if torn:
        errors.append(
            f"{len(torn)} groups are in more than one split, so scores would be of neighbours of images "
            f"already seen: {some(sorted(torn))}. Put each group into one split."
        )
    return errors


def warnings_of(placed: Sequence[Assigned]) -> list[str]:
    """Warnings about a data set that can be trained on."""
    warnings = []
    held_out = sum(one.split == "val" for one in placed)
    if held_out == 0:
        warnings.append("No image is in the val split: thresholds can't be chosen and progress isn't scored.")
    elif held_out < FEWEST_VAL:
        warnings.append(
            f"Only {held_out} in the val split: its scores and the thresholds chosen on it are rough."
        )
    empty = [one.facts.name for one in placed if one.facts.kind == "empty"]
    if empty:
        warnings.append(f"{len(empty)} images have no labels and count as negatives: {some(empty)}.")
    same = [_shown(same) for same in duplicates(placed) if len({one.split for one in same}) == 1]
    if same:
        warnings.append(f"{len(same)} images occur more than once: {some(same)}.")
    left_out = [one.facts for one in placed if one.facts.ignored_px]
    if left_out:
        total = sum(facts.ignored_px for facts in left_out)
        warnings.append(
            f"In {len(left_out)} of {len(placed)} images, {total} px in all are marked to be ignored "
            "(ignore/): they count neither for the loss nor for scores."
        )
    merged = [one.facts.name for one in placed if one.facts.kind == "mask"]
    if merged and len(merged) < len(placed):
        warnings.append(
            f"{len(merged)} label images have one value on several separate shapes, each counted as one "
            f"nucleus: {some(merged)}."
        )
    overlapping = [one.facts for one in placed if one.facts.overlap_px]
    if overlapping:
        total = sum(facts.overlap_px for facts in overlapping)
        warnings.append(
            f"In {len(overlapping)} images masks overlap, in {total} px in all; the later file wins: "
            f"{some([facts.name for facts in overlapping])}."
        )
    return warnings


def shared_groups(described: Iterable[tuple[str, str, str]]) -> list[str]:
    """A warning if data sets have a group of the same name in different splits.

    ``described`` gives the data set, group and split of each image. Groups of different data sets are treated
    as different groups.
    """
    places: dict[str, set[tuple[str, str]]] = {}
    for dataset, group, split in described:
        if group:
            places.setdefault(group, set()).add((dataset, split))
    torn = [
        f"{group} ({', '.join(f'{split} of {dataset}' for dataset, split in sorted(found))})"
        for group, found in sorted(places.items())
        if len({dataset for dataset, _ in found}) > 1 and len({split for _, split in found}) > 1
    ]
    if not torn:
        return []
    return [
        f"{len(torn)} groups have the same name in several data sets and are in different splits: "
        f"{some(torn)}. They are treated as different groups; if they are the same slide or mosaic, put each "
        "into one split."
    ]


def duplicates(placed: Iterable[Assigned]) -> list[list[Assigned]]:
    """Groups of two or more images with the same pixels."""
    by_pixels: dict[str, list[Assigned]] = {}
    for one in placed:
        if not one.facts.flat:
            by_pixels.setdefault(one.facts.image_sha256, []).append(one)
    return [same for same in by_pixels.values() if len(same) > 1]


def _shown(same: list[Assigned]) -> str:
    differ = len({one.facts.labels_sha256 for one in same}) > 1
    names = " = ".join(f"{one.facts.name} ({one.split})" for one in same)
    return names + (", with different labels" if differ else "")
