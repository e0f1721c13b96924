"""At which scale the network sees an image: found from the nuclei, unless it is given.

Networks find nuclei of a wide range of sizes as they are; much larger ones come out in pieces. So an image is
segmented as it is, and the diameter below which half of the nuclear area lies is taken: pieces hold little of
the area, so they move it little. Where it exceeds ``LARGEST_RATIO`` times the diameter that the network was
trained on, the image is segmented again, reduced so that its nuclei have that diameter.

``LARGEST_RATIO`` is fitted to the training and validation images of the 2018 Data Science Bowl, as they are
and enlarged: nuclei of less than 2.8 times the trained diameter lose by being reduced, larger ones gain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.settings import RunSettings
from nucbatch.networks.checkpoint import Card

LARGEST_RATIO = 2.85
"""Nuclei up to so many times the diameter that a model was trained on are seen as they are."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How many times as large the network sees images: ``zoom``, or found in each image where that is None.

    ``typical_px`` is the diameter of the nuclei that the network was trained on; None where it isn't known.
    """

    zoom: float | None = 1.0
    typical_px: float | None = None

    @classmethod
    def of(cls, card: Card, settings: RunSettings) -> Scale:
        """The scale that settings ask for.

        Raises:
            InputError: a diameter is given, and the model doesn't know the nuclei it was trained on.
        """
        typical_px, asked = card.nucleus_diameter_px, settings.diameter_px
        if isinstance(asked, float):
            return cls(card.zoom(asked), typical_px)
        if asked == "none" or typical_px is None:
            return cls(1.0, typical_px)
        found = cls(None, typical_px)
        if settings.plate_diameter_px is None:
            return found
        return cls(found.zoom_for(settings.plate_diameter_px), typical_px)

    @property
    def largest_zoom(self) -> float:
        """The most that an image is enlarged: what memory is planned for."""
        return 1.0 if self.zoom is None else self.zoom

    def zoom_for(self, diameter_px: float) -> float:
        """How many times as large an image should be seen in which nuclei were found to measure that.

        >>> scale = Scale(None, typical_px=20.0)
        >>> scale.zoom_for(50.0), scale.zoom_for(100.0)
        (1.0, 0.2)
        """
        if self.typical_px is None or diameter_px <= LARGEST_RATIO * self.typical_px:
            return 1.0
        return self.typical_px / diameter_px


AS_IT_IS = Scale()


def nuclear_diameter(areas_px: NDArray[np.integer]) -> float:
    """Diameter in px below which half of the nuclear area lies, of circles of these areas (N,); 0 of none.

    >>> nuclear_diameter(np.array([78, 78, 78, 7854]))  # three pieces of 10 px, and a nucleus of 100 px
    100.0
    """
    if not len(areas_px):
        return 0.0
    ordered = np.sort(areas_px).astype(np.int64)
    running = np.cumsum(ordered)
    middle = ordered[np.searchsorted(running, (int(running[-1]) + 1) // 2)]
    return round(2 * math.sqrt(int(middle) / math.pi), 2)


def areas_of(labels: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Areas in px of labels (Y, X) 1..N, (N,) int64."""
    return np.bincount(labels.ravel())[1:]
