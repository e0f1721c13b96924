"""How good one field's picture is: four figures that flag blank, blurred, noisy and overexposed fields.

Figures are of the whole plane as read. For integers up to 16 bits everything before the last division is
a whole number, so the figures are the same on any machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.errors import InputError
from nucbatch.features.jit import frozen, kernel

# Cameras of 8 to 16 bits; a 12-bit camera writes 16-bit files and saturates at 4095.
_FULL_SCALES = (2**8 - 1, 2**10 - 1, 2**12 - 1, 2**14 - 1, 2**16 - 1)


def field_quality(plane: npt.NDArray[Any]) -> dict[str, float]:
    """Quality of one plane (Y, X); integer or float, as read.

    Returns:
        ``QC_Saturated``: fraction of pixels at full scale, where the brightest pixel is at the full scale
        of an 8, 10, 12, 14 or 16-bit camera; 0 otherwise and for float images, which have none.
        ``QC_Focus``: variance of the 4-neighbour Laplacian over the variance of the picture. Blurred is
        near 0, pure white noise is 20, whatever gain and offset; 0 for a constant picture. The measure is
        Pech-Pacheco et al.'s (ICPR 2000), divided by the variance to be comparable between fields.
        ``QC_Background``: median grey level. ``QC_Mean``: mean grey level.

    Raises:
        InputError: not a plane of numbers, or empty, or a float plane with NaN or infinity.
    """
    if plane.ndim != 2 or plane.size == 0 or plane.dtype.kind not in "uif":
        raise InputError(f"a plane of shape {plane.shape} and type {plane.dtype}: it must be (Y, X) numbers.")
    if plane.dtype in (np.uint8, np.uint16):
        return _of_integers(frozen(plane, np.uint16))
    return _of_floats(plane.astype(np.float64))


def _of_integers(plane: npt.NDArray[np.uint16]) -> dict[str, float]:
    histogram, rows = _histogram_and_laplacian(plane)
    levels = np.flatnonzero(histogram)
    counts = histogram[levels]
    # Python's integers: the squares of a large 16-bit plane may pass 64 bits.
    total = sum(int(level) * int(count) for level, count in zip(levels, counts, strict=True))
    squares = sum(int(level) ** 2 * int(count) for level, count in zip(levels, counts, strict=True))
    edge, edge_squares = sum(rows[:, 0].tolist()), sum(rows[:, 1].tolist())
    n, inner = plane.size, max(plane.shape[0] - 2, 0) * max(plane.shape[1] - 2, 0)
    spread = n * squares - total * total
    focus = (
        (inner * edge_squares - edge * edge) * n * n / (spread * inner * inner) if spread and inner else 0.0
    )

    cumulated = np.cumsum(counts)
    lower, upper = levels[np.searchsorted(cumulated, [(n - 1) // 2, n // 2], side="right")].tolist()
    brightest = int(levels[-1])
    saturated = int(counts[-1]) / n if brightest in _FULL_SCALES else 0.0
    return _figures(saturated, focus, (lower + upper) / 2, total / n)


def _of_floats(plane: npt.NDArray[np.float64]) -> dict[str, float]:
    if not np.isfinite(plane).all():
        raise InputError("the plane has pixels that are NaN or infinite: every pixel must be a number.")
    variance = float(plane.var())
    focus = 0.0
    if variance > 0 and min(plane.shape) > 2:
        inner = plane[1:-1, 1:-1]
        around = plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:]
        focus = float((around - 4 * inner).var()) / variance
    return _figures(0.0, focus, float(np.median(plane)), float(plane.mean()))


def _figures(saturated: float, focus: float, background: float, mean: float) -> dict[str, float]:
    return {"QC_Saturated": saturated, "QC_Focus": focus, "QC_Background": background, "QC_Mean": mean}


@kernel
def _histogram_and_laplacian(
    plane: npt.NDArray[np.uint16],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pixels per grey level (65536,), and per row the sums of the Laplacian and its square (Y, 2)."""
    height, width = plane.shape
    histogram = np.zeros(65536, np.int64)
    rows = np.zeros((height, 2), np.int64)
    for y in range(height):
        for x in range(width):
            histogram[plane[y, x]] += 1
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            laplacian = (
                np.int64(plane[y - 1, x])
                + np.int64(plane[y + 1, x])
                + np.int64(plane[y, x - 1])
                + np.int64(plane[y, x + 1])
                - 4 * np.int64(plane[y, x])
            )
            rows[y, 0] += laplacian
            rows[y, 1] += laplacian * laplacian
    return histogram, rows
