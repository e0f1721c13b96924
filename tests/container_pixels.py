"""Pixels of the ND2, LIF and CZI files that tests write: noise by (series, time point, channel, z-step)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHAPE = (48, 64)
CHANNELS = ("DAPI", "GFP")
SIZE_UM = 0.65


def plane(
    series: int = 0, t: int = 0, c: int = 0, z: int = 0, shape: tuple[int, int] = SHAPE
) -> NDArray[np.uint16]:
    """Returns the pixels of a plane: noise, so that no plane can be taken for another."""
    seed = ((series * 50 + t) * 50 + c) * 50 + z
    return np.random.default_rng(seed).integers(1, 4000, shape).astype(np.uint16)


def colours(
    series: int = 0, t: int = 0, c: int = 0, z: int = 0, shape: tuple[int, int] = SHAPE
) -> NDArray[np.uint16]:
    """Returns the pixels (Y, X, 3) of a plane in colour: Red, Green, Blue."""
    return np.stack([plane(series, t, 10 + 3 * c + sample, z, shape) for sample in range(3)], axis=-1)


def field(series: int, t: int, depth: int, channels: int = 2) -> NDArray[np.uint16]:
    """Returns (C, Y, X) of a field as it is read: z-steps projected by maximum."""
    return np.stack([np.max([plane(series, t, c, z) for z in range(depth)], axis=0) for c in range(channels)])
