"""Finds disk blocks of zeros in uncompressed pixels, as a failed disk or an interrupted copy leaves them.

Pixels may be zero: a background that was clipped, a mask, a mosaic's margin. So zeros count as a hole only if
both their ends are ends of disk blocks, hardly any other value is zero, and they are not whole rows of
pixels, as a margin is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.tiles import Box

BLOCK_BYTES = 4096
_CHANCE_ZEROS = 3
"""So many sound bytes beside a hole may happen to be zero, too."""
_SELDOM_ZERO = 0.01
"""Largest part of the other groups of four bytes that are zero."""
_GROUP = 4


def holes_in_rows(data: bytes, offset: int, shape: tuple[int, int]) -> list[Box]:
    """Returns the parts of a picture of raw values that disk blocks of zeros cover, within the picture.

    Args:
        data: the values, row after row.
        offset: their place in the file.
        shape: (Y, X) of the picture.
    """
    if bytes(BLOCK_BYTES // 2) not in data:  # each hole has as many in a row
        return []
    height, width = shape
    row_bytes = len(data) // height
    values = np.frombuffer(data, np.uint8)
    holes = [hole for hole in _zero_blocks(values, offset) if not _is_rows(hole, row_bytes)]
    if not holes:
        return []
    covered = sum(end - begin for begin, end in holes)
    groups = values[: len(values) // _GROUP * _GROUP].view(np.uint32)
    zeros = len(groups) - int(np.count_nonzero(groups)) - covered // _GROUP
    if zeros > _SELDOM_ZERO * max(1, len(groups) - covered // _GROUP):
        return []
    return [box for hole in holes for box in _boxes(hole, row_bytes, width)]


def _zero_blocks(values: NDArray[np.uint8], offset: int) -> list[tuple[int, int]]:
    """Lists (begin, end) of runs of zeros that begin and end with disk blocks, or with the values."""
    first = -offset % BLOCK_BYTES
    count = max(0, (len(values) - first) // BLOCK_BYTES)
    blocks = values[first : first + count * BLOCK_BYTES].reshape(count, BLOCK_BYTES)
    empty = np.concatenate([[False], ~blocks.any(axis=1), [False]])
    edges = np.flatnonzero(np.diff(empty.astype(np.int8)))
    found = []
    for low, high in edges.reshape(-1, 2).tolist():
        begin, end = first + low * BLOCK_BYTES, first + high * BLOCK_BYTES
        before = values[max(0, begin - _CHANCE_ZEROS - 1) : begin]
        behind = values[end : end + _CHANCE_ZEROS + 1]
        if before.any() and behind.any():
            found.append((begin, end))
    return found


def _is_rows(hole: tuple[int, int], row_bytes: int) -> bool:
    """Returns whether zeros begin and end with rows of the picture."""
    return not any(place % row_bytes for place in hole)


def _boxes(hole: tuple[int, int], row_bytes: int, width: int) -> list[Box]:
    """Returns up to three boxes of pixels: the hole's first row, whole rows, and last row."""
    pixel_bytes = row_bytes // width
    begin, end = -(-hole[0] // pixel_bytes), hole[1] // pixel_bytes
    (top, left), (bottom, right) = divmod(begin, width), divmod(end, width)
    if top == bottom:
        return [Box(top, left, bottom + 1, right)]
    first, last = Box(top, left, top + 1, width), Box(bottom, 0, bottom + 1, right)
    return [box for box in (first, Box(top + 1, 0, bottom, width), last) if min(box.shape) > 0]
