"""``Region``: the pixels of every object that are measured together, as runs along rows.

Nuclei, their edges and their rings are regions; each object has one part, which may be empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nucbatch.core.jit import kernel
from nucbatch.core.rle import Runs


@dataclass(frozen=True, slots=True)
class Region:
    """Pixels of N objects.

    ``areas_px`` (N,) int64: number of pixels. ``runs``: R runs along rows in raster order, each of one
    object. ``owner`` (R,) int64: index of each run's object, 0..N - 1.
    """

    areas_px: npt.NDArray[np.int64]
    runs: Runs
    owner: npt.NDArray[np.int64]

    @classmethod
    def of(cls, runs: Runs, owner: npt.NDArray[np.int64], count: int) -> Region:
        """Counts the pixels of each of ``count`` objects."""
        return cls(_areas(runs.begin, runs.end, owner, count), runs, owner)

    @property
    def count(self) -> int:
        """N, the number of objects."""
        return len(self.areas_px)

    @property
    def begins(self) -> npt.NDArray[np.int64]:
        """Where each object's values begin if they are listed object by object, (N + 1,) int64."""
        begins = np.zeros(self.count + 1, np.int64)
        np.cumsum(self.areas_px, out=begins[1:])
        return begins


@kernel
def _areas(
    begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64], owner: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.int64]:  # pragma: no cover (compiled)
    areas = np.zeros(count, np.int64)
    for run in range(len(begin)):
        areas[owner[run]] += end[run] - begin[run]
    return areas
