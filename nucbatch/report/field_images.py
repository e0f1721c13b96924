"""Images of fields for a browser: grey WebP within a number of bytes."""

from __future__ import annotations

import base64
import math
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

_ROOM = 0.95  # of a side that should just fit
_BAND_PX, _EVERY_BAND = 16, 12  # rows from which a size is estimated: height of a band, one band in 12
_QUALITY = 45  # of WebP: a field of 640 px takes 20 kB, a tenth of its PNG, and nuclei look the same


def contrast_limits(plane: NDArray[Any]) -> tuple[float, float]:
    """The percentiles 0.5 and 99.8 of a plane (Y, X), between which nearly all grey levels lie."""
    low, high = np.percentile(plane, [0.5, 99.8])
    return float(low), float(high)


def stretch(plane: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Plane (Y, X) as uint8 grey: ``low`` is black, ``high`` white.

    A gamma of 0.7 makes dim nuclei visible.
    """
    scaled = np.clip((plane.astype(np.float32) - low) / max(high - low, 1e-6), 0.0, 1.0) ** 0.7
    return np.asarray(np.rint(scaled * 255), np.uint8)


def picture_within(plane: NDArray[Any], low: float, high: float, most_bytes: int) -> str:
    """The stretched plane (Y, X) as a data URI, reduced by area until it has at most ``most_bytes``."""
    shown, encoded, size_bytes = plane, b"", _expected_bytes(plane, low, high)
    while not encoded or (size_bytes > most_bytes and max(shown.shape) > 1):
        if size_bytes > most_bytes:
            share = _ROOM * math.sqrt(most_bytes / size_bytes)
            height, width = (max(1, int(side * share)) for side in shown.shape)
            shown = _shrunk(plane, height, width)
        encoded = _encoded(stretch(shown, low, high))
        size_bytes = len(encoded)
    return "data:image/webp;base64," + base64.b64encode(encoded).decode("ascii")


def _expected_bytes(plane: NDArray[Any], low: float, high: float) -> float:
    """Estimated size of the image of a stretched plane (Y, X), from encoding some of its rows."""
    height = plane.shape[0]
    bands = [plane[begin : begin + _BAND_PX] for begin in range(0, height, _BAND_PX * _EVERY_BAND)]
    tried = np.concatenate(bands)
    return float(len(_encoded(stretch(tried, low, high))) * height / len(tried))


def _encoded(grey: NDArray[np.uint8]) -> bytes:
    rgb = np.repeat(grey[..., np.newaxis], 3, axis=-1)  # WebP has no grey images; equal channels cost nothing
    return bytes(imagecodecs.webp_encode(rgb, level=_QUALITY, lossless=False))


def _shrunk(plane: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """Area means of a plane (Y, X) on a coarser grid."""
    rows = np.linspace(0, plane.shape[0], height + 1).astype(int)[:-1]
    columns = np.linspace(0, plane.shape[1], width + 1).astype(int)[:-1]
    sums = np.add.reduceat(np.add.reduceat(plane.astype(np.float64), rows, axis=0), columns, axis=1)
    areas = np.outer(np.diff([*rows, plane.shape[0]]), np.diff([*columns, plane.shape[1]]))
    return np.asarray(sums / areas, np.float32)
