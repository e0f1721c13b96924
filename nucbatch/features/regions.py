"""``Region``: the pixels of every object that are measured together, as runs along rows.

Nuclei, their edges and their rings are regions; each object has one part, which may be empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nucbatch.core.jit import kernel
from nucbatch.core.rle import Runs


@dataclass(frozen=True)
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

    @cached_property
    def begins(self) -> npt.NDArray[np.int64]:
        """Where each object's values begin if they are listed object by object, (N + 1,) int64."""
        begins = np.zeros(self.count + 1, np.int64)
        np.cumsum(self.areas_px, out=begins[1:])
        return begins

    @cached_property
    def listed(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        """Each pixel (P,) in raster order: its linear index (below 2³²), and its place object by object.

        Values of a channel are copied object by object with these, without a loop for each short run.
        """
        pixels, places = np.empty((2, int(self.begins[-1])), np.uint32)
        _list(self.runs.begin, self.runs.end, self.owner, self.begins, pixels, places)
        return pixels, places


@kernel
def _list(
    begin: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    owner: npt.NDArray[np.int64],
    begins: npt.NDArray[np.int64],
    pixels: npt.NDArray[np.uint32],
    places: npt.NDArray[np.uint32],
) -> None:  # pragma: no cover (compiled)
    filled = begins.copy()
    count = np.uint64(0)  # Numba takes a negative index from the end, which costs time; this can't be one
    for run in range(len(begin)):
        at = owner[run]
        to = filled[at]
        for pixel in range(begin[run], end[run]):
            pixels[count], places[count] = pixel, to
            count += np.uint64(1)
            to += 1
        filled[at] = to


@kernel
def _areas(
    begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64], owner: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.int64]:  # pragma: no cover (compiled)
    areas = np.zeros(count, np.int64)
    for run in range(len(begin)):
        areas[owner[run]] += end[run] - begin[run]
    return areas
