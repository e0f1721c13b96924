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

    ``overlap_px`` counts the pixels that several of the masks it was merged from claimed. ``ignore`` (Y, X)
    bool is True where the truth is unknown: those pixels count neither for the loss nor for a score. None:
    all pixels count.
    """

    image: NDArray[Any]
    labels: Labels
    overlap_px: int = 0
    ignore: NDArray[np.bool_] | None = None


class LabelSource(Protocol):
    """Where an image and its labels lie. Frozen, so that a worker process can be given one."""

    def read(self) -> Pixels:
        """The pixels.

        Raises:
            InputError: image and labels don't fit one another, or the labels are none.
            UnreadableImage, StoreError: bytes can't be read.
        """


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One labelled image. ``split`` is train, val or test if the layout's folders say so."""

    name: str
    source: LabelSource
    split: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a folder holds, in order of name. ``problems`` forbid training, ``warnings`` don't.

    ``root`` is the folder in which the images lie, which may hold the split.csv too.
    """

    root: Path
    found: tuple[LabelledImage, ...]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def paired(image: NDArray[Any], labels: NDArray[Any], place: str, overlap_px: int = 0) -> Pixels:
    """Image and labels in the one form that all layouts give; ``place`` names the labels in messages.

    Labels of three equal channels (grey saved as RGB) are one channel; Booleans are 0 and 1.

    Raises:
        InputError: labels of several channels, no integers, negative or above 2³² - 1; sizes that differ.
    """
    labels = one_channel(labels)
    if labels.dtype.kind == "b":
        labels = labels.astype(np.uint8)
    if labels.ndim != 2 or labels.dtype.kind not in "ui":
        raise InputError(
            f"{place}: {labels.dtype.name} of shape {labels.shape}; labels are one channel of integers"
        )
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if low < 0 or high >= 2**32:
        raise InputError(f"{place}: labels from {low} to {high}; they must be between 0 and {2**32 - 1}")
    if image.shape[:2] != labels.shape:
        raise InputError(
            f"{place}: labels are {labels.shape[1]} × {labels.shape[0]} px, "
            f"their image {image.shape[1]} × {image.shape[0]}; they must be of one size"
        )
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise InputError(f"{place}: its image holds NaN or infinity")
    return Pixels(image, labels.astype(np.uint16 if high < 2**16 else np.uint32), overlap_px)


def ignored(mask: NDArray[Any], shape: tuple[int, ...], place: str) -> NDArray[np.bool_]:
    """The pixels (Y, X) bool to leave out, from a mask that is not 0 there; ``place`` names it in messages.

    Raises:
        InputError: a mask of several channels, no integers, or another shape than the labels'.
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
    """(Y, X) of a picture (Y, X, S) whose channels are all equal; any other comes back as it is."""
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        return np.ascontiguousarray(pixels[..., 0])
    return pixels


def some(names: list[str], most: int = 20) -> str:
    """Names in one line; beyond ``most`` their number."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
