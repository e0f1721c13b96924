"""Computes the maps that the network learns to predict, from instance labels.

There are four maps. *Foreground* is 1 inside any nucleus. *Interior* is the distance to the nucleus' outline
relative to the largest such distance in the nucleus: 1 in the centre, 0 at the outline and at the border
between touching nuclei. Being relative, it means the same for small and large nuclei. *Offset* is the vector
from a pixel to its nucleus' centre, in y and x: between touching nuclei it reverses from one pixel to the
next, which a network can learn even where no gap is visible (centre offsets: Neven et al., CVPR 2019; Cheng
et al., Panoptic-DeepLab, CVPR 2020).

Each pixel also has a weight in the loss. It is higher between close nuclei (Ronneberger et al. 2015, section
3), and in and around small nuclei, which are missed most often and cover few pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import edt
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, maximum_filter, minimum_filter

GAP_WEIGHT = 3.0
GAP_REACH_PX = 3
SMALLEST_RADIUS_PX = 3.0
SMALL_RADIUS_PX = 8.0
LARGEST_SIZE_WEIGHT = 3.0
SMALL_REACH_PX = 2


@dataclass(frozen=True, slots=True)
class NucleusGeometry:
    """Centre, depth and radius of each nucleus of an image, indexed by label.

    Entry 0, the background, is meaningless. ``centre_px`` (N + 1, 2) float32: y and x of the centre of mass,
    or of the innermost pixel if the centre of mass lies outside the nucleus. ``depth_px`` (N + 1,) float32:
    largest distance to the outline. ``radius_px`` (N + 1,) float32: radius of the circle with the same area.
    """

    centre_px: NDArray[np.float32]
    depth_px: NDArray[np.float32]
    radius_px: NDArray[np.float32]


def depth(labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """Distance in px (Y, X) float32 to the outline of the pixel's own nucleus.

    The image's border is not an outline.
    """
    flat = np.ascontiguousarray(labels, dtype=np.uint32)
    if not flat.any():
        return np.zeros(labels.shape, np.float32)
    distance: NDArray[np.float32] = edt.edt(flat, black_border=False, parallel=1)
    distance[~np.isfinite(distance)] = max(labels.shape)  # one nucleus over the whole image has no outline
    return distance


def geometry_of(labels: NDArray[np.integer]) -> NucleusGeometry:
    """Centres, depths and radii of the nuclei in labels (Y, X)."""
    count = int(labels.max()) + 1 if labels.size else 1
    flat = labels.ravel().astype(np.int64)
    distance = depth(labels).ravel()
    areas = np.maximum(np.bincount(flat, minlength=count), 1)
    rows, columns = (axis.ravel() for axis in np.indices(labels.shape))
    middle = np.stack(
        [np.bincount(flat, weights=axis, minlength=count) / areas for axis in (rows, columns)], axis=1
    )
    order = np.argsort(distance, kind="stable")  # the last pixel written for a label is its innermost
    innermost = np.zeros(count, np.int64)
    innermost[flat[order]] = order
    nearest = np.rint(middle).astype(np.int64)
    nearest[0] = 0
    outside = labels[nearest[:, 0], nearest[:, 1]] != np.arange(count)
    middle[outside, 0], middle[outside, 1] = rows[innermost[outside]], columns[innermost[outside]]
    return NucleusGeometry(
        middle.astype(np.float32),
        distance[innermost].astype(np.float32),
        np.sqrt(areas / np.pi).astype(np.float32),
    )


def interior(labels: NDArray[np.integer], deepest: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Relative distance to the outline (Y, X) float32 in [0, 1], of labels (Y, X).

    ``deepest`` (N + 1,) is each label's largest distance in px, needed where the labels show only parts of
    nuclei; by default it is computed from the labels.
    """
    distance = depth(labels)
    if deepest is None:
        deepest = np.zeros(int(labels.max()) + 1 if labels.size else 1, np.float32)
        np.maximum.at(deepest, labels.ravel(), distance.ravel())
    relative: NDArray[np.float32] = np.minimum(distance / np.maximum(deepest[labels], 1), 1)
    relative[labels == 0] = 0
    return relative


def weight(
    labels: NDArray[np.integer], size_weight: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Weight (Y, X) float32 ≥ 1 of each pixel of labels (Y, X) in the loss.

    It rises by GAP_WEIGHT where two nuclei lie within GAP_REACH_PX, and to a nucleus' ``size_weight`` (N +
    1,) ≥ 1 in that nucleus and SMALL_REACH_PX around it. None: all nuclei have the same.
    """
    size = 2 * GAP_REACH_PX + 1
    top = maximum_filter(labels, size)
    lifted = np.where(labels == 0, labels.max() + 1, labels)
    low = minimum_filter(lifted, size)
    between = (low < top) & (low <= labels.max())
    found = np.where(between, np.float32(1 + GAP_WEIGHT), np.float32(1))
    if size_weight is not None:
        found += maximum_filter(size_weight[labels], 2 * SMALL_REACH_PX + 1) - 1
    return found


def border_weight(
    labels: NDArray[np.integer], height: float = 10.0, sigma_px: float = 5.0
) -> NDArray[np.float32]:
    """Weight (Y, X) float32 of each pixel, largest on narrow borders between nuclei of labels (Y, X).

    In the background it is 1 + ``height`` · exp(-(d1 + d2)² / 2 ``sigma_px``²), where d1 and d2 are the
    distances to the nearest two nuclei (Ronneberger et al. 2015, equation 2); inside nuclei it is 1. Unlike
    in the paper, classes are not balanced.
    """
    reach = math.ceil(4 * sigma_px)  # beyond it the weight differs from 1 by less than 0.4 %
    nearest = np.full((2, *labels.shape), np.inf, np.float32)
    for label, place in enumerate(find_objects(labels), start=1):
        if place is None:
            continue
        around = tuple(slice(max(part.start - reach, 0), part.stop + reach) for part in place)
        away = edt.edt(np.ascontiguousarray(labels[around] != label), black_border=False, parallel=1)
        first, second = nearest[0][around], nearest[1][around]
        np.minimum(second, np.maximum(first, away), out=second)
        np.minimum(first, away, out=first)
    close = np.exp(-((nearest[0] + nearest[1]) ** 2) / np.float32(2 * sigma_px**2))
    return np.where(labels == 0, 1 + np.float32(height) * close, np.float32(1)).astype(np.float32)


def size_weight(radius_px: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Weight of the pixels of each nucleus by its size, (N + 1,) float32 from 1 to LARGEST_SIZE_WEIGHT.

    ``radius_px`` (N + 1,) is measured in the image; in the crop it is ``scale`` times as large. Objects of
    less than SMALLEST_RADIUS_PX in their image may well be specks that were outlined, and get weight 1.
    """
    found = np.clip(SMALL_RADIUS_PX / np.maximum(radius_px * np.float32(scale), 1e-3), 1, LARGEST_SIZE_WEIGHT)
    found[radius_px < SMALLEST_RADIUS_PX] = 1
    found[0] = 1
    return np.asarray(found, np.float32)


def typical_diameter(labels: NDArray[np.integer]) -> float:
    """Median diameter in px of the circles with the nuclei's areas; NaN if there are no nuclei."""
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return float(np.median(2 * np.sqrt(areas / np.pi))) if areas.size else float("nan")
