"""Finds the objects of a block in the stored probabilities, and measures those that begin in the block.

Rows of the table contain an object's key until all keys of the image are known; then it becomes a number.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.tiles import Box
from nucbatch.execution.large.image import LargeImage
from nucbatch.features.contract import Columns
from nucbatch.features.measure import measure, require_families
from nucbatch.inference.rescale import maps_box, maps_window_at
from nucbatch.masks.block import nuclei_of_block
from nucbatch.store.scratch import write_block
from nucbatch.store.tables import identity_columns, read_note, write_fragment


def find_in_block(image: LargeImage, row: int, column: int) -> tuple[int, int]:
    """Finds and measures a block's nuclei.

    Returns:
        The number of nuclei that begin in the block, and of pieces of oversized objects in it.

    Raises:
        StoreError: probabilities or pixels can't be read, or the objects can't be written.
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
    write_block(image.scratch.block(row, column), found.labels, found.keys, found.owned, found.pieces)
    rows = rows_of(image, found.shapes, found.shapes_box, found.owned)
    write_fragment(image.scratch.rows(row, column), rows, str(found.micronuclei).encode())
    return len(found.owned), len(found.pieces)


def micronuclei_of_block(image: LargeImage, row: int, column: int) -> int:
    """Returns the number of objects that begin in the block and were left out as micronuclei."""
    return int(read_note(image.scratch.rows(row, column)) or b"0")


def maps_of_box(image: LargeImage, box: Box) -> NDArray[np.uint8]:
    """Reads the probabilities (outputs, Y, X) uint8 of a box in the image's own pixels."""
    stored = image.maps()
    if image.zoom == 1:
        return np.asarray(stored.read(box), np.uint8)
    held = maps_box(box, image.shape, image.zoom)
    maps = np.asarray(stored.read(held), np.uint8)
    return maps_window_at(maps, held, box, image.shape, image.zoom)


def rows_of(image: LargeImage, shapes: NDArray[np.uint32], box: Box, keys: NDArray[np.int64]) -> Columns:
    """Measures objects for the nuclei table, with keys in place of numbers.

    Args:
        image: the image.
        shapes: labels (Y, X) uint32 of the whole objects, 1..m.
        box: the position of ``shapes`` in the image.
        keys: key of each object, (m,) int64.
    """
    names = [channel.name for channel in image.channels]
    pixels = (
        image.image().read(box) if shapes.size else np.zeros((len(names), 0, 0), np.dtype(image.field.dtype))
    )
    rows = identity_columns(image.plate_name, image.field, len(keys))
    require_families(image.settings.measurements)
    rows |= measure(shapes, pixels, names, origin_px=(box.y0, box.x0))
    rows["Metadata_ObjectNumber"] = keys
    return rows
