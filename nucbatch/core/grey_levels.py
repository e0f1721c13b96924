"""Exact histogram of grey levels, independent of how an image was divided.

Percentiles, mean, variance and extremes are computed from integer counts per grey level. Counts of parts add
up to the counts of the whole in any order, so an image surveyed in boxes on several workers gives the same
numbers as the image in one piece. Only 8-bit and 16-bit pixels have few enough levels for this.
"""

from __future__ import annotations

import operator
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError
from nucbatch.core.jit import frozen, kernel

_DTYPES: dict[int, np.dtype[Any]] = {256: np.dtype(np.uint8), 65536: np.dtype(np.uint16)}


def countable(dtype: npt.DTypeLike) -> bool:
    """Returns whether pixels of this type have a histogram: uint8 and uint16, in either byte order."""
    return np.dtype(dtype).newbyteorder("=") in _DTYPES.values()


@dataclass(frozen=True, slots=True, eq=False)
class GreyLevels:
    """Number of pixels per grey level; immutable. ``a + b`` counts the pixels of both.

    >>> levels = GreyLevels.of(np.array([[3, 3], [5, 9]], np.uint8))
    >>> levels.size, levels.minimum, levels.maximum, levels.at_rank(2)
    (4, 3, 9, 3)

    Args:
        counts: (256,) for uint8 or (65536,) for uint16 pixels, int64; copied.

    Raises:
        InputError: counts of another shape or dtype, or a negative count.
    """

    counts: npt.NDArray[np.int64]
    _running: npt.NDArray[np.int64] = field(init=False, repr=False)
    """Number of pixels up to each level."""

    def __post_init__(self) -> None:
        counts = np.array(self.counts)
        if counts.ndim != 1 or counts.size not in _DTYPES or counts.dtype != np.int64 or counts.min() < 0:
            raise InputError(
                f"counts of shape {counts.shape} and type {counts.dtype} are not a grey-level histogram: "
                "they must be (256,) or (65536,) int64, none below 0. Use GreyLevels.of(pixels)."
            )
        counts.flags.writeable = False
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "_running", np.cumsum(counts))

    @classmethod
    def of(cls, pixels: npt.NDArray[Any]) -> GreyLevels:
        """Counts all samples of a uint8 or uint16 array of any shape; RGB samples share one histogram.

        Raises:
            InputError: pixels of another dtype.
        """
        levels = cls.none(pixels.dtype).counts.size
        samples = pixels.ravel(order="K")  # in memory order: copies non-contiguous arrays only
        return cls(_count(frozen(samples, pixels.dtype.newbyteorder("=")), levels))

    @classmethod
    def none(cls, dtype: npt.DTypeLike) -> GreyLevels:
        """Returns the empty histogram for a pixel type, the start of a sum.

        Raises:
            InputError: a dtype other than uint8 and uint16.
        """
        if not countable(dtype):
            raise InputError(
                f"pixels of type {np.dtype(dtype)} have no grey-level histogram: they must be uint8 or "
                "uint16. Convert the image to one of these."
            )
        return cls(np.zeros(256 ** np.dtype(dtype).itemsize, np.int64))

    @classmethod
    def from_bytes(cls, data: bytes) -> GreyLevels:
        """Restores a histogram from :meth:`to_bytes`.

        Raises:
            InputError: the bytes are truncated or changed.
        """
        try:
            return cls(np.frombuffer(zlib.decompress(data), "<i8").astype(np.int64))
        except (zlib.error, ValueError) as error:
            raise InputError(
                f"a stored grey-level histogram of {len(data)} bytes is damaged ({error}): it must come "
                "from GreyLevels.to_bytes. Count the pixels again."
            ) from error

    def to_bytes(self) -> bytes:
        """Compresses the counts, with a checksum: about 3 to 100 kB for a 16-bit box of 4096 px."""
        return zlib.compress(self.counts.astype("<i8").tobytes(), level=1)

    def __add__(self, other: GreyLevels) -> GreyLevels:
        if self.dtype != other.dtype:
            raise InputError(
                f"grey-level histograms of {self.dtype} and {other.dtype} pixels can't be added: all parts "
                "of an image must have one pixel type."
            )
        return GreyLevels(self.counts + other.counts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GreyLevels) and np.array_equal(self.counts, other.counts)

    def __hash__(self) -> int:
        return hash(self.counts.tobytes())

    def __reduce__(self) -> tuple[Callable[[bytes], GreyLevels], tuple[bytes]]:
        # A pickled array would come back writeable. This form is also smaller to send between workers.
        return GreyLevels.from_bytes, (self.to_bytes(),)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the counted pixels: uint8 or uint16."""
        return _DTYPES[self.counts.size]

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(self._running[-1])

    @property
    def total(self) -> int:
        """Sum of all grey levels."""
        return self._sum(power=1)

    @property
    def squares(self) -> int:
        """Sum of the squares of all grey levels."""
        return self._sum(power=2)

    @property
    def minimum(self) -> int:
        """Grey level of the darkest pixel.

        Raises:
            InputError: there are no pixels.
        """
        return self.at_rank(1)

    @property
    def maximum(self) -> int:
        """Grey level of the brightest pixel.

        Raises:
            InputError: there are no pixels.
        """
        return self.at_rank(self.size)

    def at_rank(self, rank: int) -> int:
        """Returns the grey level of the pixel with this rank; rank 1 is the darkest pixel.

        Raises:
            InputError: the rank is below 1 or above the number of pixels.
        """
        if not 1 <= rank <= self.size:
            raise InputError(
                f"rank {rank} is out of range for {self.size} pixels: ranks go from 1 to the number of "
                "pixels, and an image must have at least one pixel."
            )
        return int(np.searchsorted(self._running, rank))

    def _sum(self, power: int) -> int:
        levels = np.flatnonzero(self.counts)
        powers, counts = levels**power, self.counts[levels]
        if not len(levels) or int(powers[-1]) * self.size < 2**63:
            return int((powers * counts).sum())
        # Python integers: the sum of squares of a large 16-bit image overflows 64 bits.
        return sum(map(operator.mul, powers.tolist(), counts.tolist()))


@kernel
def _count(samples: npt.NDArray[Any], levels: int) -> npt.NDArray[np.int64]:  # pragma: no cover (compiled)
    """Counts samples per value, in an eighth of the time of ``np.bincount``, which copies them to 64 bits."""
    counts = np.zeros(levels, np.int64)
    for sample in samples:
        counts[sample] += 1
    return counts
