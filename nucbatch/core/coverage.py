"""Which rows of a plane hold anything: finds pixels that were never copied, which read as exact zeros.

A copy that broke off leaves zeros from somewhere to the end of the file, or a hole of them. A camera's black
is not zero, but exported pictures may have a black ground that was clipped to zero, or a round mask. So zero
rows are judged by the rows beside them: where those hold hardly any zero, zero rows are no picture; where
they hold many, only a long end is; where they are nearly all zeros, nothing can be said. Of 1,266 real
pictures (38 with more than 1 % of zeros, 6 of them masked) none is said to lack a pixel; with the second half
of their pixels set to zero all are found but one, whose ground is zero almost everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_SELDOM_ZERO = 0.01
"""Part of zeros, in rows that hold something, up to which a row of zeros is no picture."""
_OFTEN_ZERO = 0.9
"""Above it, rows without anything are to be expected."""
_LEAST_PART, _LEAST_PART_OF_CLIPPED = 0.01, 0.2
"""Of a plane's rows, from which on zero rows count as absent."""
_LARGEST_MARGINS_RATIO = 2
"""A mask leaves zero rows above as well as below; more than this times as many below are no mask."""


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """What is there of one plane, or of some rows or columns of it; ``a + b`` joins parts of one plane.

    ``occupied``: (Y,) bool, the plane's rows that hold a value other than zero. ``zeros``, ``values``: how
    many values (pixels times samples) are zero, and how many there are, in all rows. ``missing``, ``pieces``:
    how many tiles or chunks are known not to be stored, and how many should be.
    """

    occupied: npt.NDArray[np.bool_]
    zeros: int = 0
    values: int = 0
    missing: int = 0
    pieces: int = 0

    @classmethod
    def of(
        cls, pixels: npt.NDArray[Any], height_px: int, top: int = 0, missing: int = 0, stored: int = 0
    ) -> Coverage:
        """The coverage by pixels (Y, X) or (Y, X, S) that begin at row ``top`` of a plane so many rows high.

        ``missing`` and ``stored`` count the tiles or chunks that they were read from.
        """
        occupied = np.zeros(height_px, bool)
        occupied[top : top + len(pixels)] = pixels.reshape(len(pixels), -1).any(axis=1)
        zeros = pixels.size - int(np.count_nonzero(pixels))
        return cls(occupied, zeros, pixels.size, missing, missing + stored)

    def __add__(self, other: Coverage) -> Coverage:
        return Coverage(
            self.occupied | other.occupied,
            self.zeros + other.zeros,
            self.values + other.values,
            self.missing + other.missing,
            self.pieces + other.pieces,
        )

    @property
    def absent(self) -> float:
        """The part of the plane (0 to 1) that was never written, as far as can be told."""
        stored = self.missing / self.pieces if self.pieces else 0.0
        return max(stored, self._zero_rows())

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
        # The row in which zeros begin may be zero up to its last value: it says nothing of the others.
        whole = len(filled) - (below > 0)
        outside = (height - whole) * row_values
        zeros = max(0, self.zeros - outside) / max(whole * row_values, 1)
        if zeros <= _SELDOM_ZERO:
            part = (below + inside) / height
            return part if part >= _LEAST_PART else 0.0
        part = below / height
        return part if zeros <= _OFTEN_ZERO and part >= _LEAST_PART_OF_CLIPPED else 0.0

    def to_values(self) -> list[Any]:
        """The same as plain values for JSON."""
        rows = np.packbits(self.occupied).tobytes().hex()
        return [rows, len(self.occupied), self.zeros, self.values, self.missing, self.pieces]

    @classmethod
    def from_values(cls, values: list[Any]) -> Coverage:
        """What :meth:`to_values` made."""
        rows, height, *counts = values
        packed = np.frombuffer(bytes.fromhex(rows), np.uint8)
        return cls(np.unpackbits(packed, count=height).astype(bool), *counts)


def largest_absent(planes: Iterable[Coverage]) -> float:
    """The part that is absent of the plane that lacks most; 0 without planes."""
    return max((plane.absent for plane in planes), default=0.0)
