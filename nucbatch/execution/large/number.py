"""Numbers objects 1..N: merges oversized objects across block faces, then sorts all keys row by row.

At most one row of blocks is held in memory. An object's number is the count of objects that begin in the rows
of blocks above, plus its rank in its own row. This is the raster order of first pixels, as in an image of one
block.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.tiles import Box
from nucbatch.execution.large.block_objects import rows_of
from nucbatch.execution.large.image import LargeImage
from nucbatch.masks.block import Piece
from nucbatch.masks.seams import OversizedObject, Place, unite
from nucbatch.store.scratch import (
    StoredBlock,
    read_block,
    read_numbers,
    read_owned,
    read_values,
    write_numbers,
    write_values,
)
from nucbatch.store.tables import write_fragment


def number(image: LargeImage, pieces: int) -> tuple[int, int]:
    """Merges oversized objects and sorts all keys.

    Args:
        image: the image.
        pieces: number of pieces of oversized objects in all blocks; 0 skips the search for them.

    Returns:
        The number of oversized objects kept, and of those too large to be nuclei.

    Raises:
        StoreError: a block's objects can't be read, or the numbers can't be written.
    """
    oversized = _oversized(image) if pieces else []
    write_values(
        image.scratch.oversized,
        [[joined.key, [[*place, label] for place, label in joined.members]] for joined in oversized],
    )
    counted = [joined for joined in oversized if joined.key >= 0]
    _measure_oversized(image, counted)
    begins = [image.blocks.at(*divmod(joined.key, image.shape[1]))[0] for joined in counted]
    rows, columns = image.blocks.shape
    offsets = np.zeros(rows + 1, np.int64)
    for row in range(rows):
        keys = [read_owned(image.scratch.block(row, column))[0] for column in range(columns)]
        keys.append(np.array([g.key for g, at in zip(counted, begins, strict=True) if at == row], np.int64))
        ordered = np.sort(np.concatenate(keys))
        write_numbers(image.scratch.keys(row), ordered)
        offsets[row + 1] = offsets[row] + len(ordered)
    write_numbers(image.scratch.offsets, offsets)
    return len(counted), len(oversized) - len(counted)


class Numbers:
    """Looks up the number of each object, as assigned by :func:`number`."""

    def __init__(self, image: LargeImage) -> None:
        self._image = image
        self.offsets = read_numbers(image.scratch.offsets)
        self._oversized: dict[tuple[int, int, int], int] = {
            (row, column, label): key
            for key, members in read_values(image.scratch.oversized)
            for row, column, label in members
        }
        self._keys = lru_cache(maxsize=8)(lambda row: read_numbers(image.scratch.keys(row)))

    def of_labels(self, place: Place, block: StoredBlock) -> NDArray[np.uint32]:
        """Returns the number of each label 0..n of a block, (n + 1,) uint32; 0 for background."""
        keys = block.keys.copy()
        for index in np.flatnonzero(keys < 0).tolist():
            keys[index] = self._oversized[(*place, index + 1)]
        numbers = np.zeros(len(keys) + 1, np.uint32)
        known = np.flatnonzero(keys >= 0)
        numbers[known + 1] = self.of_keys(keys[known])
        return numbers

    def of_keys(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the numbers (n,) int64 of keys (n,) int64."""
        rows = keys // self._image.shape[1] // self._image.block_px
        numbers = np.zeros(len(keys), np.int64)
        for row in np.unique(rows).tolist():
            here = rows == row
            numbers[here] = self.offsets[row] + np.searchsorted(self._keys(row), keys[here]) + 1
        return numbers


def _oversized(image: LargeImage) -> list[OversizedObject]:
    blocks, width = image.blocks, image.shape[1]

    @lru_cache(maxsize=8)
    def block_at(row: int, column: int) -> StoredBlock:
        return read_block(image.scratch.block(row, column))

    def label_at(pixel: int) -> tuple[Place, int]:
        y, x = divmod(pixel, width)
        place = blocks.at(y, x)
        box = blocks.box(*place)
        return place, int(block_at(*place).labels[y - box.y0, x - box.x0])

    return unite(dict(_pieces(image)), label_at)


def _pieces(image: LargeImage) -> Iterator[tuple[Place, list[Piece]]]:
    rows, columns = image.blocks.shape
    for place in np.ndindex(rows, columns):
        found = read_owned(image.scratch.block(*place))[1]
        if found:
            yield place, [_piece(values) for values in found]


def _piece(values: dict[str, Any]) -> Piece:
    """Restores a piece from its JSON values."""
    y0, x0, y1, x1 = values["box"]
    return Piece(values["label"], values["key"], values["area_px"], (y0, x0, y1, x1), tuple(values["links"]))


def _measure_oversized(image: LargeImage, oversized: list[OversizedObject]) -> None:
    """Measures each oversized object in its bounding box, and writes the rows in order of keys."""
    columns: dict[str, list[NDArray[np.generic]]] = {}
    for joined in sorted(oversized, key=lambda joined: joined.key):
        shape = np.zeros(joined.box.shape, np.uint32)
        for place, label in joined.members:
            box = image.blocks.box(*place)
            there = Box(
                max(box.y0, joined.box.y0),
                max(box.x0, joined.box.x0),
                min(box.y1, joined.box.y1),
                min(box.x1, joined.box.x1),
            )
            own = read_block(image.scratch.block(*place)).labels[there.within(box)] == label
            shape[there.within(joined.box)] |= own
        for name, values in rows_of(image, shape, joined.box, np.array([joined.key], np.int64)).items():
            columns.setdefault(name, []).append(values)
    if columns:
        write_fragment(
            image.scratch.oversized_rows, {name: np.concatenate(parts) for name, parts in columns.items()}
        )
