"""Clusters of an image's colours by direction in L*a*b*, for segmenting stained tissue without weights.

K-means with the cosine distance compares directions of colours from black, (L*, a*, b*) / length: how
strong a stain is in relation to the light that passes, and its hue. Directions are counted on a grid, so that
the counts of an image's parts add up to those of the whole, and the clusters do not depend on blocks.

Source: Bora and Gupta, "A Novel Approach Towards Clustering Based Image Segmentation", International Journal
of Emerging Science and Engineering 2(11), 2014 (arXiv:1506.01710).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError
from nucbatch.core.grey_levels import GreyLevels, countable
from nucbatch.core.jit import frozen, kernel

CLUSTERS = 3
"""Glass, the counterstain and the nuclear stain."""
LEAST_APART_DEGREES = 7.0
"""An image whose nuclear cluster is closer to another one has no stain, or nothing but noise.

In the stained training images the least is 9.6; in white with noise of 8 grey levels, the angle is 5.
"""
_SIDE = 256  # of the grid; an odd number of cells is used, so that grey lies in the middle of one
_CELLS_PER_HALF_TURN = 254
_MIDDLE = 127
_PASSES = 100

Directions = npt.NDArray[np.float64]


def require_colours(shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    """Checks that an image has colours that can be counted.

    Raises:
        InputError: it is not (Y, X, 3) uint8 or uint16.
    """
    if len(shape) != 3 or shape[-1] != 3 or not countable(dtype):
        raise InputError(
            f"an image of shape {shape} and type {np.dtype(dtype)} has no colours to cluster: give an RGB "
            "image (Y, X, 3) of 8 or 16 bits, or take another model."
        )


def directions_of(image: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """Returns the cell (Y, X) of the direction of each pixel's colour.

    The grid is an azimuthal equidistant map around grey: the distance from its middle is the angle between
    the colour and grey, the direction from its middle is the hue.

    Args:
        image: sRGB (Y, X, 3), uint8 or uint16.

    Raises:
        InputError: another shape or type.
    """
    require_colours(image.shape, image.dtype)
    pixels = frozen(image, image.dtype.newbyteorder("=")).reshape(-1, 3)
    return _cells(pixels, _linear(image.dtype.itemsize)).reshape(image.shape[:2])


def clusters(levels: GreyLevels) -> tuple[tuple[float, float, float], ...]:
    """Finds the clusters of an image's colours.

    Args:
        levels: number of pixels of each cell of :func:`directions_of`.

    Returns:
        The direction (L*, a*, b*) of each cluster's centre, the nuclei's first: the bluest, as haematoxylin
        is blue. Empty if the image has no stain.

    Raises:
        InputError: there are no pixels.
    """
    levels.at_rank(1)  # raises if there are no pixels
    filled = np.flatnonzero(levels.counts)
    if len(filled) < CLUSTERS:
        return ()
    centres = _means(_vectors(filled), levels.counts[filled].astype(np.float64))
    centres = centres[np.argsort(centres[:, 2], kind="stable")]
    closest = float((centres[1:] @ centres[0]).max())
    if closest > math.cos(math.radians(LEAST_APART_DEGREES)):
        return ()
    return tuple((float(light), float(a), float(b)) for light, a, b in centres)


def in_first_cluster(
    image: npt.NDArray[Any], centres: tuple[tuple[float, float, float], ...]
) -> npt.NDArray[np.float32]:
    """Returns 1 where a pixel's colour is closest to the first centre, else 0; (Y, X) float32."""
    return np.asarray(_members(centres)[directions_of(image)])


@lru_cache(maxsize=16)
def _members(centres: tuple[tuple[float, float, float], ...]) -> npt.NDArray[np.float32]:
    """Whether each cell belongs to the first centre, (65536,) float32."""
    alike = _vectors(np.arange(_SIDE * _SIDE)) @ np.array(centres).T
    members: npt.NDArray[np.float32] = (alike[:, 0] > alike[:, 1:].max(axis=1)).astype(np.float32)
    members.flags.writeable = False
    return members


def _means(vectors: Directions, weights: npt.NDArray[np.float64]) -> Directions:
    """The centres (K, 3) of the clusters of unit vectors (N, 3), by K-means with the cosine distance.

    The first centre is the mean of all. Each further one is the vector farthest from those before, by
    distance times the root of its weight, so that rare colours are no centres. Nothing is random.
    """
    centres = [_unit((vectors * weights[:, None]).sum(axis=0))]
    while len(centres) < CLUSTERS:
        distance = 1 - np.max([vectors @ centre for centre in centres], axis=0)
        centres.append(vectors[int(np.argmax(distance * np.sqrt(weights)))])
    found = np.array(centres)
    nearest = np.zeros(0)
    for _ in range(_PASSES):
        before, nearest = nearest, np.argmax(vectors @ found.T, axis=1)
        if np.array_equal(before, nearest):
            break
        for number in range(CLUSTERS):
            inside = nearest == number
            if inside.any():
                found[number] = _unit((vectors[inside] * weights[inside, None]).sum(axis=0))
    return found


def _unit(vector: Directions) -> Directions:
    return np.asarray(vector / np.linalg.norm(vector))


def _vectors(cells: npt.NDArray[np.int64]) -> Directions:
    """The unit vectors (N, 3), as (L*, a*, b*), of the middles of cells (N,)."""
    b, a = ((part - _MIDDLE) * (np.pi / _CELLS_PER_HALF_TURN) for part in np.divmod(cells, _SIDE))
    angle = np.hypot(a, b)
    scale = np.sinc(angle / np.pi)  # sin(angle) / angle
    return np.stack([np.cos(angle), a * scale, b * scale], axis=-1)


@lru_cache(maxsize=2)
def _linear(itemsize: int) -> npt.NDArray[np.float64]:
    """The light of each sRGB level of 8 or 16 bits, 0 to 1 (IEC 61966-2-1)."""
    level = np.linspace(0, 1, 256**itemsize)
    return frozen(np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4), np.float64)


@kernel
def _cells(
    pixels: npt.NDArray[Any], linear: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint16]:  # pragma: no cover (compiled)
    """Cells (N,) of sRGB pixels (N, 3): CIE XYZ, then L*a*b* under D65 (CIE 15:2004)."""
    cells = np.empty(len(pixels), np.uint16)
    for index in range(len(pixels)):
        red, green, blue = linear[pixels[index, 0]], linear[pixels[index, 1]], linear[pixels[index, 2]]
        x = _cube_root((0.412453 * red + 0.357580 * green + 0.180423 * blue) / 0.950456)
        y = _cube_root(0.212671 * red + 0.715160 * green + 0.072169 * blue)
        z = _cube_root((0.019334 * red + 0.119193 * green + 0.950227 * blue) / 1.088754)
        light, a, b = 116 * y - 16, 500 * (x - y), 200 * (y - z)
        chroma = math.sqrt(a * a + b * b)
        cell = 0.0 if chroma < 1e-9 else math.atan2(chroma, light) / chroma * _CELLS_PER_HALF_TURN / math.pi
        row = min(max(math.floor(b * cell + _MIDDLE + 0.5), 0), 2 * _MIDDLE)
        column = min(max(math.floor(a * cell + _MIDDLE + 0.5), 0), 2 * _MIDDLE)
        cells[index] = row * _SIDE + column
    return cells


@kernel
def _cube_root(value: float) -> float:  # pragma: no cover (compiled)
    return value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116
