"""Masks that only say nucleus or not, in a place where labels are expected.

The decision owned here: a whole set is binary if none of its label images tells two nuclei apart and one of
them has separate shapes under a single value. A set in which every image shows one nucleus is the same either
way. Masks that were resized have a few grey values at their edges; the highest value then covers most.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

import cc3d
import numpy as np

from nucbatch.training.layouts.contract import Labels, Pixels, Source

Kind = Literal["empty", "single", "mask", "labels"]


def kind_of(labels: Labels) -> Kind:
    """What one label image (Y, X) looks like.

    ``single``: one shape, so labels and mask are the same; ``mask``: several separate shapes of one value;
    ``labels``: values that tell nuclei apart.
    """
    top = int(labels.max(initial=0))
    if top == 0:
        return "empty"
    inside = int(np.count_nonzero(labels))
    full = labels == top
    same = int(np.count_nonzero(full))
    if same < inside and (top not in (255, 65535) or 2 * same <= inside):
        return "labels"
    return "mask" if cc3d.connected_components(full.view(np.uint8), connectivity=8).max() > 1 else "single"


def is_binary(kinds: Collection[Kind]) -> bool:
    """Whether label images of these kinds are a set of binary masks."""
    return "mask" in kinds and "labels" not in kinds


@dataclass(frozen=True, slots=True)
class Components:
    """The labels of a binary mask's connected components, nuclei that touch being one.

    Connected by edges, as a run's nuclei are.
    """

    source: Source

    def read(self) -> Pixels:
        """Image and labels, 1..N."""
        read = self.source.read()
        inside = read.labels > int(read.labels.max(initial=0)) // 2
        labels = cc3d.connected_components(inside, connectivity=4, out_dtype=np.uint32)
        few = int(labels.max(initial=0)) < 2**16
        return replace(read, labels=labels.astype(np.uint16) if few else labels)
