"""Resamples images window by window, with the same bits as resampling the whole image.

An output pixel depends on its absolute position, the two images' shapes and the pixels under its filter,
never on the window it is computed in. Weights come from absolute indices in float64 and are rounded once. A
pixel's sum runs over its own taps in a fixed order, rows first, then columns. Numba neither reorders such a
sum nor fuses its multiplications.

The filter is a triangle: two source pixels wide for enlargement, and wider by the reduction factor for
reduction. It is cut off at the image's border and normalised. Source: torch's
``interpolate(mode="bilinear", antialias=True, align_corners=False)`` (ATen/native/cpu/UpSampleKernel.cpp,
``_compute_indices_min_size_weights_aa``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError
from nucbatch.core.jit import frozen, kernel
from nucbatch.core.tiles import Box


def support(box: Box, shape: tuple[int, int], source_shape: tuple[int, int]) -> Box:
    """Returns the window of the source image that an output window depends on.

    It always contains the source pixel nearest to each output pixel's centre.

    Args:
        box: the output window, in pixels of the resampled image.
        shape: (height, width) of the resampled image in px.
        source_shape: (height, width) of the source image in px.

    Raises:
        InputError: ``box`` is empty or extends beyond ``shape``.
    """
    if not (0 <= box.y0 < box.y1 <= shape[0] and 0 <= box.x0 < box.x1 <= shape[1]):
        raise InputError(
            f"{box} is not a window of {shape[0]} × {shape[1]} px: give one that lies within it."
        )
    # First and last tap never decrease from one output pixel to the next, so the ends suffice.
    rows, columns = (
        _reach(np.array([begin, end - 1]), length, source_length)
        for begin, end, length, source_length in (
            (box.y0, box.y1, shape[0], source_shape[0]),
            (box.x0, box.x1, shape[1], source_shape[1]),
        )
    )
    return Box(int(rows[0][0]), int(columns[0][0]), int(rows[1][1]), int(columns[1][1]))


def resampled(
    source: NDArray[np.float32],
    held: Box,
    box: Box,
    shape: tuple[int, int],
    source_shape: tuple[int, int],
) -> NDArray[np.float32]:
    """Resamples a window of an image.

    Args:
        source: pixels (C, y, x) float32 of ``held``.
        held: the window of the source image; must cover ``support(box, shape, source_shape)``. Pixels
            beyond that have no effect.
        box: the output window, in pixels of the resampled image.
        shape: (height, width) of the resampled image in px.
        source_shape: (height, width) of the source image in px.

    Returns:
        Pixels (C, *box.shape) float32 of ``box``.

    Raises:
        InputError: ``box`` extends beyond ``shape``, ``source`` has not the shape of ``held``, or ``held`` is
            too small.
    """
    check_held(source.shape, held, support(box, shape, source_shape))
    rows = _taps(box.y0, box.y1, shape[0], source_shape[0], held.y0)
    columns = _taps(box.x0, box.x1, shape[1], source_shape[1], held.x0)
    out = np.empty((len(source), *box.shape), np.float32)
    _sum_taps(frozen(source, np.float32), *rows, *columns, out)
    return out


def check_held(window_shape: tuple[int, ...], held: Box, needed: Box) -> None:
    """Checks that pixels (…, y, x) have the shape of ``held``, and that ``held`` covers ``needed``.

    Raises:
        InputError: they do not; the message has both windows.
    """
    if window_shape[-2:] != held.shape:
        raise InputError(f"pixels of shape {window_shape} are not those of {held}: give all of that window.")
    covers = held.y0 <= needed.y0 and held.x0 <= needed.x0 and held.y1 >= needed.y1 and held.x1 >= needed.x1
    if not covers:
        raise InputError(f"the window {held} is too small: give at least {needed}.")


def _reach(
    index: NDArray[np.int64], length: int, source_length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns first and end (exclusive) of the source pixels under each output pixel's filter; (n,) int64."""
    centre = (index + 0.5) * source_length / length
    half_width = max(1.0, source_length / length)
    first = np.maximum(np.floor(centre - half_width + 0.5), 0)
    stop = np.minimum(np.floor(centre + half_width + 0.5), source_length)
    return first.astype(np.int64), stop.astype(np.int64)


def _taps(
    begin: int, end: int, length: int, source_length: int, held_begin: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Computes each output pixel's filter along one axis.

    Returns:
        First tap (n,) int64, relative to ``held_begin``; number of taps (n,) int64; weights (n, most taps)
        float32.
    """
    index = np.arange(begin, end)
    first, stop = _reach(index, length, source_length)
    tap = np.arange((stop - first).max())
    centre = (index + 0.5) * source_length / length
    away = (first[:, np.newaxis] + tap + 0.5 - centre[:, np.newaxis]) / max(1.0, source_length / length)
    triangle = np.where(tap < (stop - first)[:, np.newaxis], np.maximum(1 - np.abs(away), 0), 0)
    # Use a cumulative sum: sum() may change its order with the largest number of taps in the window.
    total = np.cumsum(triangle, axis=1)[:, -1:]
    return first - held_begin, stop - first, np.asarray(triangle / total, np.float32)


@kernel
def _sum_taps(
    source: NDArray[np.float32],
    first_row: NDArray[np.int64],
    row_taps: NDArray[np.int64],
    row_weights: NDArray[np.float32],
    first_column: NDArray[np.int64],
    column_taps: NDArray[np.int64],
    column_weights: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:  # pragma: no cover (compiled)
    """Fills ``out`` (C, y, x): sums weighted rows, then weighted columns. Needs memory for one row."""
    channels, height, width = out.shape
    source_width = source.shape[2]
    blended = np.empty(source_width, np.float32)
    for channel in range(channels):
        for y in range(height):
            blended[:] = np.float32(0)
            for tap in range(row_taps[y]):
                weight = row_weights[y, tap]
                line = source[channel, first_row[y] + tap]
                for x in range(source_width):
                    blended[x] += weight * line[x]
            for x in range(width):
                total = np.float32(0)
                for tap in range(column_taps[x]):
                    total += column_weights[x, tap] * blended[first_column[x] + tap]
                out[channel, y, x] = total
