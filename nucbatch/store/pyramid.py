"""How a pyramid's lower levels are made: which sides, which pixels. Pure arrays.

Each level halves the sides, rounded up. Images take the rounded mean of 2 x 2 pixels, labels the first pixel
of the 2 x 2, so that every label in a lower level is one of the full image. Only integers take part in an
integer image, so the bytes are the same on any machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError

SMALLEST_PX = 320  # a level whose longer side fits this is the last: of a 1,080 px field the one of 270
FEWEST_LEVELS = 2


def level_count(height_px: int, width_px: int) -> int:
    """Levels of an image's pyramid, the full image included; an image and its labels have as many."""
    side, levels = max(height_px, width_px), 1
    while side > SMALLEST_PX or levels < FEWEST_LEVELS:
        side, levels = -(-side // 2), levels + 1
    return levels


def image_pyramid(image: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """The levels (C, Y, X), (C, ceil(Y/2), ceil(X/2)), ... of an image, integer or float, dtype kept."""
    levels = [image]
    for _ in range(level_count(*image.shape[-2:]) - 1):
        levels.append(halved_mean(levels[-1]))
    return levels


def label_pyramid(labels: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """The levels (Y, X), (ceil(Y/2), ceil(X/2)), ... of a label image, dtype kept."""
    levels = [labels]
    for _ in range(level_count(*labels.shape) - 1):
        levels.append(np.ascontiguousarray(levels[-1][::2, ::2]))
    return levels


def halved_mean(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(..., Y, X) → (..., ceil(Y/2), ceil(X/2)): the mean of 2 x 2 pixels, halves rounded up.

    At an odd side's end the mean is over the pixels there are.

    Raises:
        InputError: the pixels are no integers of up to 32 bits and no floats.
    """
    height, width = image.shape[-2:]
    if height % 2 or width % 2:
        # Repeating the last row doubles both pixels of a column, which leaves their mean as it is.
        image = np.pad(image, [(0, 0)] * (image.ndim - 2) + [(0, height % 2), (0, width % 2)], mode="edge")
    wide = _SUMS.get(image.dtype.newbyteorder("="))
    if wide is None:
        kinds = ", ".join(str(dtype) for dtype in _SUMS)
        raise InputError(f"pixels of type {image.dtype} can't be shrunk: they must be one of {kinds}.")
    rows = np.add(image[..., 0::2, :], image[..., 1::2, :], dtype=wide)
    total = rows[..., 0::2] + rows[..., 1::2]
    if wide.kind == "f":
        total *= 0.25
    else:
        total += 2
        total >>= 2  # rounds down for negative numbers too, so that the sum's remainder alone decides
    halved: npt.NDArray[Any] = total.astype(image.dtype)
    return halved


# The narrowest type that holds four pixels' sum.
_SUMS = {
    np.dtype(narrow): np.dtype(wide)
    for narrow, wide in {
        "uint8": "uint16", "uint16": "uint32", "uint32": "uint64",
        "int8": "int16", "int16": "int32", "int32": "int64",
        "float32": "float32", "float64": "float64",
    }.items()
}  # fmt: skip
