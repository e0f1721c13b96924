"""The types that every layout of labelled images gives: images found, and their pixels.

All layouts pass pixels through :func:`paired`, so that image and labels have the same form however they were
stored, and images that don't fit are refused with the same message.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError

Labels = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, slots=True)
class Pixels:
    """An image (Y, X) or (Y, X, 3) and its labels (Y, X), uint16 if they fit, else uint32; 0 is background.

    ``overlap_px`` counts the pixels that several of the merged masks cover. ``ignore`` (Y, X) bool is True
    where the truth is unknown: those pixels count neither for the loss nor for a score. None: all pixels
    count.
    """

    image: NDArray[Any]
    labels: Labels
    overlap_px: int = 0
    ignore: NDArray[np.bool_] | None = None


class LabelSource(Protocol):
    """Reads an image and its labels. Frozen, so that it can be sent to a worker process."""

    def read(self) -> Pixels:
        """Reads image and labels.

        Raises:
            InputError: image and labels don't fit one another, or the labels are not labels.
            UnreadableImage, StoreError: a file can't be read.
        """


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One labelled image. ``split`` is train, val or test if the layout's folders say so, else empty."""

    name: str
    source: LabelSource
    split: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """The labelled images in a folder, in order of name. ``problems`` prevent training, ``warnings`` don't.

    ``root`` is the folder that holds the images, and possibly split.csv.
    """

    root: Path
    found: tuple[LabelledImage, ...]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def paired(image: NDArray[Any], labels: NDArray[Any], place: str, overlap_px: int = 0) -> Pixels:
    """Checks an image and its labels and gives them the common form; ``place`` names the labels in messages.

    Labels of three equal channels (grey saved as RGB) become one channel; Booleans become 0 and 1.

    Raises:
        InputError: labels have several channels, are not integers, are negative or above 2³² - 1, or differ
            in size from the image; or the image has NaN or infinity.
    """
    labels = as_labels(labels, place)
    if image.shape[:2] != labels.shape:
        raise InputError(
            f"{place}: labels are {labels.shape[1]} × {labels.shape[0]} px, "
            f"their image {image.shape[1]} × {image.shape[0]}; they must be of one size"
        )
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise InputError(f"{place}: its image holds NaN or infinity")
    return Pixels(image, labels, overlap_px)


def as_labels(labels: NDArray[Any], place: str) -> Labels:
    """Checks that pixels are labels, and returns them (Y, X) as uint16 if they fit, else uint32.

    Labels of three equal channels become one channel; Booleans become 0 and 1. Floats are labels if all are
    whole numbers, as in the 32-bit label images of ImageJ. ``place`` names the labels in messages.

    Raises:
        InputError: they have several channels, are not integers, are negative or above 2³² - 1.
    """
    labels = one_channel(labels)
    if labels.dtype.kind == "b":
        labels = labels.astype(np.uint8)
    if labels.dtype.kind == "f" and _holds_integers(labels):
        labels = labels.astype(np.int64)
    if labels.ndim != 2 or labels.dtype.kind not in "ui":
        raise InputError(
            f"{place}: {labels.dtype.name} of shape {labels.shape}; labels are one channel of integers"
        )
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if low < 0 or high >= 2**32:
        raise InputError(f"{place}: labels from {low} to {high}; they must be between 0 and {2**32 - 1}")
    return labels.astype(np.uint16 if high < 2**16 else np.uint32)


def _holds_integers(labels: NDArray[Any]) -> bool:
    """Tells whether floats are whole numbers in the range in which their type holds every one."""
    exact = 2 ** (np.finfo(labels.dtype).nmant + 1)
    return bool(np.isfinite(labels).all() and (np.abs(labels) <= exact).all() and (labels % 1 == 0).all())


def ignored(mask: NDArray[Any], shape: tuple[int, ...], place: str) -> NDArray[np.bool_]:
    """The pixels (Y, X) bool to leave out: where a mask is not 0. ``place`` names the mask in messages.

    Raises:
        InputError: the mask has several channels, is not of integers, or differs in size from the labels.
    """
    mask = one_channel(mask)
    if mask.ndim != 2 or mask.dtype.kind not in "bui":
        raise InputError(
            f"{place}: {mask.dtype.name} of shape {mask.shape}; a mask of ignored pixels is one channel of "
            "integers, 0 where the labels count"
        )
    if mask.shape != shape:
        raise InputError(
            f"{place}: the ignored pixels' mask is {mask.shape[1]} × {mask.shape[0]} px, "
            f"the labels {shape[1]} × {shape[0]}; they must be of one size"
        )
    return np.asarray(mask != 0)


def one_channel(pixels: NDArray[Any]) -> NDArray[Any]:
    """(Y, X) of an image (Y, X, S) whose channels are all equal; any other image is returned unchanged."""
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        return np.ascontiguousarray(pixels[..., 0])
    return pixels


def some(names: list[str], most: int = 20) -> str:
    """Names in one line; after ``most``, the number of the rest."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
