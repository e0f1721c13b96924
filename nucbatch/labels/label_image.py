"""One label image of a side of a comparison, and functions that read its pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.labels.drawing import DrawnImage
from nucbatch.labels.run_images import SourceGone

Reader = Callable[[], NDArray[Any]]
_COLOURS = ("Red", "Green", "Blue")


@dataclass(frozen=True, slots=True)
class LabelImage:
    """One label image of a side, with functions that read its pixels.

    ``names`` are those it may be paired by, best first: a run makes names safe for files, an OME-Zarr has a
    title and a place, a file has a stem. ``place`` is the file or folder that holds the labels. ``labels``
    reads (Y, X), ``image`` (Y, X) or (Y, X, 3), ``ignore`` (Y, X), not 0 where pixels don't count. ``drawn``
    are the objects of an annotation file, which may not tell the size of the image.
    """

    names: tuple[str, ...]
    place: Path
    labels: Reader
    image: Reader | None = None
    ignore: Reader | None = None
    drawn: DrawnImage | None = None

    def read(self, shape: tuple[int, int]) -> NDArray[Any]:
        """Reads the labels (Y, X) of an image of this shape; only drawn objects need to know it."""
        return self.labels() if self.drawn is None else self.drawn.read(shape).labels

    def sized_like(self, other: LabelImage) -> LabelImage:
        """Returns the image with the size of another one, if it is drawn and its size isn't known."""
        if self.drawn is None or self.drawn.shape is not None or self.image is not None:
            return self
        return replace(self, labels=partial(_drawn_like, self, other))


def picture_of(*images: LabelImage) -> NDArray[Any] | None:
    """Reads the image (Y, X) or (Y, X, 3) of the first of these that has one.

    None if none has, or if the files of a run that copied no images are gone.
    """
    for one in images:
        try:
            if one.image is not None:
                return np.asarray(one.image())
        except SourceGone:
            continue
    return None


def one_picture(pixels: NDArray[Any], channels: list[str], channel: str) -> NDArray[Any]:
    """(Y, X, 3) of red, green and blue; else (Y, X) of the named channel; else of the first."""
    if len(pixels) == 3 and tuple(channels) == _COLOURS and channel not in channels:
        return np.moveaxis(pixels, 0, -1)
    return np.asarray(pixels[channels.index(channel) if channel in channels else 0])


def _drawn_like(image: LabelImage, other: LabelImage) -> NDArray[Any]:
    shape = other.labels().shape
    return image.read((shape[0], shape[1]))
