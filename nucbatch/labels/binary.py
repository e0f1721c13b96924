"""Detects binary masks where instance labels are expected, and splits them into components.

A binary mask distinguishes nucleus from background, but not one nucleus from another.

A whole set is binary if no image of it distinguishes two nuclei, and at least one image has separate shapes
of the same value. A set in which every image shows one nucleus is the same either way. Masks that were
resized have some grey values at their edges; the highest value then covers most of the foreground.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal

import cc3d
import numpy as np
from numpy.typing import NDArray

from nucbatch.labels.sources import LabelSource, Pixels

_FULL = (255, 65535)
"""The values of white in 8 and 16 bits."""
Kind = Literal["empty", "single", "mask", "labels"]


def kind_of(labels: NDArray[Any]) -> Kind:
    """The kind of one label image (Y, X) of integers.

    ``single``: one shape, so labels and mask are the same; ``mask``: several separate shapes of one value;
    ``labels``: different values for different nuclei.
    """
    top = int(labels.max(initial=0))
    if top == 0:
        return "empty"
    inside = int(np.count_nonzero(labels))
    full = labels == top
    same = int(np.count_nonzero(full))
    if same < inside and (top not in _FULL or 2 * same <= inside):
        return "labels"
    return "mask" if cc3d.connected_components(full.view(np.uint8), connectivity=8).max() > 1 else "single"


@dataclass(slots=True)
class BinaryCheck:
    """Warns if one side of a comparison holds masks; ``role`` is the side's name in the message.

    Images are passed one after another. Here a single shape of value 255 or 65535 is a mask too, because
    labels seldom are; one nucleus with the label 1 is not.
    """

    role: str
    _labelled: bool = False
    _masks: int = 0

    def look(self, labels: NDArray[Any]) -> None:
        """Takes one image (Y, X); images that are no integers of one channel are refused elsewhere."""
        if self._labelled or labels.ndim != 2 or labels.dtype.kind not in "iu" or not labels.any():
            return
        kind = kind_of(labels)
        self._labelled = kind == "labels"
        self._masks += kind == "mask" or (kind == "single" and int(labels.max()) in _FULL)

    def warning(self) -> str:
        """A sentence for the user; empty if the side has labels."""
        if self._labelled or not self._masks:
            return ""
        return (
            f"The {self.role} looks like masks, not labels: no image has more than one label, so all its "
            "nuclei count as one. Pixel figures hold; those of nuclei don't. Number the nuclei of each image."
        )


def is_binary(kinds: Collection[Kind]) -> bool:
    """Whether label images of these kinds are a set of binary masks."""
    return "mask" in kinds and "labels" not in kinds


@dataclass(frozen=True, slots=True)
class ComponentLabels:
    """Labels the connected components of a binary mask; touching nuclei become one.

    Components are 4-connected, as the nuclei of a run are.
    """

    source: LabelSource

    def read(self) -> Pixels:
        """Reads the image, and labels 1..N of its mask."""
        read = self.source.read()
        inside = read.labels > int(read.labels.max(initial=0)) // 2
        labels = cc3d.connected_components(inside, connectivity=4, out_dtype=np.uint32)
        few = int(labels.max(initial=0)) < 2**16
        return replace(read, labels=labels.astype(np.uint16) if few else labels)
