"""Images at another scale than the network was taught at: enlarged for it, and its maps brought back.

The decision owned here: pixels are resampled, nuclei are not. The image is scaled so that its nuclei have
the network's typical size, the maps come back to the image's own pixels, and thresholds, areas and outlines
are in those pixels as ever.

Both ways go window by window too, for images too large for memory, and end with the bytes of the whole:
ask for the pixels a window needs (``source_box``, ``maps_box``), then for the window (``scaled_window``,
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
    """The image's pixels that ``box`` of the scaled image is made of.

    Raises:
        InputError: ``box`` is empty or reaches out of the scaled image.
    """
    return support(box, scaled_shape(image_shape, zoom), image_shape)


def scaled_window(
    source: NDArray[np.float32], held: Box, box: Box, image_shape: tuple[int, int], zoom: float
) -> NDArray[np.float32]:
    """``box`` of the scaled image, (C, *box.shape) float32, from the image's pixels of ``held`` alone.

    Args:
        source: (C, *held.shape) float32.
        held: a window of the image that covers ``source_box(box, image_shape, zoom)``.
        box: the window wanted, in pixels of the scaled image.

    Raises:
        InputError: ``box`` is no window of the scaled image, or ``source`` or ``held`` is too small.
    """
    return resampled(source, held, box, scaled_shape(image_shape, zoom), image_shape)


def scaled_image(image: NDArray[np.float32], zoom: float) -> NDArray[np.float32]:
    """Image (C, Y, X) float32 → (C, Y', X') float32, ``zoom`` times as large, smoothed where it shrinks."""
    _, height, width = image.shape
    image_shape = height, width
    return scaled_window(
        image, Box(0, 0, *image_shape), Box(0, 0, *scaled_shape(image_shape, zoom)), image_shape, zoom
    )


def maps_box(box: Box, image_shape: tuple[int, int], zoom: float) -> Box:
    """The pixels of the scaled image's maps that ``box`` of the image's own pixels is made of.

    Raises:
        InputError: ``box`` is empty or reaches out of the image.
    """
    return support(box, image_shape, scaled_shape(image_shape, zoom))


def maps_window_at(
    maps: NDArray[np.uint8], held: Box, box: Box, image_shape: tuple[int, int], zoom: float
) -> NDArray[np.uint8]:
    """``box`` of the image's maps, (outputs, *box.shape) uint8, from the scaled maps' ``held`` alone.

    Probabilities are interpolated. Offsets are not: between two nuclei they would point nowhere; they are
    taken from the nearest pixel and given the image's own length.

    Args:
        maps: (outputs, *held.shape) uint8, two probabilities, and two offsets where there are four outputs.
        held: a window of the scaled maps that covers ``maps_box(box, image_shape, zoom)``.
        box: the window wanted, in the image's own pixels.

    Raises:
        InputError: ``box`` is no window of the image, or ``maps`` or ``held`` is too small.
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
    """Maps (outputs, Y', X') uint8 of an image scaled by ``zoom`` → (outputs, Y, X) uint8 of that shape.

    Raises:
        InputError: the maps are not of an image of ``shape`` scaled by ``zoom``.
    """
    seen = scaled_shape(shape, zoom)
    if maps.shape[-2:] != seen:
        raise InputError(
            f"maps of {maps.shape[-2:]} px are not of an image of {shape} px seen {zoom:g} times as large: "
            f"those have {seen} px."
        )
    return maps_window_at(maps, Box(0, 0, *seen), Box(0, 0, *shape), shape, zoom)


def _nearest(begin: int, end: int, length: int, source_length: int) -> NDArray[np.int64]:
    """The source pixel each output pixel's centre lies in, (n,) int64."""
    inside = ((np.arange(begin, end) + 0.5) / length * source_length).astype(np.int64)
    return np.minimum(inside, source_length - 1)
