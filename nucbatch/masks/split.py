"""Splits touching nuclei by their interiors, for networks without offset maps.

Each connected part of the interior is the marker of one nucleus. A component of the foreground with several
markers is divided among them by a watershed on the interior map; components with one marker or none stay
whole. The result in a component depends on that component alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.masks.components import components_of
from nucbatch.masks.flood import flood


def split_touching(
    components: NDArray[np.uint32],
    interior: NDArray[np.uint8],
    threshold: int,
    min_marker_px: int,
) -> NDArray[np.uint32]:
    """Splits components into nuclei; returns new labels (Y, X) uint32, one per nucleus, in any order.

    Args:
        components: connected components of the foreground, (Y, X) uint32, numbered 1..N; 0 is background.
        interior: interior map (Y, X) uint8; 255 is probability 1.
        threshold: pixels of at least this value (0..255) belong to a marker.
        min_marker_px: smaller markers are dropped.
    """
    inside = (interior >= threshold) & (components != 0)
    markers = components_of(inside).labels
    sizes = np.bincount(markers.ravel())
    first = np.zeros(len(sizes), np.uint32)  # the component each marker lies in
    first[markers.ravel()] = components.ravel()
    kept = sizes >= min_marker_px
    kept[0] = False
    several = np.bincount(first[kept], minlength=int(components.max()) + 1) > 1
    contested = several[components]
    contested[components == 0] = False
    if not contested.any():
        return components.copy()
    numbers = np.where(kept & several[first], np.arange(len(sizes), dtype=np.uint32), 0).astype(np.uint32)
    parts = flood(numbers[markers], 255 - interior, contested)
    return np.where(contested, parts + components.max(), components)
