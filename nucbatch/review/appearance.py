"""How a field looks, as a few numbers, so that fields can be chosen that differ from one another.

The numbers describe what the network saw: grey levels after normalisation, the contrast of details of each
size, and the nuclei that were found.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.inference.normalise import Constants, normalise
from nucbatch.inference.scale import areas_of

_PERCENTS = (5, 25, 50, 75, 95, 99)
_OCTAVES = 6
"""Details of 2, 4, … 64 px."""
_SMALLEST = 1e-3  # of a contrast, where its logarithm is taken
FEATURES = len(_PERCENTS) + _OCTAVES + 5


def appearance(
    image: NDArray[np.generic], constants: Constants, labels: NDArray[np.uint32]
) -> NDArray[np.float64]:
    """Describes a field by ``FEATURES`` numbers, rounded to four decimals.

    Args:
        image: (Y, X) or (Y, X, 3).
        constants: the run's normalisation.
        labels: (Y, X), the nuclei that were found.
    """
    if constants.blank:
        return np.zeros(FEATURES)
    grey = np.clip(normalise(image, constants).mean(axis=0, dtype=np.float64), 0, 1)
    areas = areas_of(labels)
    areas = areas[areas > 0]
    inside = labels != 0
    nuclei = np.zeros(5)
    if len(areas):
        logs = np.log2(areas)
        around = grey[~inside].mean() if not inside.all() else 0.0
        nuclei = np.array(
            [
                np.log2(1 + len(areas) / labels.size * 1e5),
                np.median(logs) / 2,  # grows by one when the diameter doubles
                np.std(logs),
                inside.mean() * 4,
                (grey[inside].mean() - around) * 4,
            ]
        )
    levels = np.percentile(grey, _PERCENTS) * 4
    return np.round(np.concatenate([levels, _contrasts(grey), nuclei]), 4)


def _contrasts(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the standard deviation of details of each octave; a small image lacks the largest."""
    found = np.full(_OCTAVES, np.log2(_SMALLEST))
    for octave in range(_OCTAVES):
        height, width = grey.shape[0] // 2 * 2, grey.shape[1] // 2 * 2
        if min(height, width) < 2:
            break
        pairs = grey[:height, :width].reshape(height // 2, 2, width // 2, 2)
        halved = pairs.mean(axis=(1, 3))
        details = pairs - halved[:, np.newaxis, :, np.newaxis]
        found[octave] = np.log2(max(float(details.std()), _SMALLEST))
        grey = halved
    return found
