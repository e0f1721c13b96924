"""Images of fields for a browser: grey WebP within a number of bytes."""

from __future__ import annotations

import base64
import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from nucbatch.core.jit import frozen, kernel

_LIMITS = (0.5, 99.8)  # percentiles
_ROOM = 0.95  # of a side that should just fit
_GROWTH = (
    1.5  # exponent of an image's size in its side, before it is measured; 2 for noise, 1 for smooth nuclei
)
_BAND_PX, _EVERY_BAND = 16, 12  # rows from which a size is estimated: height of a band, one band in 12
_QUALITY = 45  # of WebP: a field of 640 px takes 20 kB, a tenth of its PNG, and nuclei look the same
_EFFORT = 2  # of WebP, up to 6: the usual 4 takes two and a half times as long for a tenth fewer bytes


def picture_threads() -> ThreadPoolExecutor:
    """Threads to make images in: one per core, because decoding, percentiles and encoding release the GIL."""
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)))


def contrast_limits(plane: NDArray[Any]) -> tuple[float, float]:
    """The percentiles 0.5 and 99.8 of a plane (Y, X), between which nearly all grey levels lie."""
    if plane.dtype not in (np.uint8, np.uint16):
        low, high = np.percentile(plane, _LIMITS)
        return float(low), float(high)
    # From a histogram, because sorting takes five times as long.
    up_to = np.cumsum(np.bincount(plane.ravel()))
    places = np.array(_LIMITS) / 100 * (plane.size - 1)
    below = np.floor(places)
    lower, upper = (np.searchsorted(up_to, place, side="right") for place in (below, np.ceil(places)))
    low, high = lower + (upper - lower) * (places - below)
    return float(low), float(high)


def stretch(plane: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Plane (Y, X) as uint8 grey: ``low`` is black, ``high`` white.

    A gamma of 0.7 makes dim nuclei visible.
    """
    scaled = np.clip((plane.astype(np.float32) - low) / max(high - low, 1e-6), 0.0, 1.0) ** 0.7
    return np.asarray(np.rint(scaled * 255), np.uint8)


def picture_within(plane: NDArray[Any], low: float, high: float, most_bytes: int) -> str:
    """The stretched plane (Y, X) as a data URI, reduced by area until it has at most ``most_bytes``."""
    shown, encoded, size_bytes, growth = plane, b"", _expected_bytes(plane, low, high), _GROWTH
    while not encoded or (size_bytes > most_bytes and max(shown.shape) > 1):
        side, size_before = max(shown.shape), size_bytes
        if size_bytes > most_bytes:
            share = _ROOM * (most_bytes / size_bytes) ** (1 / growth)
            height, width = (max(1, int(side * share)) for side in shown.shape)
            shown = _shrunk(plane, height, width)
        encoded = _encoded(stretch(shown, low, high))
        size_bytes = len(encoded)
        if max(shown.shape) < side:
            measured = math.log(size_before / size_bytes) / math.log(side / max(shown.shape))
            growth = min(max(measured, 1.0), 2.0)
    return "data:image/webp;base64," + base64.b64encode(encoded).decode("ascii")


def _expected_bytes(plane: NDArray[Any], low: float, high: float) -> float:
    """Estimated size of the image of a stretched plane (Y, X), from encoding some of its rows."""
    height = plane.shape[0]
    bands = [plane[begin : begin + _BAND_PX] for begin in range(0, height, _BAND_PX * _EVERY_BAND)]
    tried = np.concatenate(bands)
    return float(len(_encoded(stretch(tried, low, high))) * height / len(tried))


def _encoded(grey: NDArray[np.uint8]) -> bytes:
    rgb = np.repeat(grey[..., np.newaxis], 3, axis=-1)  # WebP has no grey images; equal channels cost nothing
    return bytes(imagecodecs.webp_encode(rgb, level=_QUALITY, lossless=False, method=_EFFORT))


def _shrunk(plane: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """Area means of a plane (Y, X) on a coarser grid."""
    rows, columns = (
        np.linspace(0, old, new + 1).astype(np.int64)
        for old, new in zip(plane.shape, (height, width), strict=True)
    )
    return _area_means(frozen(plane, np.float64), rows, columns)


@kernel
def _area_means(
    plane: NDArray[np.float64], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.float32]:  # pragma: no cover (compiled)
    """Means of the rectangles between ``rows`` (H + 1,) and ``columns`` (W + 1,)."""
    height, width = len(rows) - 1, len(columns) - 1
    means = np.empty((height, width), np.float32)
    sums = np.empty(plane.shape[1], np.float64)
    for row in range(height):
        sums[:] = 0
        for y in range(rows[row], rows[row + 1]):
            for x in range(plane.shape[1]):
                sums[x] += plane[y, x]
        for column in range(width):
            total = 0.0
            for x in range(columns[column], columns[column + 1]):
                total += sums[x]
            pixels = (rows[row + 1] - rows[row]) * (columns[column + 1] - columns[column])
            means[row, column] = total / pixels
    return means
