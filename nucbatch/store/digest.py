"""Order-independent digest of a label image, computed chunk by chunk on any machine.

The digest is the sum, modulo 2²⁵⁶, of the SHA-256 of every chunk together with its position. Chunks of zeros
contribute nothing, as they are not stored. The digests of parts therefore add up to that of the whole image.
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
    """Returns the digest, 64 hex digits, of a whole label image (Y, X)."""
    return part_digest(labels, (0, 0), (chunk_px(labels.shape[0]), chunk_px(labels.shape[1])))


def part_digest(labels: npt.NDArray[np.integer], corner: tuple[int, int], chunks: tuple[int, int]) -> str:
    """Returns the contribution of a part of a label image to its digest.

    Args:
        labels: (Y, X), the part.
        corner: (y, x) of the part in the image; a chunk begins there.
        chunks: (height, width) of the image's chunks.
    """
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
    """Adds the digests of two parts that share no chunk; an empty string is the digest of no part."""
    return _hex(int(one or "0", 16) + int(other or "0", 16))


def _hex(total: int) -> str:
    return f"{total % _MODULUS:064x}"
