"""Images of fields for a browser: a grey PNG, and outlines as an SVG path over it.

Outlines are vectors, so that the pixels below stay unchanged and can be viewed without outlines.
"""

from __future__ import annotations

import base64
import math
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours

_GREYS = 64  # grey levels in a PNG: visually the same, and a third smaller
_ROOM = 0.98  # of a side that should just fit
_BAND_PX, _EVERY_BAND = 16, 12  # rows from which a PNG's size is estimated: height of a band, one band in 12
_LEVEL = 4  # of compression: 6 takes three times as long for two percent


def contrast_limits(plane: NDArray[Any]) -> tuple[float, float]:
    """The percentiles 0.5 and 99.8 of a plane (Y, X), between which nearly all grey levels lie."""
    low, high = np.percentile(plane, [0.5, 99.8])
    return float(low), float(high)


def stretch(plane: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Plane (Y, X) as uint8 grey: ``low`` is black, ``high`` white.

    A gamma of 0.7 makes dim nuclei visible.
    """
    scaled = np.clip((plane.astype(np.float32) - low) / max(high - low, 1e-6), 0.0, 1.0) ** 0.7
    steps = np.rint(scaled * (_GREYS - 1))
    return np.asarray(np.rint(steps * (255 / (_GREYS - 1))), np.uint8)


def png_within(plane: NDArray[Any], low: float, high: float, most_bytes: int) -> str:
    """The stretched plane (Y, X) as a data URI, reduced by area until the PNG has at most ``most_bytes``."""
    shown, encoded, size_bytes = plane, b"", _expected_bytes(plane, low, high)
    while not encoded or (size_bytes > most_bytes and max(shown.shape) > 1):
        if size_bytes > most_bytes:
            # A PNG shrinks at least with its area, because means have less noise. So the next one fits.
            share = _ROOM * math.sqrt(most_bytes / size_bytes)
            height, width = (max(1, int(side * share)) for side in shown.shape)
            shown = _shrunk(plane, height, width)
        encoded = _png(stretch(shown, low, high))
        size_bytes = len(encoded)
    return "data:image/png;base64," + base64.b64encode(encoded).decode("ascii")


def _expected_bytes(plane: NDArray[Any], low: float, high: float) -> float:
    """Estimated size of the PNG of a stretched plane (Y, X), from encoding some of its rows."""
    height = plane.shape[0]
    bands = [plane[begin : begin + _BAND_PX] for begin in range(0, height, _BAND_PX * _EVERY_BAND)]
    tried = np.concatenate(bands)
    return float(len(_png(stretch(tried, low, high))) * height / len(tried))


def _png(grey: NDArray[np.uint8]) -> bytes:
    return bytes(imagecodecs.png_encode(grey, level=_LEVEL))


def outline_path(labels: NDArray[Any]) -> str:
    """All outlines of labels (Y, X) as SVG path data, in half pixels: pixel (y, x) covers 2x to 2x+2.

    Contours run halfway between an object's pixels and the next (marching squares), so all coordinates are
    whole numbers in half pixels.
    """
    padded = np.pad(labels, 1)
    contours: list[NDArray[np.float64]] = []
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is None:
            continue
        rows, columns = window
        mask = padded[rows.start : rows.stop + 2, columns.start : columns.stop + 2] == number
        corner = rows.start, columns.start
        contours += (contour + corner for contour in find_contours(mask.astype(np.float32), 0.5))
    return _path_data(contours)


def _path_data(contours: list[NDArray[np.float64]]) -> str:
    """Path data of closed contours (P, 2) in (y, x) of padded labels.

    The last point of each equals its first.

    All contours are processed at once, because a field has hundreds of them with a few dozen points each.
    Collinear steps are merged.
    """
    if not contours:
        return ""
    # Array index i is the pixel's middle: half pixel 2i + 1; the padding shifts by one pixel.
    points = np.rint(np.concatenate(contours) * 2).astype(np.int64) - 1
    ends = np.cumsum([len(contour) for contour in contours])
    begins = np.concatenate([[0], ends[:-1]])
    after = np.diff(points, axis=0, append=points[-1:])
    corner = np.any(after != np.roll(after, 1, axis=0), axis=1)
    corner[begins] = True
    corner[ends - 1] = False  # the last point is the first one: the path is closed there
    corners = points[corner]
    moves = [f" {x} {y}" for y, x in np.diff(corners, axis=0, prepend=corners[:1]).tolist()]
    first = np.cumsum(corner)[begins] - 1
    for at, (y, x) in zip(first.tolist(), corners[first].tolist(), strict=True):
        moves[at] = f"zM{x} {y}l"
    return "".join(moves)[1:] + "z"


def _shrunk(plane: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """Area means of a plane (Y, X) on a coarser grid."""
    rows = np.linspace(0, plane.shape[0], height + 1).astype(int)[:-1]
    columns = np.linspace(0, plane.shape[1], width + 1).astype(int)[:-1]
    sums = np.add.reduceat(np.add.reduceat(plane.astype(np.float64), rows, axis=0), columns, axis=1)
    areas = np.outer(np.diff([*rows, plane.shape[0]]), np.diff([*columns, plane.shape[1]]))
    return np.asarray(sums / areas, np.float32)
