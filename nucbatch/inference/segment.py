"""One image, from pixels to labels: what a run's task, training's validation and notebooks share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError
from nucbatch.core.settings import ObjectSettings
from nucbatch.core.tiles import TileGrid
from nucbatch.inference.normalise import Constants, normalise
from nucbatch.inference.predict import Predict, predict_image
from nucbatch.inference.rescale import maps_at, scaled_image
from nucbatch.inference.scale import AS_IT_IS, Scale, areas_of, nuclear_diameter
from nucbatch.masks.objects import find_nuclei


def require_pixels(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuses an image by its shape and pixel type alone.

    Raises:
        InputError: neither (Y, X) nor (Y, X, 3), no pixels, or neither integers nor floats.
    """
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] != 3) or 0 in shape:
        raise InputError(f"an image of shape {shape} can't be segmented: give (Y, X), or (Y, X, 3).")
    if dtype.kind not in "iuf":
        raise InputError(f"an image of {dtype} can't be segmented: give integers or floats.")


def require_image(image: NDArray[np.generic]) -> NDArray[np.generic]:
    """The image as an array, if it is one that can be segmented.

    Raises:
        InputError: as :func:`require_pixels`, or pixels that are not finite.
    """
    image = np.asarray(image)
    require_pixels(image.shape, image.dtype)
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise InputError("the image has NaN or infinite pixels: replace them before segmenting.")
    return image


def maps_of(
    image: NDArray[np.generic], constants: Constants, grid: TileGrid, predict: Predict, zoom: float = 1.0
) -> NDArray[np.uint8]:
    """Maps (outputs, Y, X) uint8 of an image (Y, X) or (Y, X, 3), seen ``zoom`` times as large."""
    normalised = normalise(image, constants)
    if zoom == 1.0:
        return predict_image(normalised, grid, predict)
    maps = predict_image(scaled_image(normalised, zoom), grid, predict)
    return maps_at(maps, normalised.shape[-2:], zoom)


@dataclass(frozen=True, slots=True)
class Segmented:
    """Nuclei of an image, and the scale at which they were found.

    Attributes:
        labels: (Y, X) uint32, 1..N, in the image's own pixels.
        zoom: how many times as large the network saw the image.
        diameter_px: :func:`nucbatch.inference.scale.nuclear_diameter` of the labels.
    """

    labels: NDArray[np.uint32]
    zoom: float
    diameter_px: float


def segment_image(
    image: NDArray[np.generic],
    constants: Constants,
    grid: TileGrid,
    predict: Predict,
    objects: ObjectSettings,
    scale: Scale = AS_IT_IS,
) -> Segmented:
    """Nuclei of an image (Y, X) or (Y, X, 3), uint8, uint16 or float; a blank one has none.

    ``constants`` are the whole image's. Labels are of the image's own size, whatever the scale.
    """
    if constants.blank:
        return Segmented(np.zeros(image.shape[:2], np.uint32), scale.zoom or 1.0, 0.0)
    zoom = 1.0 if scale.zoom is None else scale.zoom
    found = _segmented(image, constants, grid, predict, objects, zoom)
    if scale.zoom is not None or (zoom := scale.zoom_for(found.diameter_px)) == 1:
        return found
    return _segmented(image, constants, grid, predict, objects, zoom)


def _segmented(
    image: NDArray[np.generic],
    constants: Constants,
    grid: TileGrid,
    predict: Predict,
    objects: ObjectSettings,
    zoom: float,
) -> Segmented:
    """One pass over an image that is not blank."""
    labels = find_nuclei(maps_of(image, constants, grid, predict, zoom), objects.at(zoom))
    return Segmented(labels, zoom, nuclear_diameter(areas_of(labels)))
