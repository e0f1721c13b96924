"""Windows that reach over an image's border, where it is mirrored without repeating its last pixels.

The decision owned here: what a tile sees beyond the image. A window is copied; only the strips that lie
beyond the border are gathered pixel by pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.tiles import Box


def reflected(begin: int, end: int, length: int) -> NDArray[np.int64]:
    """Positions inside 0..length-1 for begin..end-1, mirrored at both ends without repeating the end."""
    positions = np.arange(begin, end)
    if length == 1:
        return np.zeros_like(positions)
    period = 2 * (length - 1)
    folded_back = np.abs(positions) % period
    return np.asarray(np.minimum(folded_back, period - folded_back), np.int64)


def needed(window: Box, shape: tuple[int, int]) -> Box:
    """The pixels of an image (Y, X) of that shape that a window is made of.

    It reaches the borders that the window reaches over, so that :func:`window_of` makes the same window of
    it alone, shifted by its corner.
    """
    rows, columns = reflected(window.y0, window.y1, shape[0]), reflected(window.x0, window.x1, shape[1])
    return Box(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)


def window_of(image: NDArray[np.float32], window: Box) -> NDArray[np.float32]:
    """A window's pixels (C, h, w) of an image (C, Y, X), with pixels of which it has any in common.

    Where all channels are one and the same in memory, as :func:`nucbatch.inference.normalise.normalise` has
    them for grey images, they are in the window, too.
    """
    if len(image) > 1 and image.strides[0] == 0:
        one = window_of(image[:1], window)
        return np.broadcast_to(one, (len(image), *window.shape))
    inner = window.clipped(Box(0, 0, *image.shape[-2:]))
    if inner == window:
        return np.ascontiguousarray(image[:, *window.slices])
    rows = reflected(window.y0, window.y1, image.shape[-2])
    columns = reflected(window.x0, window.x1, image.shape[-1])
    found = np.empty((len(image), *window.shape), image.dtype)
    down, across = inner.within(window)
    found[:, down, across] = image[:, *inner.slices]
    for beside in (slice(0, across.start), slice(across.stop, None)):
        found[:, down, beside] = image[:, inner.slices[0]][:, :, columns[beside]]
    for beyond in (slice(0, down.start), slice(down.stop, None)):
        found[:, beyond] = image[:, rows[beyond]][:, :, columns]
    return found
