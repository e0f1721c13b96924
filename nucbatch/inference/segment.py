"""Segments one image, from pixels to labels; used by runs, by training's validation and by the Python API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError
from nucbatch.core.rle import Runs
from nucbatch.core.settings import NormaliseSettings, ObjectSettings
from nucbatch.core.tiles import TileGrid
from nucbatch.inference.normalise import Constants, find_constants, normalise
from nucbatch.inference.predict import Predict, predict_image
from nucbatch.inference.queue import InferenceQueue
from nucbatch.inference.rescale import maps_at, scaled_image
from nucbatch.inference.scale import (
    AS_IT_IS,
    Fit,
    Scale,
    fit,
    nuclear_diameter,
    sample_boxes,
)
from nucbatch.masks.objects import find_in_image, find_nuclei

View = tuple[NDArray[Any], Constants]
"""An image, or a window of one, and the constants by which it is normalised."""


def require_pixels(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Checks that an image of this shape and pixel type can be segmented.

    Raises:
        InputError: neither (Y, X) nor (Y, X, 3), no pixels, or neither integers nor floats.
    """
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] != 3) or 0 in shape:
        raise InputError(f"an image of shape {shape} can't be segmented: give (Y, X), or (Y, X, 3).")
    if dtype.kind not in "iuf":
        raise InputError(f"an image of {dtype} can't be segmented: give integers or floats.")


def require_image(image: NDArray[np.generic]) -> NDArray[np.generic]:
    """Returns the image as an array, after checking that it can be segmented.

    Raises:
        InputError: see :func:`require_pixels`, or the image has pixels that are not finite.
    """
    image = np.asarray(image)
    require_pixels(image.shape, image.dtype)
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise InputError("the image has NaN or infinite pixels: replace them before segmenting.")
    return image


def maps_of(
    image: NDArray[np.generic], constants: Constants, grid: TileGrid, predict: Predict, zoom: float = 1.0
) -> NDArray[np.uint8]:
    """Predicts the maps (outputs, Y, X) uint8 of an image (Y, X) or (Y, X, 3), scaled by ``zoom``."""
    normalised = normalise(image, constants)
    if zoom == 1.0:
        return predict_image(normalised, grid, predict)
    maps = predict_image(scaled_image(normalised, zoom), grid, predict)
    return maps_at(maps, normalised.shape[-2:], zoom)


@dataclass(frozen=True, slots=True)
class Segmented:
    """Labels of an image, and the scale at which they were found.

    Attributes:
        labels: (Y, X) uint32, 1..N, in the image's own pixels.
        zoom: how many times as large the network saw the image.
        diameter_px: :func:`nucbatch.inference.scale.nuclear_diameter` of the labels.
        micronuclei: number of objects that were left out as micronuclei.
        maps: (outputs, Y, X) uint8, in the image's own pixels; None if the network did not see the image.
        runs: of the labels' pixels, where they are known.
    """

    labels: NDArray[np.uint32]
    zoom: float
    diameter_px: float
    micronuclei: int = 0
    maps: NDArray[np.uint8] | None = None
    runs: Runs | None = None


def segment_image(
    image: NDArray[np.generic],
    constants: Constants,
    grid: TileGrid,
    predict: Predict,
    objects: ObjectSettings,
    scale: Scale = AS_IT_IS,
) -> Segmented:
    """Segments an image; a blank image has no nuclei.

    Args:
        image: (Y, X) or (Y, X, 3), uint8, uint16 or float.
        constants: normalisation constants of the whole image.
        grid: the network's tile grid.
        predict: predicts one tile.
        objects: thresholds and sizes.
        scale: the scale for the network; labels always have the image's own size.
    """
    if constants.blank:
        return Segmented(np.zeros(image.shape[:2], np.uint32), scale.zoom or 1.0, 0.0)
    maps, fitted = fitted_maps(image, constants, grid, predict, scale)
    return segment_maps(maps, fitted, objects, colour=image.ndim == 3)


