"""Numbers objects 1..N: merges oversized objects across block faces, then sorts all keys row by row.

At most one row of blocks is held in memory. An object's number is the count of objects that begin in the rows
of blocks above, plus its rank in its own row. This is the raster order of first pixels, as in an image of one
block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.tiles import Box
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
        [
            [joined.key, astuple(joined.box), [[*place, label] for place, label in joined.members]]
            for joined in oversized
        ],
    )
    counted = [joined for joined in oversized if joined.key >= 0]
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
        self._groups = read_values(image.scratch.oversized)
        self._oversized: dict[tuple[int, int, int], int] = {
            (row, column, label): key for key, _, members in self._groups for row, column, label in members
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

    def oversized_in(self, place: Place) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns keys (n,) and boxes (n, 4) of the counted oversized objects that begin in a block."""
        width = self._image.shape[1]
        found = [
            (key, *box)
            for key, box, _ in self._groups
            if key >= 0 and self._image.blocks.at(*divmod(key, width)) == place
        ]
        values = np.array(found, np.int64).reshape(-1, 5)
        return values[:, 0], values[:, 1:]

    def labels_of_box(self, box: Box) -> NDArray[np.uint32]:
        """Returns the numbered labels (Y, X) uint32 of a box of the image.

        Raises:
            DamagedFile: a block can't be read.
        """
        labels = np.zeros(box.shape, np.uint32)
        for place in product(*self._image.blocks.touching(box)):
            block, whole = read_block(self._image.scratch.block(*place)), self._image.blocks.box(*place)
            shared = box.clipped(whole)
            labels[shared.within(box)] = self.of_labels(place, block)[block.labels[shared.within(whole)]]
        return labels

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
