"""A label image's digest, which can be taken chunk by chunk, in any order, on any machine.

The decision owned here: a digest is the sum, modulo 2²⁵⁶, of each chunk's SHA-256, its place included; chunks
of zeros count nothing, as they are not stored. So parts add up to the whole's.
"""

from __future__ import annotations

import hashlib
from itertools import product

import numpy as np
import numpy.typing as npt

from nucbatch.store.chunks import chunk_px
from nucbatch.store.shards import is_blank

_MODULUS = 2**256


def labels_digest(labels: npt.NDArray[np.integer]) -> str:
    """The digest, 64 hex digits, of a whole label image (Y, X)."""
    return part_digest(labels, (0, 0), (chunk_px(labels.shape[0]), chunk_px(labels.shape[1])))


def part_digest(labels: npt.NDArray[np.integer], corner: tuple[int, int], chunks: tuple[int, int]) -> str:
    """What labels (Y, X) that begin at ``corner``, where a chunk begins, add to their image's digest."""
    total = 0
    for top, left in product(range(0, labels.shape[0], chunks[0]), range(0, labels.shape[1], chunks[1])):
        piece = labels[top : top + chunks[0], left : left + chunks[1]]
        if not is_blank(piece):
            ordered = np.ascontiguousarray(piece, dtype="<u4")
            digest = hashlib.sha256(f"{corner[0] + top} {corner[1] + left} {ordered.shape}".encode())
            digest.update(ordered.data)
            total += int.from_bytes(digest.digest())
    return _hex(total)


def joined_digest(one: str, other: str) -> str:
    """The digest of two parts that share no chunk; nothing's is empty."""
    return _hex(int(one or "0", 16) + int(other or "0", 16))


def _hex(total: int) -> str:
    return f"{total % _MODULUS:064x}"
