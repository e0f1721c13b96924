"""Downsamples images and labels to the levels of a pyramid. Pure array functions.

Each level halves the sides, rounded up. Images take the rounded mean of 2 × 2 pixels. Labels take the first
pixel of each 2 × 2, so that every label in a lower level exists in the full image. Integer images are
processed with integers only, so the bytes are the same on any machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError

SMALLEST_PX = 320  # longest side of the last level: 270 px for a field of 1,080 px
FEWEST_LEVELS = 2


def level_count(height_px: int, width_px: int) -> int:
    """Returns the number of pyramid levels of an image and its labels, the full resolution included."""
    side, levels = max(height_px, width_px), 1
    while side > SMALLEST_PX or levels < FEWEST_LEVELS:
        side, levels = -(-side // 2), levels + 1
    return levels


def image_pyramid(image: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Returns the levels (C, Y, X), (C, ceil(Y/2), ceil(X/2)), ... of an integer or float image."""
    levels = [image]
    for _ in range(level_count(*image.shape[-2:]) - 1):
        levels.append(halved_mean(levels[-1]))
    return levels


def label_pyramid(labels: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Returns the levels (Y, X), (ceil(Y/2), ceil(X/2)), ... of a label image in its dtype."""
    levels = [labels]
    for _ in range(level_count(*labels.shape) - 1):
        levels.append(np.ascontiguousarray(levels[-1][::2, ::2]))
    return levels


def halved_mean(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Averages 2 × 2 pixels: (..., Y, X) → (..., ceil(Y/2), ceil(X/2)), halves rounded up.

    At the end of an odd side the mean covers the existing pixels.

    Raises:
        InputError: a dtype other than integers of up to 32 bits and floats.
    """
    height, width = image.shape[-2:]
    if height % 2 or width % 2:
        # Repeating the last row or column does not change the mean of its pixels.
        image = np.pad(image, [(0, 0)] * (image.ndim - 2) + [(0, height % 2), (0, width % 2)], mode="edge")
    wide = _SUMS.get(image.dtype.newbyteorder("="))
    if wide is None:
        kinds = ", ".join(str(dtype) for dtype in _SUMS)
        raise InputError(f"pixels of type {image.dtype} can't be downsampled: they must be one of {kinds}.")
    rows = np.add(image[..., 0::2, :], image[..., 1::2, :], dtype=wide)
    total = rows[..., 0::2] + rows[..., 1::2]
    if wide.kind == "f":
        total *= 0.25
    else:
        total += 2
        total >>= 2  # floors for negative numbers too, so that halves are always rounded up
    halved: npt.NDArray[Any] = total.astype(image.dtype)
    return halved


# The narrowest type that holds the sum of four pixels.
_SUMS = {
    np.dtype(narrow): np.dtype(wide)
    for narrow, wide in {
        "uint8": "uint16", "uint16": "uint32", "uint32": "uint64",
        "int8": "int16", "int16": "int32", "int32": "int64",
        "float32": "float32", "float64": "float64",
    }.items()
}  # fmt: skip
