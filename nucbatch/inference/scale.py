"""Finds the scale at which the network segments an image, from the size of its nuclei.

A network finds nuclei of a wide range of sizes, but splits much larger ones into pieces. So, unless the user
gives a diameter:

1. The image is segmented at its own scale. Its nuclear diameter is the one below which half of the nuclear
   area lies; pieces of nuclei hold little area and change it little.
2. If the diameter exceeds ``LARGEST_RATIO`` times the trained one, the image is reduced to the trained
   diameter and segmented again. This is repeated while the nuclei are still too large, because very large
   nuclei were only measured in pieces. If the nuclei lose contrast by it, they were clumps of small nuclei,
   and the image is left as it is.
3. In nuclei of more than about 10 times the trained diameter, the network sees many specks instead. So an
   image with many small objects is also segmented at half the resolution. True small nuclei have about the
   same diameter there. Larger nuclei found there are used if they stand out from the image more than the
   specks do; a clump of small nuclei stands out less than the nuclei in it.

4. If the diameter is at most ``SMALLEST_RATIO`` times the trained one, the image is segmented at ``ENLARGED``
   times its resolution: the network misses many nuclei that small, and merges others.

An image of one tile is measured whole. A larger image is measured in a few windows, whose positions depend on
its size alone, so the scale does not depend on blocks.

``LARGEST_RATIO`` was fitted to the training and validation images of the 2018 Data Science Bowl, original and
enlarged: nuclei up to 2.8 times the trained diameter are segmented worse when reduced, larger ones better.
``SMALLEST_RATIO`` was fitted to validation images of all data sets as they are, and reduced until nuclei
measured 6 to 12 px.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.settings import NormaliseSettings, ObjectSettings, RunSettings
from nucbatch.core.tiles import Box

if TYPE_CHECKING:  # it imports PyTorch, which a Dask scheduler that unpickles a Scale does not need
    from nucbatch.networks.model_card import Card

LARGEST_RATIO = 2.8
"""Images are not rescaled if their nuclei are at most this many times the model's trained diameter."""
SMALLEST_RATIO = 0.55
"""Images are enlarged if their nuclei are at most this many times the model's trained diameter."""
ENLARGED = 2.0
"""The scale factor of images of small nuclei."""
MOST_PASSES = 4
"""Largest number of times that an image is reduced further."""

_SPECK_RATIO = 0.4
"""Objects below this many times the trained diameter may be specks: nuclei of under 8 px for one of 20."""
_MANY_SPECKS = 200
_LARGEST_SPECK = 1.5  # times the trained diameter
_CONTRAST_KEPT = 0.85
"""Least contrast of the nuclei in a reduced image, as a fraction of that in the image itself.

Enlarged validation images keep at least 0.92; a clump of nuclei of 6 px, taken for one large nucleus, 0.76.
"""
_SPECKS_RATIO = 4  # the diameter at half the resolution to that of specks

WINDOW_PX = 512
"""Side of the windows in which an image larger than a tile is measured."""
_SHARE_MEASURED = 1 / 8
_FEWEST, _MOST = 2, 5  # windows along each side


