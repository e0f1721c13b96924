"""Rescales an image so that its nuclei have the size the network knows, and rescales the maps back.

Only pixels and maps are resampled. Objects are found in maps of the image's own size, so thresholds, areas
and outlines are in the image's own pixels.

Images too large for memory are rescaled window by window, with the same bytes as the whole image. First get
the window that is needed (``source_box``, ``maps_box``), then rescale it (``scaled_window``,
``maps_window_at``). ``image_shape`` is always the full image's (height, width) in its own pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError
from nucbatch.core.tiles import Box, scaled_shape
from nucbatch.inference.resample import check_held, resampled, support
from nucbatch.masks.flows import rescaled


def source_box(box: Box, image_shape: tuple[int, int], zoom: float) -> Box:
    """Returns the window of the image that ``box`` of the scaled image depends on.

    Raises:
        InputError: ``box`` is empty or extends beyond the scaled image.
    """
    return support(box, scaled_shape(image_shape, zoom), image_shape)


def scaled_window(
    source: NDArray[np.float32], held: Box, box: Box, image_shape: tuple[int, int], zoom: float
) -> NDArray[np.float32]:
    """Computes a window of the scaled image from a window of the image.

    Args:
        source: pixels (C, *held.shape) float32.
        held: a window of the image that covers ``source_box(box, image_shape, zoom)``.
        box: the output window, in pixels of the scaled image.
        image_shape: (height, width) of the full image in px.
        zoom: scale factor.

    Returns:
        Pixels (C, *box.shape) float32.

    Raises:
        InputError: ``box`` extends beyond the scaled image, or ``source`` or ``held`` is too small.
    """
    return resampled(source, held, box, scaled_shape(image_shape, zoom), image_shape)


def scaled_image(image: NDArray[np.float32], zoom: float) -> NDArray[np.float32]:
    """Scales an image (C, Y, X) float32 by ``zoom`` to (C, Y', X') float32, antialiased when reduced."""
    _, height, width = image.shape
    image_shape = height, width
    return scaled_window(
        image, Box(0, 0, *image_shape), Box(0, 0, *scaled_shape(image_shape, zoom)), image_shape, zoom
    )


def maps_box(box: Box, image_shape: tuple[int, int], zoom: float) -> Box:
    """Returns the window of the scaled image's maps that ``box``, in the image's own pixels, depends on.

    Raises:
        InputError: ``box`` is empty or extends beyond the image.
    """
    return support(box, image_shape, scaled_shape(image_shape, zoom))


def maps_window_at(
    maps: NDArray[np.uint8], held: Box, box: Box, image_shape: tuple[int, int], zoom: float
) -> NDArray[np.uint8]:
    """Computes a window of the maps in the image's own pixels from a window of the scaled image's maps.

    Probabilities are interpolated. Offsets are taken from the nearest pixel and scaled to the image's own
    pixels; between two nuclei an interpolated offset would point to neither centre.

    Args:
        maps: (outputs, *held.shape) uint8: two probabilities and, with four outputs, two offsets.
        held: a window of the scaled maps that covers ``maps_box(box, image_shape, zoom)``.
        box: the output window, in the image's own pixels.
        image_shape: (height, width) of the full image in px.
        zoom: scale factor from image to scaled image.

    Returns:
        Maps (outputs, *box.shape) uint8.

    Raises:
        InputError: ``box`` extends beyond the image, or ``maps`` or ``held`` is too small.
    """
    seen = scaled_shape(image_shape, zoom)
    check_held(maps.shape, held, support(box, image_shape, seen))
    back = np.empty((len(maps), *box.shape), np.uint8)
    back[:2] = np.rint(resampled(maps[:2].astype(np.float32), held, box, image_shape, seen))
    if len(maps) == 4:
        rows = _nearest(box.y0, box.y1, image_shape[0], seen[0]) - held.y0
        columns = _nearest(box.x0, box.x1, image_shape[1], seen[1]) - held.x0
        back[2:] = rescaled(maps[2:, rows[:, np.newaxis], columns], 1 / zoom)
    return back


def maps_at(maps: NDArray[np.uint8], shape: tuple[int, int], zoom: float) -> NDArray[np.uint8]:
    """Rescales maps (outputs, Y', X') uint8 of an image scaled by ``zoom`` to (outputs, Y, X) uint8.

    Args:
        shape: (Y, X) of the image in px.

    Raises:
        InputError: the maps' size is not that of ``shape`` scaled by ``zoom``.
    """
    seen = scaled_shape(shape, zoom)
    if maps.shape[-2:] != seen:
        raise InputError(
            f"maps of {maps.shape[-2:]} px do not belong to an image of {shape} px scaled by {zoom:g}: "
            f"give maps of {seen} px."
        )
    return maps_window_at(maps, Box(0, 0, *seen), Box(0, 0, *shape), shape, zoom)


def _nearest(begin: int, end: int, length: int, source_length: int) -> NDArray[np.int64]:
    """Returns the source pixel that contains each output pixel's centre; (n,) int64."""
    inside = ((np.arange(begin, end) + 0.5) / length * source_length).astype(np.int64)
    return np.minimum(inside, source_length - 1)
