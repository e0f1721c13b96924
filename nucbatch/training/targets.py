"""What the network is taught to predict, made from instance labels.

The decision owned here: four maps. *Foreground* is 1 inside any nucleus. *Interior* is the distance to the
nucleus' own outline as a fraction of that nucleus' largest distance: 1 in the middle, falling to 0 at the
outline and at the line where two nuclei touch. Being relative, it means the same for small and large nuclei.
*Offset* is the way from a pixel to its nucleus' middle, in y and in x: where two nuclei touch it turns round
from one pixel to the next, which a network can learn even where no gap is to be seen (the idea of centre
offsets: Neven et al., CVPR 2019; Cheng et al., Panoptic-DeepLab, CVPR 2020).
A weight per pixel says how much it counts: more between close nuclei (Ronneberger et al. 2015, section 3),
and more in and around small ones, which are most of what is missed and few of the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import edt
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

GAP_WEIGHT = 3.0
GAP_REACH_PX = 3
SMALLEST_RADIUS_PX = 3.0
SMALL_RADIUS_PX = 8.0
MOST_OF_A_SMALL_ONE = 3.0
SMALL_REACH_PX = 2


@dataclass(frozen=True, slots=True)
class Nuclei:
    """What is known of each nucleus of an image, by its label; entry 0, the background, is meaningless.

    ``middle_px`` (N + 1, 2) float32: y and x of the centre of mass, or of the innermost pixel where that
    lies outside the nucleus. ``depth_px`` (N + 1,) float32: largest distance to the outline.
    ``radius_px`` (N + 1,) float32: of the circle of the same area.
    """

    middle_px: NDArray[np.float32]
    depth_px: NDArray[np.float32]
    radius_px: NDArray[np.float32]


def depth(labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """Distance in px (Y, X) float32 to the pixel's own nucleus' outline; the image's border is no outline."""
    flat = np.ascontiguousarray(labels, dtype=np.uint32)
    if not flat.any():
        return np.zeros(labels.shape, np.float32)
    distance: NDArray[np.float32] = edt.edt(flat, black_border=False, parallel=1)
    distance[~np.isfinite(distance)] = max(labels.shape)  # one nucleus over the whole image has no outline
    return distance


def nuclei_of(labels: NDArray[np.integer]) -> Nuclei:
    """Middles, depths and radii of the nuclei in labels (Y, X)."""
    count = int(labels.max()) + 1 if labels.size else 1
    flat = labels.ravel().astype(np.int64)
    distance = depth(labels).ravel()
    areas = np.maximum(np.bincount(flat, minlength=count), 1)
    rows, columns = (axis.ravel() for axis in np.indices(labels.shape))
    middle = np.stack(
        [np.bincount(flat, weights=axis, minlength=count) / areas for axis in (rows, columns)], axis=1
    )
    order = np.argsort(distance, kind="stable")  # the last one written to a label's place is its innermost
    innermost = np.zeros(count, np.int64)
    innermost[flat[order]] = order
    nearest = np.rint(middle).astype(np.int64)
    nearest[0] = 0
    outside = labels[nearest[:, 0], nearest[:, 1]] != np.arange(count)
    middle[outside, 0], middle[outside, 1] = rows[innermost[outside]], columns[innermost[outside]]
    return Nuclei(
        middle.astype(np.float32),
        distance[innermost].astype(np.float32),
        np.sqrt(areas / np.pi).astype(np.float32),
    )


def interior(labels: NDArray[np.integer], deepest: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Relative distance (Y, X) float32 in [0, 1] of labels (Y, X).

    ``deepest`` (N + 1,) is each label's largest distance in px where the labels show only a part of a
    nucleus; by default it is taken from the labels themselves.
    """
    distance = depth(labels)
    if deepest is None:
        deepest = np.zeros(int(labels.max()) + 1 if labels.size else 1, np.float32)
        np.maximum.at(deepest, labels.ravel(), distance.ravel())
    relative: NDArray[np.float32] = np.minimum(distance / np.maximum(deepest[labels], 1), 1)
    relative[labels == 0] = 0
    return relative


def weight(labels: NDArray[np.integer], importance: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Weight (Y, X) float32 ≥ 1 of the pixels of labels (Y, X).

    It rises by GAP_WEIGHT where two nuclei lie within GAP_REACH_PX, and to a nucleus' ``importance``
    (N + 1,) ≥ 1 in it and SMALL_REACH_PX around it; None: all are alike.
    """
    size = 2 * GAP_REACH_PX + 1
    top = maximum_filter(labels, size)
    lifted = np.where(labels == 0, labels.max() + 1, labels)
    low = minimum_filter(lifted, size)
    between = (low < top) & (low <= labels.max())
    found = np.where(between, np.float32(1 + GAP_WEIGHT), np.float32(1))
    if importance is not None:
        found += maximum_filter(importance[labels], 2 * SMALL_REACH_PX + 1) - 1
    return found


def importance(radius_px: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """How much a pixel of each nucleus counts, (N + 1,) float32 from 1 to MOST_OF_A_SMALL_ONE.

    ``radius_px`` (N + 1,) is in px of the image, ``scale`` times as large in the crop. What has less than
    SMALLEST_RADIUS_PX in its image is as likely a speck that somebody outlined, and counts once.
    """
    found = np.clip(SMALL_RADIUS_PX / np.maximum(radius_px * np.float32(scale), 1e-3), 1, MOST_OF_A_SMALL_ONE)
    found[radius_px < SMALLEST_RADIUS_PX] = 1
    found[0] = 1
    return np.asarray(found, np.float32)


def typical_diameter(labels: NDArray[np.integer]) -> float:
    """Median diameter in px of the circles with the nuclei's areas; NaN where there are none."""
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return float(np.median(2 * np.sqrt(areas / np.pi))) if areas.size else float("nan")
