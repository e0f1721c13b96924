"""Pixels on another grid, window by window: what a pixel becomes, and which pixels it is made of.

The decision owned here: an output pixel depends on its absolute position, the two images' shapes and the
pixels under its filter, never on the window it is computed in. Weights come from absolute indices in
float64 and are rounded once; a pixel's sum runs over its own taps alone, columns of rows, in one order.
Numba neither reorders such a sum nor fuses its multiplications, so a window and the whole image give the
same bits.

The filter is a triangle, two source pixels wide where the image grows and as many times wider as it shrinks,
cut off at the image's border and normalised: torch's ``interpolate(mode="bilinear", antialias=True,
align_corners=False)`` (ATen/native/cpu/UpSampleKernel.cpp, ``_compute_indices_min_size_weights_aa``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError
from nucbatch.core.jit import frozen, kernel
from nucbatch.core.tiles import Box


def support(box: Box, shape: tuple[int, int], source_shape: tuple[int, int]) -> Box:
    """The pixels of a source of ``source_shape`` that ``box`` of its resampling to ``shape`` is made of.

    Shapes are (height, width) in pixels. The pixel nearest to an output pixel's centre is always among them.

    Raises:
        InputError: ``box`` is empty or reaches out of ``shape``.
    """
    if not (0 <= box.y0 < box.y1 <= shape[0] and 0 <= box.x0 < box.x1 <= shape[1]):
        raise InputError(f"{box} is no window of {shape[0]} × {shape[1]} px: give one that lies within it.")
    # Both ends of the taps never step back from one output pixel to the next.
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
    """Pixels (C, y, x) float32 of ``held`` → (C, *box.shape) float32 of the resampling to ``shape``.

    Args:
        source: the pixels of ``held``, a window of an image (C, Y, X) of ``source_shape`` (Y, X).
        held: covers ``support(box, shape, source_shape)``; what it has beyond that changes nothing.
        box: the window wanted, in pixels of an image of ``shape``.

    Raises:
        InputError: ``box`` is no window of ``shape``, or ``source`` is not what its windows say.
    """
    check_held(source.shape, held, support(box, shape, source_shape))
    rows = _taps(box.y0, box.y1, shape[0], source_shape[0], held.y0)
    columns = _taps(box.x0, box.x1, shape[1], source_shape[1], held.x0)
    out = np.empty((len(source), *box.shape), np.float32)
    _sum_taps(frozen(source, np.float32), *rows, *columns, out)
    return out


def check_held(window_shape: tuple[int, ...], held: Box, needed: Box) -> None:
    """Refuse pixels (…, y, x) that are not of ``held``, and a ``held`` that does not cover ``needed``.

    Raises:
        InputError: with what was given and what is needed.
    """
    if window_shape[-2:] != held.shape:
        raise InputError(f"pixels of shape {window_shape} are not those of {held}: give all of that window.")
    covers = held.y0 <= needed.y0 and held.x0 <= needed.x0 and held.y1 >= needed.y1 and held.x1 >= needed.x1
    if not covers:
        raise InputError(f"the pixels of {held} are too few: {needed} is needed. Give at least that window.")


def _reach(
    index: NDArray[np.int64], length: int, source_length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First source pixel under the filter of each output pixel, and the one after the last, int64."""
    centre = (index + 0.5) * source_length / length
    half_width = max(1.0, source_length / length)
    first = np.maximum(np.floor(centre - half_width + 0.5), 0)
    stop = np.minimum(np.floor(centre + half_width + 0.5), source_length)
    return first.astype(np.int64), stop.astype(np.int64)


def _taps(
    begin: int, end: int, length: int, source_length: int, held_begin: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """First tap (n,) counted from ``held_begin``, number of taps (n,), weights (n, most taps) float32."""
    index = np.arange(begin, end)
    first, stop = _reach(index, length, source_length)
    tap = np.arange((stop - first).max())
    centre = (index + 0.5) * source_length / length
    away = (first[:, np.newaxis] + tap + 0.5 - centre[:, np.newaxis]) / max(1.0, source_length / length)
    triangle = np.where(tap < (stop - first)[:, np.newaxis], np.maximum(1 - np.abs(away), 0), 0)
    # A running sum, because sum() may add in another order where a window has another number of taps.
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
    """Fill ``out`` (C, y, x): rows are blended into one, then that row's columns. Extra memory: one row."""
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
