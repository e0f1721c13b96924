"""Detects image rows that were never copied: their pixels read as exact zeros.

An interrupted copy leaves zeros from some point to the end of the file, or a block of zeros in the middle.
Camera black is not zero, but an exported picture may have a background clipped to zero, or a round mask.
The fraction of zeros in the occupied rows therefore decides how to read the empty rows:

- Almost no zeros elsewhere: empty rows are missing data.
- Many zeros elsewhere: only a long empty end of the plane is missing data.
- Almost all zeros elsewhere: no conclusion is possible, and nothing is reported.

Measured on 1,266 real pictures (38 with more than 1 % zeros, 6 of them masked): no false alarm. With the
second half of the pixels set to zero, all are detected except one whose background is zero almost everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_SELDOM_ZERO = 0.01
"""Up to this fraction of zeros in the occupied rows, empty rows count as missing data."""
_OFTEN_ZERO = 0.9
"""Above this fraction of zeros in the occupied rows, empty rows are expected and not reported."""
_LEAST_PART, _LEAST_PART_OF_CLIPPED = 0.01, 0.2
"""Smallest reported fraction of a plane's rows; the second value is for pictures with clipped backgrounds."""
_LARGEST_MARGINS_RATIO = 2
"""A mask leaves empty rows above and below. A bottom margin larger than this times the top one is no mask."""


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """Occupied rows and zero counts of one plane or a part of it; ``a + b`` joins parts of one plane.

    Attributes:
        occupied: (Y,) bool, the rows of the plane that hold a non-zero value.
        zeros: number of zero values (pixels × samples) in the surveyed rows.
        values: number of values (pixels × samples) in the surveyed rows.
        missing: number of values in tiles, chunks or disk blocks known to be absent from the file.
    """

    occupied: npt.NDArray[np.bool_]
    zeros: int = 0
    values: int = 0
    missing: int = 0

    @classmethod
    def of(cls, pixels: npt.NDArray[Any], height_px: int, top: int = 0, missing: int = 0) -> Coverage:
        """Computes the coverage of pixels (Y, X) or (Y, X, S) cut from a plane.

        Args:
            pixels: any numeric dtype.
            height_px: height of the whole plane.
            top: row of the plane at which ``pixels`` begin.
            missing: number of these values that are known to be absent from the file.
        """
        occupied = np.zeros(height_px, bool)
        occupied[top : top + len(pixels)] = pixels.reshape(len(pixels), -1).any(axis=1)
        zeros = pixels.size - int(np.count_nonzero(pixels))
        return cls(occupied, zeros, pixels.size, missing)

    def __add__(self, other: Coverage) -> Coverage:
        return Coverage(
            self.occupied | other.occupied,
            self.zeros + other.zeros,
            self.values + other.values,
            self.missing + other.missing,
        )

    @property
    def absent(self) -> float:
        """Estimated fraction of the plane that was never written, 0 to 1."""
        return max(self.missing / self.values if self.values else 0.0, self._zero_rows())

    def _zero_rows(self) -> float:
        height = len(self.occupied)
        filled = np.flatnonzero(self.occupied)
        if not len(filled):
            return 1.0
        first, last = int(filled[0]), int(filled[-1])
        below, inside = height - 1 - last, last - first + 1 - len(filled)
        if below <= _LARGEST_MARGINS_RATIO * first:
            below = 0
        row_values = self.values // height
        # The row in which the zeros begin may be partly empty, so it is left out of the estimate.
        whole = len(filled) - (below > 0)
        outside = (height - whole) * row_values
        zeros = max(0, self.zeros - outside) / max(whole * row_values, 1)
        if zeros <= _SELDOM_ZERO:
            part = (below + inside) / height
            return part if part >= _LEAST_PART else 0.0
        part = below / height
        return part if zeros <= _OFTEN_ZERO and part >= _LEAST_PART_OF_CLIPPED else 0.0

    def to_values(self) -> list[Any]:
        """Converts to plain values for JSON."""
        rows = np.packbits(self.occupied).tobytes().hex()
        return [rows, len(self.occupied), self.zeros, self.values, self.missing]

    @classmethod
    def from_values(cls, values: list[Any]) -> Coverage:
        """Restores a coverage from :meth:`to_values`."""
        rows, height, *counts = values[:5]  # earlier versions wrote a sixth
        packed = np.frombuffer(bytes.fromhex(rows), np.uint8)
        return cls(np.unpackbits(packed, count=height).astype(bool), *counts)


def largest_absent(planes: Iterable[Coverage]) -> float:
    """Returns the largest absent fraction of several planes, 0 to 1; 0 without planes."""
    return max((plane.absent for plane in planes), default=0.0)