def fitted_maps(
    image: NDArray[np.generic], constants: Constants, grid: TileGrid, predict: Predict, scale: Scale
) -> tuple[NDArray[np.uint8], Fit]:
    """Predicts the maps (outputs, Y, X) uint8 of an image that is not blank, and finds its scale.

    Arguments as for :func:`segment_image`.
    """
    fitted = scale.given
    boxes = sample_boxes((image.shape[0], image.shape[1]), grid.whole)
    if fitted is None and len(boxes) > 1:
        fitted = fit_windows([image[box.slices] for box in boxes], grid, predict, scale)
    if fitted is not None:
        return maps_of(image, constants, grid, predict, fitted.zoom), fitted
    seen: dict[float, NDArray[np.uint8]] = {}

    def labels_at(zoom: float) -> list[NDArray[np.uint32]]:
        seen[zoom] = maps_of(image, constants, grid, predict, zoom)
        return [find_nuclei(seen[zoom], scale.objects.at(zoom))]

    fitted = fit(labels_at, [image], scale)
    return seen[fitted.zoom], fitted


def segment_maps(maps: NDArray[np.uint8], fitted: Fit, objects: ObjectSettings, *, colour: bool) -> Segmented:
    """Finds the nuclei in the maps (outputs, Y, X) uint8 of an image.

    Args:
        maps: in the image's own pixels.
        fitted: the scale at which they were predicted.
        objects: thresholds and sizes.
        colour: whether the image is RGB.
    """
    least_px = fitted.least_nucleus_px(objects, colour=colour)
    found = find_in_image(maps, objects.at(fitted.zoom), least_px)
    diameter_px = nuclear_diameter(found.areas_px)
    return Segmented(found.labels, fitted.zoom, diameter_px, found.micronuclei, maps, found.runs)


def segment_stack(
    images: NDArray[np.generic],
    colour: bool,
    queue: InferenceQueue,
    objects: ObjectSettings,
    settings: NormaliseSettings,
    scale: Scale,
    inside: str = "",
) -> NDArray[np.uint32]:
    """Segments each image of a stack by itself.

    Args:
        images: (..., Y, X), or (..., Y, X, 3) if ``colour``.
        colour: whether images are RGB.
        queue: runs the network.
        objects: thresholds and sizes.
        settings: the normalisation.
        scale: the scale for the network.
        inside: continues "image (0, 1)" in messages, such as " of chunk (2,)".

    Returns:
        Labels (..., Y, X) uint32.

    Raises:
        InputError: an image has pixels that are not finite; the message names it.
    """
    leading = images.shape[: images.ndim - (3 if colour else 2)]
    labels = np.zeros(images.shape[: len(leading) + 2], np.uint32)
    for place in np.ndindex(leading):
        try:
            image = require_image(images[place])
        except InputError as error:
            raise InputError(f"image {place}{inside}: {error}" if leading else str(error)) from error
        constants = find_constants(image, settings)
        labels[place] = segment_image(image, constants, queue.grid, queue.predict, objects, scale).labels
    return labels


def fit_windows(
    windows: Sequence[NDArray[np.generic]],
    grid: TileGrid,
    predict: Predict,
    scale: Scale,
) -> Fit:
    """Finds the scale of an image from windows of it, (Y, X) or (Y, X, 3).

    All windows share normalisation constants, computed from the windows unless the settings contain them. So
    the result depends on the windows alone.
    """
    pixels = windows[0] if len(windows) == 1 else np.concatenate([window.ravel() for window in windows])
    constants = find_constants(pixels, scale.normalise)
    if constants.blank:
        return Fit()
    views = [(window, constants) for window in windows]

    def labels_at(zoom: float) -> list[NDArray[np.uint32]]:
        return [labels_in(view, grid, predict, scale.objects, zoom) for view in views]

    return fit(labels_at, windows, scale)


def labels_in(
    view: View, grid: TileGrid, predict: Predict, objects: ObjectSettings, zoom: float
) -> NDArray[np.uint32]:
    """Returns the labels (Y, X) of an image (Y, X) or (Y, X, 3), given with its constants, seen at a zoom."""
    image, constants = view
    return segment_image(image, constants, grid, predict, objects, Scale(zoom)).labels