@dataclass(frozen=True, slots=True)
class Fit:
    """The scale of one image.

    Attributes:
        zoom: how many times as large the network sees the image.
        diameter_px: typical diameter of its nuclei, in its own pixels; 0 if unknown or without nuclei.
        bright: nuclei are brighter than the rest of the image.
    """

    zoom: float = 1.0
    diameter_px: float = 0.0
    bright: bool = True

    def least_nucleus_px(self, settings: ObjectSettings, colour: bool) -> int:
        """Returns the area in px below which an object of this image is a micronucleus; 0 if none is.

        In stained tissue (``colour``, or dark nuclei), cells of different sizes lie side by side, so that
        small nuclei are no micronuclei.
        """
        return settings.least_nucleus_px(self.diameter_px) if self.bright and not colour else 0


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale of images for the network.

    Attributes:
        zoom: scale factor; None: found for each image.
        typical_px: diameter of the nuclei that the network was trained on; None if unknown.
        normalise: normalisation of the windows in which an image is measured.
        objects: thresholds for the nuclei that are measured: the model's own, so that the scale, and thus the
            probabilities, do not depend on a run's thresholds.
        of_plate: whether the zoom was measured for a whole plate.
        diameter_px: diameter of the nuclei that the zoom was chosen for; 0 if none is given.
    """

    zoom: float | None = 1.0
    typical_px: float | None = None
    normalise: NormaliseSettings = field(default_factory=NormaliseSettings)
    objects: ObjectSettings = field(default_factory=ObjectSettings)
    of_plate: bool = False
    diameter_px: float = 0.0

    @classmethod
    def of(cls, card: Card, settings: RunSettings) -> Scale:
        """Returns the scale that complete settings, including the normalisation, request.

        Raises:
            InputError: a diameter is given, but the model's trained diameter is unknown.
        """
        typical_px, asked = card.nucleus_diameter_px, settings.diameter_px
        found = cls(None, typical_px, settings.normalise, card.objects)
        if isinstance(asked, float):
            return replace(found, zoom=card.zoom(asked), diameter_px=asked)
        if asked == "none" or typical_px is None:
            return replace(found, zoom=1.0)
        if settings.plate_diameter_px is None:
            return found
        diameter_px = settings.plate_diameter_px
        return replace(found, zoom=found.zoom_for(diameter_px), of_plate=True, diameter_px=diameter_px)

    @property
    def given(self) -> Fit | None:
        """The scale that all images share; None if it is found for each image."""
        return None if self.zoom is None else Fit(self.zoom, self.diameter_px)

    @property
    def largest_zoom(self) -> float:
        """The largest scale factor of an image, for the projection of memory."""
        return ENLARGED if self.zoom is None else self.zoom

    def zoom_for(self, diameter_px: float) -> float:
        """Returns the scale factor for an image whose nuclei have this diameter; 1 if it needs none.

        >>> scale = Scale(None, typical_px=20.0)
        >>> scale.zoom_for(8.0), scale.zoom_for(50.0), scale.zoom_for(100.0)
        (2.0, 1.0, 0.2)
        """
        if self.typical_px is not None and 0 < diameter_px <= SMALLEST_RATIO * self.typical_px:
            return ENLARGED
        return self.reduction_for(diameter_px)

    def reduction_for(self, diameter_px: float) -> float:
        """Returns the scale factor for an image whose nuclei may be too large; 1 if they are not.

        >>> Scale(None, typical_px=20.0).reduction_for(8.0), Scale(None, typical_px=20.0).reduction_for(100.0)
        (1.0, 0.2)
        """
        if self.typical_px is None or diameter_px <= LARGEST_RATIO * self.typical_px:
            return 1.0
        return self.typical_px / diameter_px

    def differs_alone(self, diameter_px: float, zoom: float) -> bool:
        """Returns whether nuclei of this diameter in px, found at ``zoom``, need another zoom."""
        alone = self.zoom_for(diameter_px)
        return diameter_px > 0 and (
            self.reduction_for(diameter_px * zoom) != 1
            or (zoom < 1 and alone >= 1)
            or (zoom == 1 and alone > 1)
            or (zoom > 1 and alone < 1)
        )

    def implausible(self, diameter_px: float, zoom: float) -> bool:
        """Tells whether objects of this diameter (in the image's px), found at ``zoom``, are hardly nuclei.

        Small ones are, also if the image was enlarged because of them, unless the user gave their diameter.

        >>> scale = Scale(None, typical_px=20.0)
        >>> scale.implausible(6, 2.0), scale.implausible(12, 1.0), scale.implausible(240, 0.2)
        (True, False, False)
        """
        if self.typical_px is None or diameter_px <= 0:
            return False
        told = self.diameter_px > 0 and not self.of_plate
        smallest_px = diameter_px * (zoom if told else min(zoom, 1.0))
        return (
            smallest_px < _SPECK_RATIO * self.typical_px
            or diameter_px * zoom > LARGEST_RATIO * self.typical_px
        )

    def may_be_specks(self, areas_px: NDArray[np.integer]) -> bool:
        """Whether objects of these areas (N,) may be specks that the network sees in very large nuclei."""
        return (
            self.typical_px is not None
            and len(areas_px) >= _MANY_SPECKS
            and nuclear_diameter(areas_px) <= _LARGEST_SPECK * self.typical_px
        )


AS_IT_IS = Scale()


def nuclear_diameter(areas_px: NDArray[np.integer]) -> float:
    """Returns the diameter in px below which half of the nuclear area lies; 0 without nuclei.

    Diameters are those of circles with the areas ``areas_px`` (N,).

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
    """Counts the pixels of each label 1..N in (Y, X); (N,) int64."""
    return np.bincount(labels[labels != 0])[1:]  # most pixels are background


def all_areas(labels: Sequence[NDArray[np.uint32]]) -> NDArray[np.int64]:
    """Returns the areas (N,) of all nuclei of some images."""
    return np.concatenate([np.zeros(0, np.int64), *map(areas_of, labels)])


def fit(
    labels_at: Callable[[float], Sequence[NDArray[np.uint32]]],
    images: Sequence[NDArray[np.generic]],
    scale: Scale,
) -> Fit:
    """Finds the scale, from the image's own, at which the nuclei are neither too large nor too small.

    Args:
        labels_at: returns the labels (Y, X) of each image or window at a zoom, in its own pixels.
        images: (Y, X) or (Y, X, 3), whose nuclei are measured together.
        scale: the scale's settings.
    """
    labels = labels_at(1.0)
    areas_px = all_areas(labels)
    if scale.may_be_specks(areas_px):
        halved_px = nuclear_diameter(all_areas(labels_at(0.5)))
        zoom = scale.reduction_for(halved_px)
        if zoom != 1 and halved_px >= _SPECKS_RATIO * nuclear_diameter(areas_px):
            zoom, nuclei = _reduced(labels_at, labels_at(zoom), scale, zoom)
            if abs(contrast(images, nuclei)) > abs(contrast(images, labels)):
                return _fit_of(images, nuclei, zoom)
    zoom, nuclei = _reduced(labels_at, labels, scale, 1.0)
    if abs(contrast(images, nuclei)) < _CONTRAST_KEPT * abs(contrast(images, labels)):
        return Fit()  # clumps of small nuclei, whose own diameter is unknown
    if zoom == 1 and scale.zoom_for(nuclear_diameter(all_areas(nuclei))) == ENLARGED:
        zoom, nuclei = ENLARGED, labels_at(ENLARGED)
    return _fit_of(images, nuclei, zoom)


def _fit_of(images: Sequence[NDArray[np.generic]], labels: Sequence[NDArray[np.uint32]], zoom: float) -> Fit:
    return Fit(zoom, nuclear_diameter(all_areas(labels)), contrast(images, labels) >= 0)


def _reduced(
    labels_at: Callable[[float], Sequence[NDArray[np.uint32]]],
    labels: Sequence[NDArray[np.uint32]],
    scale: Scale,
    zoom: float,
) -> tuple[float, Sequence[NDArray[np.uint32]]]:
    """Reduces the scale from ``zoom``, where ``labels`` were found; returns the zoom and the labels at it."""
    for _ in range(MOST_PASSES):
        reduced = zoom * scale.reduction_for(nuclear_diameter(all_areas(labels)) * zoom)
        if reduced == zoom:
            break
        zoom = reduced
        labels = labels_at(zoom)
    return zoom, labels


def contrast(images: Sequence[NDArray[np.generic]], labels: Sequence[NDArray[np.uint32]]) -> float:
    """Returns by how many grey levels the mean of all nuclei exceeds that of all other pixels.

    Negative for dark nuclei; 0 if there are no nuclei, or no other pixels. ``images``: (Y, X), or (Y, X, 3),
    averaged over channels.
    """
    sums, pixels = np.zeros(2), np.zeros(2, np.int64)
    for image, found in zip(images, labels, strict=True):
        grey = image if image.ndim == 2 else image.mean(axis=2)
        parts = grey[found != 0], grey[found == 0]
        sums += [part.sum(dtype=np.float64) for part in parts]
        pixels += [part.size for part in parts]
    if not pixels.all():
        return 0.0
    inside, outside = sums / pixels
    return float(inside - outside)


def sample_boxes(shape: tuple[int, int], whole_px: int) -> list[Box]:
    """Returns the boxes in which an image (Y, X) is measured: the whole up to ``whole_px``, else windows.

    Windows are spread evenly, at most ``_MOST`` along each side.
    """
    if max(shape) <= whole_px:
        return [Box(0, 0, *shape)]
    wanted = math.sqrt(math.prod(shape) * _SHARE_MEASURED) / WINDOW_PX
    most = min(max(round(wanted), _FEWEST), _MOST)
    rows, columns = (_spread(length, most) for length in shape)
    return [Box(top, left, bottom, right) for top, bottom in rows for left, right in columns]


def _spread(length: int, most: int) -> Sequence[tuple[int, int]]:
    """Returns (begin, end) of windows along a side, each centred in its part of the side."""
    count = min(most, -(-length // WINDOW_PX))
    side = min(WINDOW_PX, length // count)
    return [
        (begin, begin + side)
        for begin in ((2 * i + 1) * length // (2 * count) - side // 2 for i in range(count))
    ]
