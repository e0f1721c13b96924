"""One image, from pixels to labels: what a run's task, training's validation and notebooks share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError
from nucbatch.core.settings import ObjectSettings
from nucbatch.core.tiles import TileGrid
from nucbatch.inference.normalise import Constants, normalise
from nucbatch.inference.predict import Predict, predict_image
from nucbatch.inference.rescale import maps_at, scaled_image
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


def segment_image(
    image: NDArray[np.generic],
    constants: Constants,
    grid: TileGrid,
    predict: Predict,
    objects: ObjectSettings,
    zoom: float = 1.0,
) -> NDArray[np.uint32]:
    """Nuclei of an image (Y, X) or (Y, X, 3), uint8, uint16 or float as labels 1..N; a blank one has none.

    ``constants`` are the whole image's. ``zoom`` is how many times as large the network sees the image;
    labels are of the image's own size.
    """
    if constants.blank:
        return np.zeros(image.shape[:2], np.uint32)
    return find_nuclei(maps_of(image, constants, grid, predict, zoom), objects)
