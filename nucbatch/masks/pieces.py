"""Makes each label connected.

Of the pixels with one label, the largest 4-connected piece keeps it; among equals the first in raster
order. All other pixels go to the nearest label, by steps within the foreground, with ties decided as in
:mod:`nucbatch.masks.flood`. The work is proportional to the foreground's pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.jit import kernel
from nucbatch.masks.flood import grow_back
from nucbatch.masks.union_find import number, unite


def in_one_piece(
    label: NDArray[np.uint32],
    components: NDArray[np.uint32],
    pixels: NDArray[np.int64],
    place: NDArray[np.uint32],
) -> NDArray[np.uint32]:
    """Makes each label 4-connected; returns labels (Y, X) uint32.

    Args:
        label: (F,) uint32 of each pixel of the foreground; pixels with 0 go to a neighbouring label.
        components: (Y, X) uint32, contiguous; the foreground is where it isn't 0.
        pixels: (F,) int64, linear indices in raster order.
        place: (Y, X) uint32, index of each pixel of the foreground in ``pixels``.
    """
    labels = np.zeros(components.shape, np.uint32)
    left = _largest_pieces(label, int(label.max(initial=0)) + 1, pixels, place, labels)
    if len(left):
        grow_back(labels, components, left)
    return labels


@kernel
def _largest_pieces(
    label: NDArray[np.uint32],
    count: int,
    pixels: NDArray[np.int64],
    place: NDArray[np.uint32],
    labels: NDArray[np.uint32],
) -> NDArray[np.int64]:  # pragma: no cover (compiled)
    """Writes each label's largest piece into empty labels (Y, X); returns all other pixels."""
    width, flat = labels.shape[1], labels.ravel()
    for here in range(len(pixels)):
        flat[pixels[here]] = label[here]
    piece = np.zeros(len(pixels), np.uint32)
    leader = np.empty(len(pixels) + 1, np.uint32)
    leader[0] = 0
    pieces = 1
    y, row = 0, 0
    for here in range(len(pixels)):
        while pixels[here] >= row + width:
            y, row = y + 1, row + width
        x = pixels[here] - row
        own = label[here]
        if own == 0:
            continue
        if x > 0 and labels[y, x - 1] == own:
            piece[here] = piece[here - 1]
        if y > 0 and labels[y - 1, x] == own:
            above = piece[place[y - 1, x]]
            if piece[here] == 0:
                piece[here] = above
            elif piece[here] != above:
                unite(leader, piece[here], above)
        if piece[here] == 0:
            leader[pieces] = pieces
            piece[here] = pieces
            pieces += 1
    pieces = number(leader, 1, pieces)
    area = np.zeros(pieces, np.int64)
    owner = np.zeros(pieces, np.uint32)
    for here in range(len(pixels)):
        piece[here] = leader[piece[here]]
        area[piece[here]] += 1
        owner[piece[here]] = label[here]
    left = area[0]
    largest = np.zeros(count, np.uint32)
    area[0] = 0
    for one in range(1, pieces):
        if area[one] > area[largest[owner[one]]]:
            left += area[largest[owner[one]]]
            largest[owner[one]] = one
        else:
            left += area[one]
    over = np.empty(left, np.int64)
    listed = 0
    for here in range(len(pixels)):
        if piece[here] == 0 or piece[here] != largest[label[here]]:
            flat[pixels[here]] = 0
            over[listed] = pixels[here]
            listed += 1
    return over
