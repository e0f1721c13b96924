"""What the network is taught to predict, made from instance labels.

The decision owned here: two maps. *Foreground* is 1 inside any nucleus. *Interior* is the distance to the
nucleus' own outline as a fraction of that nucleus' largest distance: 1 in the middle, falling to 0 at the
outline and at the line where two nuclei touch. Being relative, it means the same for small and large nuclei.
A weight per pixel says how much it counts: more between close nuclei (Ronneberger et al. 2015, section 3).
"""

from __future__ import annotations

import edt
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

GAP_WEIGHT = 3.0
GAP_REACH_PX = 3


def interior(labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """Relative distance (Y, X) float32 in [0, 1] of labels (Y, X); the image's border is no outline."""
    flat = np.ascontiguousarray(labels, dtype=np.uint32)
    if not flat.any():
        return np.zeros(labels.shape, np.float32)
    distance = edt.edt(flat, black_border=False, parallel=1)
    distance[~np.isfinite(distance)] = max(labels.shape)  # one nucleus over the whole image has no outline
    largest = np.zeros(int(flat.max()) + 1, np.float32)
    np.maximum.at(largest, flat.ravel(), distance.ravel())
    largest[0] = 1
    relative: NDArray[np.float32] = distance / np.maximum(largest[flat], 1)
    relative[flat == 0] = 0
    return relative


def weight(labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """Weight (Y, X) float32 ≥ 1: ``1 + GAP_WEIGHT`` where two nuclei lie within GAP_REACH_PX of a pixel."""
    size = 2 * GAP_REACH_PX + 1
    top = maximum_filter(labels, size)
    lifted = np.where(labels == 0, labels.max() + 1, labels)
    low = minimum_filter(lifted, size)
    between = (low < top) & (low <= labels.max())
    return np.where(between, np.float32(1 + GAP_WEIGHT), np.float32(1))


def typical_diameter(labels: NDArray[np.integer]) -> float:
    """Median diameter in px of the circles with the nuclei's areas; NaN where there are none."""
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return float(np.median(2 * np.sqrt(areas / np.pi))) if areas.size else float("nan")
