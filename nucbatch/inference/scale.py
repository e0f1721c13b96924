"""At which scale the network sees an image: found from the nuclei, unless it is given.

Networks find nuclei of a wide range of sizes as they are; much larger ones come out in pieces. So an image is
segmented as it is, and the diameter below which half of the nuclear area lies is taken: pieces hold little of
the area, so they move it little. Where it exceeds ``LARGEST_RATIO`` times the diameter that the network was
trained on, the image is segmented again, reduced so that its nuclei have that diameter. Of very large nuclei
only pieces were measured: while what the reduced image shows is too large as well, it is reduced further.

An image that the network sees in one tile is measured as a whole. Of a larger one a few windows are, whose
places depend on its size alone: so its nuclei are the same whether it is cut into blocks or not. They are
looked at in half the resolution, which tells large nuclei as well (or better) and costs a quarter.

``LARGEST_RATIO`` is fitted to the training and validation images of the 2018 Data Science Bowl, as they are
and enlarged: nuclei of less than 2.8 times the trained diameter lose by being reduced, larger ones gain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.settings import NormaliseSettings, RunSettings
from nucbatch.core.tiles import Box

if TYPE_CHECKING:  # it imports PyTorch, which a Dask scheduler that unpickles a scale has no use for
    from nucbatch.networks.checkpoint import Card

LARGEST_RATIO = 2.8
"""Nuclei up to so many times the diameter that a model was trained on are seen as they are."""
MOST_PASSES = 4
"""So often an image is reduced further at most."""

WINDOW_PX = 512
"""Side of the windows in which an image larger than a tile is measured."""
_SHARE_MEASURED = 1 / 8
_FEWEST, _MOST = 2, 5  # windows along each side


@dataclass(frozen=True, slots=True)
class Scale:
    """How many times as large the network sees images: ``zoom``, or found in each image where that is None.

    ``typical_px`` is the diameter of the nuclei that the network was trained on; None where it isn't known.
    ``normalise`` is how windows are normalised in which an image is measured. ``of_plate``: the zoom follows
    from what was measured for a whole plate.
    """

    zoom: float | None = 1.0
    typical_px: float | None = None
    normalise: NormaliseSettings = field(default_factory=NormaliseSettings)
    of_plate: bool = False

    @classmethod
    def of(cls, card: Card, settings: RunSettings) -> Scale:
        """The scale that settings ask for, those of the model's own normalisation included.

        Raises:
            InputError: a diameter is given, and the model doesn't know the nuclei it was trained on.
        """
        typical_px, asked = card.nucleus_diameter_px, settings.diameter_px
        found = cls(None, typical_px, settings.normalise)
        if isinstance(asked, float):
            return replace(found, zoom=card.zoom(asked))
        if asked == "none" or typical_px is None:
            return replace(found, zoom=1.0)
        if settings.plate_diameter_px is None:
            return found
        return replace(found, zoom=found.zoom_for(settings.plate_diameter_px), of_plate=True)

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

    def differs_alone(self, diameter_px: float, zoom: float) -> bool:
        """Whether an image, seen at a zoom, has nuclei of a diameter that asks for another one."""
        return diameter_px > 0 and (
            self.zoom_for(diameter_px * zoom) != 1 or (zoom < 1 and self.zoom_for(diameter_px) == 1)
        )


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


def fitting_zoom(measure: Callable[[float], float], scale: Scale, zoom: float = 1.0) -> tuple[float, float]:
    """(zoom, diameter in px) of the first of ever smaller scales, from ``zoom`` on, that fits the nuclei.

    ``measure`` gives the diameter of the nuclei in px of the image, as found at a zoom.
    """
    diameter_px = measure(zoom)
    for _ in range(MOST_PASSES):
        reduced = zoom * scale.zoom_for(diameter_px * zoom)
        if reduced == zoom:
            break
        zoom = reduced
        diameter_px = measure(zoom)
    return zoom, diameter_px


def sample_boxes(shape: tuple[int, int], whole_px: int) -> list[Box]:
    """Where an image (Y, X) is measured: all of it if no side is longer than ``whole_px``, else windows.

    Windows are spread evenly, at most ``_MOST`` along each side.
    """
    if max(shape) <= whole_px:
        return [Box(0, 0, *shape)]
    wanted = math.sqrt(math.prod(shape) * _SHARE_MEASURED) / WINDOW_PX
    most = min(max(round(wanted), _FEWEST), _MOST)
    rows, columns = (_spread(length, most) for length in shape)
    return [Box(top, left, bottom, right) for top, bottom in rows for left, right in columns]


def _spread(length: int, most: int) -> Sequence[tuple[int, int]]:
    """(begin, end) of windows along a side, each in the middle of its part of the side."""
    count = min(most, -(-length // WINDOW_PX))
    side = min(WINDOW_PX, length // count)
    return [
        (begin, begin + side)
        for begin in ((2 * i + 1) * length // (2 * count) - side // 2 for i in range(count))
    ]
