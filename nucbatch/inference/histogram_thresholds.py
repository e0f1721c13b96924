"""Thresholds between background and nuclei from an image's histogram, for the methods without weights."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_multiotsu, threshold_otsu

_BINS = 256


Method = Literal["otsu", "kmeans"]


def around_threshold(
    levels: NDArray[np.float64], counts: NDArray[np.int64], method: Method
) -> tuple[float, float]:
    """Returns the levels that become 0 and 1, so that :func:`threshold` becomes 0.5.

    They are equal if the image has one level only.
    """
    if len(levels) == 1:
        return float(levels[0]), float(levels[0])
    low, middle = float(levels[0]), threshold(levels, counts, method)
    return low, 2 * middle - low


def threshold(levels: NDArray[np.float64], counts: NDArray[np.int64], method: Method) -> float:
    """Returns the level above which pixels are nuclei.

    *otsu* separates two classes (Otsu 1979). *kmeans* separates three clusters of grey levels, of which the
    darkest is background. In one dimension K-means minimises the variance within clusters, as Otsu's method
    with several thresholds does, so the clusters are its best ones, whatever the seed.

    Args:
        levels: (L,) float64, the distinct pixel values in ascending order, at least 2.
        counts: (L,) int64, the number of pixels of each level.
        method: the method.
    """
    edges = np.linspace(levels[0], levels[-1], _BINS + 1)
    binned = np.histogram(levels, edges, weights=counts)[0].astype(np.int64)
    filled = np.flatnonzero(binned)
    middles = (edges[filled] + edges[filled + 1]) / 2
    histogram = (binned[filled], middles)
    if method == "kmeans" and len(filled) > 2:
        last = float(threshold_multiotsu(hist=histogram, classes=3)[0])
    else:
        last = float(threshold_otsu(hist=histogram))
    # scikit-image returns the last level of the darker class: halfway to the next one lies between both.
    following = middles[min(int(np.searchsorted(middles, last, side="right")), len(middles) - 1)]
    return float(last + following) / 2
