"""Objects drawn as polygons or masks in an annotation file, and the label image that they make.

Coordinates are x, y in pixels from the upper left corner of the first pixel; a pixel belongs to a polygon if
its centre lies inside, so outlines along pixel edges give exactly their mask. As for masks of single nuclei
(:mod:`nucbatch.labels.kaggle`), a later object takes the pixels of an earlier one, and an object that keeps
no pixel is refused: leaving it out would change the number of nuclei.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError
from nucbatch.core.tiles import Box
from nucbatch.labels.sources import some
from nucbatch.masks.outlines import fill

Polygon = NDArray[np.float64]
"""Corners (N, 2) as x, y."""

_LARGEST_LABEL = 2**32 - 1


@dataclass(frozen=True, slots=True)
class DrawnObject:
    """One object.

    Attributes:
        name: name in messages, such as "feature 3".
        parts: polygons, each an outer ring followed by its holes; the object is all of them together.
        masks: masks (Y, X) bool with the (y, x) of their first pixel.
        number: label that the file gives it; None if it gives none.
        ignored: marks pixels where the truth is unknown, and is no object.
    """

    name: str
    parts: Sequence[Sequence[Polygon]] = ()
    masks: Sequence[tuple[tuple[int, int], NDArray[np.bool_]]] = ()
    number: int | None = None
    ignored: bool = False

    def inside(self, shape: tuple[int, int]) -> tuple[Box, NDArray[np.bool_]]:
        """Returns its pixels in an image (Y, X): the box around them, and the mask in that box."""
        corners = [ring for part in self.parts for ring in part]
        corners += [
            np.array([(x, y), (x + mask.shape[1], y + mask.shape[0])], np.float64)
            for (y, x), mask in self.masks
        ]
        x, y = np.concatenate([np.zeros((0, 2)), *corners]).T
        if not len(x):
            return Box(0, 0, 0, 0), np.zeros((0, 0), np.bool_)
        low = np.clip(np.floor([y.min(), x.min()]), 0, shape).astype(int).tolist()
        high = np.clip(np.ceil([y.max(), x.max()]), low, shape).astype(int).tolist()
        box = Box(low[0], low[1], high[0], high[1])
        inside = np.zeros(box.shape, np.bool_)
        for part in self.parts:
            inside |= fill([ring - (box.x0, box.y0) for ring in part], box.shape)
        for (top, left), mask in self.masks:
            placed = Box(top, left, top + mask.shape[0], left + mask.shape[1])
            both = placed.clipped(box)
            if min(both.shape) > 0:
                inside[both.within(box)] |= mask[both.within(placed)]
        return box, inside


@dataclass(frozen=True, slots=True)
class Drawn:
    """The label image of drawn objects: labels (Y, X) uint32, the ignored pixels, or None, and overlaps."""

    labels: NDArray[np.uint32]
    ignore: NDArray[np.bool_] | None
    overlap_px: int


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """The annotations of one image; picklable.

    Attributes:
        names: names of its image, best first.
        place: the file, for messages.
        objects: reads the objects.
        shape: (Y, X) of the image, if the file records it.
        shared: whether the file may describe further images.
        has_ignored: whether it marks pixels where the truth is unknown.
    """

    names: tuple[str, ...]
    place: str
    objects: Callable[[], Sequence[DrawnObject]] = field(compare=False)
    shape: tuple[int, int] | None = None
    shared: bool = False
    has_ignored: bool = False

    def read(self, shape: tuple[int, int] | None = None) -> Drawn:
        """Draws the label image.

        Args:
            shape: (Y, X) of the image; None takes the one that the file records.

        Raises:
            InputError: the file is damaged; the size isn't known or isn't the file's; or an object has no
                pixel inside the image, or none is left.
            UnreadableImage: the file can't be read.
        """
        if shape is not None and self.shape is not None and shape != self.shape:
            raise InputError(
                f"{self.place}: the annotations are for {self.shape[1]} × {self.shape[0]} px, and the image "
                f"is {shape[1]} × {shape[0]}; they must be of one size"
            )
        size = shape or self.shape
        if size is None:
            raise InputError(
                f"{self.place}: it does not record the size of its image, and there is no image beside it"
            )
        return drawn(self.objects(), size, self.place)


def drawn(objects: Sequence[DrawnObject], shape: tuple[int, int], place: str) -> Drawn:
    """Draws objects in their order. Their own numbers are kept if all differ; else they are numbered 1..N.

    Raises:
        InputError: an object has no pixel inside the image, or none is left.
    """
    labels, overlap_px = np.zeros(shape, np.uint32), 0
    counted = [one for one in objects if not one.ignored]
    own = [one.number for one in counted]
    keeps = None not in own and len(set(own)) == len(own)
    numbers = [number for number in own if number is not None] if keeps else range(1, len(own) + 1)
    left = dict.fromkeys(numbers, 0)
    for number, one in zip(numbers, counted, strict=True):
        box, inside = one.inside(shape)
        target = labels[box.slices]
        before, lost = np.unique(target[inside & (target != 0)], return_counts=True)
        for label, pixels in zip(before.tolist(), lost.tolist(), strict=True):
            left[label] -= pixels
            overlap_px += pixels
        target[inside] = number
        left[number] = int(np.count_nonzero(inside))
    gone = [one.name for number, one in zip(numbers, counted, strict=True) if not left[number]]
    if gone:
        raise InputError(
            f"{place}: {some(gone, 5)} of {len(counted)} objects: no pixel's centre is inside it and the "
            f"image of {shape[1]} × {shape[0]} px, or later objects cover it wholly. Correct or remove it"
        )
    unknown = [one for one in objects if one.ignored]
    if not unknown:
        return Drawn(labels, None, overlap_px)
    ignore = np.zeros(shape, np.bool_)
    for one in unknown:
        box, inside = one.inside(shape)
        ignore[box.slices] |= inside
    return Drawn(labels, ignore, overlap_px)


def polygon_of(values: Any) -> Polygon:
    """Checks the corners of a polygon: pairs of finite numbers, three at least.

    Raises:
        ValueError: they are none.
    """
    try:
        points = np.asarray([point[:2] for point in values], np.float64)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise ValueError("its corners are no pairs of numbers") from error
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise ValueError(f"its polygon has {len(points)} corners: it needs three")
    if not np.isfinite(points).all():
        raise ValueError("its corners are not all finite numbers")
    return points


def number_in(name: object) -> int | None:
    """Returns the label that a name consists of, such as "00017"; None if it is no label."""
    text = str(name).strip() if isinstance(name, str | int) and not isinstance(name, bool) else ""
    return int(text) if text.isascii() and text.isdecimal() and 0 < int(text) <= _LARGEST_LABEL else None
