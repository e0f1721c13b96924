"""Cuts windows that extend beyond an image's border, where the image is reflected.

The reflection does not repeat the border pixels (numpy's ``mode="reflect"``). The part inside the image is
copied as a block; only the strips beyond the border are gathered by index.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.tiles import Box


def reflected(begin: int, end: int, length: int) -> NDArray[np.int64]:
    """Reflects positions begin..end-1 into 0..length-1 without repeating the ends; (n,) int64."""
    positions = np.arange(begin, end)
    if length == 1:
        return np.zeros_like(positions)
    period = 2 * (length - 1)
    folded_back = np.abs(positions) % period
    return np.asarray(np.minimum(folded_back, period - folded_back), np.int64)


def needed(window: Box, shape: tuple[int, int]) -> Box:
    """Returns the part of an image of ``shape`` (Y, X) that a window, which may extend beyond it, depends on.

    The part includes every border that the window crosses. So :func:`window_of` gives the same window from
    this part alone, if the window is shifted by the part's corner.
    """
    rows, columns = reflected(window.y0, window.y1, shape[0]), reflected(window.x0, window.x1, shape[1])
    return Box(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)


def window_of(image: NDArray[np.float32], window: Box) -> NDArray[np.float32]:
    """Cuts a window (C, h, w) from an image (C, Y, X), reflected beyond the border.

    The window must overlap the image. If all channels share one memory, as in grey images from
    :func:`nucbatch.inference.normalise.normalise`, those of the window do too.
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
