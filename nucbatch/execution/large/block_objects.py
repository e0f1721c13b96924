"""Finds the objects of a block in the stored probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.tiles import Box
from nucbatch.execution.large.image import LargeImage
from nucbatch.inference.rescale import maps_box, maps_window_at
from nucbatch.masks.block import nuclei_of_block
from nucbatch.store.scratch import write_block


def find_in_block(image: LargeImage, row: int, column: int) -> tuple[int, int]:
    """Finds a block's nuclei.

    Returns:
        The number of nuclei that begin in the block, and of pieces of oversized objects in it.

    Raises:
        StoreError: probabilities can't be read, or the objects can't be written.
    """
    core = image.blocks.box(row, column)
    objects = image.settings.objects
    found = nuclei_of_block(
        lambda box: maps_of_box(image, box),
        core,
        image.shape,
        objects.at(image.zoom),
        image.fit.least_nucleus_px(objects, colour=image.channel is None),
    )
    write_block(
        image.scratch.block(row, column),
        found.labels,
        found.keys,
        found.owned,
        found.boxes,
        found.pieces,
        found.micronuclei,
    )
    return len(found.owned), len(found.pieces)


def maps_of_box(image: LargeImage, box: Box) -> NDArray[np.uint8]:
    """Reads the probabilities (outputs, Y, X) uint8 of a box in the image's own pixels."""
    stored = image.maps()
    if image.zoom == 1:
        return np.asarray(stored.read(box), np.uint8)
    held = maps_box(box, image.shape, image.zoom)
    maps = np.asarray(stored.read(held), np.uint8)
    return maps_window_at(maps, held, box, image.shape, image.zoom)
