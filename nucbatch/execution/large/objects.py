"""A block's objects, from the stored probabilities: found, measured if they begin here, and kept.

The decision owned here: rows of the table bear an object's key until all keys are known; then it is a number.
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
from nucbatch.store.tables import identity_columns, write_fragment


def find_in_block(image: LargeImage, row: int, column: int) -> tuple[int, int]:
    """Finds and measures a block's nuclei; returns how many begin there, and its pieces of giants.

    Raises:
        StoreError: probabilities or pixels can't be read, or what was found can't be written.
    """
    core = image.blocks.box(row, column)
    found = nuclei_of_block(
        lambda box: maps_of_box(image, box), core, image.shape, image.settings.objects.at(image.zoom)
    )
    write_block(image.scratch.block(row, column), found.labels, found.keys, found.owned, found.pieces)
    rows = rows_of(image, found.shapes, found.shapes_box, found.owned)
    write_fragment(image.scratch.rows(row, column), rows)
    return len(found.owned), len(found.pieces)


def maps_of_box(image: LargeImage, box: Box) -> NDArray[np.uint8]:
    """The probabilities (outputs, Y, X) uint8 of a box of the image's own pixels."""
    stored = image.maps()
    if image.zoom == 1:
        return np.asarray(stored.read(box), np.uint8)
    held = maps_box(box, image.shape, image.zoom)
    maps = np.asarray(stored.read(held), np.uint8)
    return maps_window_at(maps, held, box, image.shape, image.zoom)


def rows_of(image: LargeImage, shapes: NDArray[np.uint32], box: Box, keys: NDArray[np.int64]) -> Columns:
    """Rows of the nuclei table, with keys for numbers, of objects 1..m shown whole (Y, X) in a box."""
    names = [channel.name for channel in image.channels]
    pixels = (
        image.image().read(box) if shapes.size else np.zeros((len(names), 0, 0), np.dtype(image.field.dtype))
    )
    rows = identity_columns(image.plate_name, image.field, len(keys))
    require_families(image.settings.measurements)
    rows |= measure(shapes, pixels, names, origin_px=(box.y0, box.x0))
    rows["Metadata_ObjectNumber"] = keys
    return rows
