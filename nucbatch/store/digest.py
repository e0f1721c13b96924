"""Order-independent digest of a label image, computed chunk by chunk on any machine.

The digest is the sum, modulo 2²⁵⁶, of the SHA-256 of every chunk together with its position. Chunks of zeros
contribute nothing, as they are not stored. The digests of parts therefore add up to that of the whole image.

Of a chunk, the run-length encoding is hashed: a label image is mostly background, and hashing its four bytes
per pixel took a twentieth of all processor time beside the network.
"""

from __future__ import annotations

import hashlib
from itertools import product

import numpy as np
import numpy.typing as npt

from nucbatch.core.jit import frozen, kernel
from nucbatch.store.chunks import chunk_px

_MODULUS = 2**256
_STEP = 32  # pixels that are compared at once


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
        runs = _runs(frozen(piece, np.uint32).ravel())
        if runs.size:
            digest = hashlib.sha256(f"{corner[0] + top} {corner[1] + left} {piece.shape}".encode())
            digest.update(runs.astype("<u4", copy=False).data)
            total += int.from_bytes(digest.digest())
    return _hex(total)


@kernel
def _runs(pixels: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:  # pragma: no cover (compiled)
    """Returns place and label of each pixel (P,) that differs from the one before it, (R, 2)."""
    found = np.empty((len(pixels) + 1, 2), np.uint32)
    count, last = np.uint64(0), np.uint32(0)
    for begin in range(0, len(pixels), _STEP):
        step = pixels[begin : begin + _STEP]
        differ = np.uint32(0)
        for at in range(len(step)):
            differ |= step[at] ^ last
        if differ == np.uint32(0):
            continue
        for at in range(len(step)):
            found[count, 0], found[count, 1] = begin + at, step[at]
            count += np.uint64(step[at] != last)
            last = step[at]
    return found[: np.int64(count)].copy()


def joined_digest(one: str, other: str) -> str:
    """Adds the digests of two parts that share no chunk; an empty string is the digest of no part."""
    return _hex(int(one or "0", 16) + int(other or "0", 16))


def _hex(total: int) -> str:
    return f"{total % _MODULUS:064x}"
