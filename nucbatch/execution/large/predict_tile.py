"""Predicts the tiles of a large image and stores their probabilities.

A tile has the same pixels as in the whole image: reflected at the image's border, and scaled by absolute
position. Offsets where the foreground probability is 0 are never used. They are set to 0, because their noise
would not compress.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.tiles import Box, Tile
from nucbatch.execution.large.image import LargeImage, surveyed_statistics
from nucbatch.inference.normalise import normalise
from nucbatch.inference.reflect import needed, window_of
from nucbatch.inference.rescale import scaled_window, source_box

_SOURCE_PX = 2048
"""Side in px of the source windows of a reduced image; one tile may depend on all of a very large image."""


def predict_tile(image: LargeImage, row: int, column: int) -> float:
    """Predicts one tile and stores its core's probabilities; returns the seconds the network took.

    Raises:
        StoreError: the copy can't be read, or the probabilities can't be written.
        WeightsError: the weights are not those the run began with.
    """
    # It loads PyTorch. The driver, which imports this module for the list of stages, does not need it.
    from nucbatch.inference.queue import queue_of_process

    tile = tile_at(image, row, column)
    if surveyed_statistics(image).constants.blank:
        return 0.0  # no nuclei: probabilities that are not stored are 0
    window = _normalised(image, tile.window)
    settings = image.settings
    queue = queue_of_process(image.weights, settings.model_hash, settings.precision)
    maps, seconds = queue.predict_timed(window)
    core = np.ascontiguousarray(maps[:, *tile.core.within(tile.window)])
    if image.zoom == 1:  # else a neighbour's foreground may be interpolated over this pixel
        core[2:] *= core[0] != 0
    image.maps().write(core, (tile.core.y0, tile.core.x0))
    return seconds


def tile_at(image: LargeImage, row: int, column: int) -> Tile:
    """Returns the tile at a place of the tile grid, in pixels at the network's scale."""
    down, across = (
        image.tiles.cuts(length)[index] for length, index in zip(image.seen_shape, (row, column), strict=True)
    )
    return Tile(Box(down[0], across[0], down[1], across[1]), Box(down[2], across[2], down[3], across[3]))


def _normalised(image: LargeImage, window: Box) -> NDArray[np.float32]:
    """Returns the network's input (3, Y, X) float32 for a window that may cross the image's border."""
    box = needed(window, image.seen_shape)
    if image.zoom == 1:
        normalised = _read(image, box)
    else:
        normalised = np.empty((3, *box.shape), np.float32)
        for part in _parts(box, image.zoom):
            source = source_box(part, image.shape, image.zoom)
            scaled = scaled_window(_read(image, source), source, part, image.shape, image.zoom)
            normalised[:, *part.within(box)] = scaled
    return window_of(normalised, window.shifted(-box.y0, -box.x0))


def _read(image: LargeImage, box: Box) -> NDArray[np.float32]:
    """Reads and normalises a box of the image; (3, Y, X) float32."""
    pixels = image.image().read(box, image.channel)  # (C', Y, X), C' 1 or 3
    return normalise(
        pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0), surveyed_statistics(image).constants
    )


def _parts(box: Box, zoom: float) -> Iterator[Box]:
    """Cuts a box of the reduced image into parts with sources of about ``_SOURCE_PX`` per side."""
    side = max(1, int(_SOURCE_PX * min(zoom, 1)))
    for top in range(box.y0, box.y1, side):
        for left in range(box.x0, box.x1, side):
            yield Box(top, left, min(top + side, box.y1), min(left + side, box.x1))
