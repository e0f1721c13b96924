"""Tiles and strips that a TIFF marks as never written: their number and the background that they hold.

Such a segment has offset 0 and byte count 0 (sparse TIFF, as of GDAL and Philips). It is black, or white in
RGB, because scanners of stained tissue leave out tiles of bare glass. A byte count of 0 at any other offset
is damage.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.formats.tiff_samples import YCBCR, converts, photometric_of


def was_never_written(page: Any, index: int) -> bool:
    """Returns whether a segment of a ``tifffile.TiffPage`` was never written."""
    offsets, counts = page.dataoffsets, page.databytecounts
    return index < min(len(offsets), len(counts)) and not (offsets[index] or counts[index])


def count_never_written(begins: NDArray[np.uint64], sizes: NDArray[np.uint64]) -> int:
    """Returns the number of segments never written, from all offsets and byte counts.

    Raises:
        UnreadableImage: a segment at an offset has no bytes.
    """
    empty = sizes == 0
    damaged = empty & (begins != 0)
    if damaged.any():
        number = int(np.argmax(damaged)) + 1
        raise UnreadableImage(f"incomplete: strip or tile {number} of {len(sizes)} has no bytes")
    return int(empty.sum())


def background(page: Any, samples: int, dtype: np.dtype[Any], white: int | None) -> NDArray[Any]:
    """Returns the stored value of background for each used sample.

    Args:
        page: the ``tifffile.TiffPage``.
        samples: number of used samples.
        dtype: of the pixels.
        white: value of a stored 0 if white is zero; None if black is zero.
    """
    values = np.full(samples, white or 0, dtype)
    if samples == 3:
        values[:] = np.iinfo(dtype).max if dtype.kind in "iu" else 1
        if photometric_of(page) == YCBCR and not converts(page):
            values[1:] = 128
    return values
