"""How many pixels have which grey level: an exact histogram that is the same however an image was cut.

The decision owned here: whatever is said of all pixels of an image (percentiles, mean, variance, extremes) is
said of whole numbers counted per grey level. Counts of parts add up to the counts of the whole in any order,
so an image surveyed box by box on several workers has the very numbers of the same image in one piece.
Only pixels of 8 and 16 bits have so few levels that they can all be counted.
"""

from __future__ import annotations

import operator
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError
from nucbatch.core.jit import frozen, kernel

_DTYPES: dict[int, np.dtype[Any]] = {256: np.dtype(np.uint8), 65536: np.dtype(np.uint16)}


def countable(dtype: npt.DTypeLike) -> bool:
    """Whether pixels of this type can be counted per level: uint8 and uint16, in either byte order."""
    return np.dtype(dtype).newbyteorder("=") in _DTYPES.values()


@dataclass(frozen=True, slots=True, eq=False)
class GreyLevels:
    """Pixels per grey level; immutable. ``a + b`` counts the pixels of both.

    Args:
        counts: (256,) for uint8 or (65536,) for uint16 pixels, int64; copied.

    Raises:
        InputError: counts of another shape or type, or below 0.
    """

    counts: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        counts = np.array(self.counts)
        if counts.ndim != 1 or counts.size not in _DTYPES or counts.dtype != np.int64 or counts.min() < 0:
            raise InputError(
                f"counts of shape {counts.shape} and type {counts.dtype} are no histogram of pixels: they "
                "must be (256,) or (65536,) int64, none below 0. GreyLevels.of(pixels) counts them."
            )
        counts.flags.writeable = False
        object.__setattr__(self, "counts", counts)

    @classmethod
    def of(cls, pixels: npt.NDArray[Any]) -> GreyLevels:
        """Counts all samples of an array of any shape, uint8 or uint16; those of RGB fall into one histogram.

        Raises:
            InputError: pixels of another type.
        """
        levels = cls.none(pixels.dtype).counts.size
        samples = pixels.ravel(order="K")  # in the order they lie in: a copy only where there are gaps
        return cls(_count(frozen(samples, pixels.dtype.newbyteorder("=")), levels))

    @classmethod
    def none(cls, dtype: npt.DTypeLike) -> GreyLevels:
        """No pixels of this type: what sums start from.

        Raises:
            InputError: a type other than uint8 and uint16.
        """
        if not countable(dtype):
            raise InputError(
                f"pixels of type {np.dtype(dtype)} can't be counted per grey level: they must be uint8 "
                "or uint16. Convert the image to one of these."
            )
        return cls(np.zeros(256 ** np.dtype(dtype).itemsize, np.int64))

    @classmethod
    def from_bytes(cls, data: bytes) -> GreyLevels:
        """What :meth:`to_bytes` made.

        Raises:
            InputError: the bytes are cut short or changed.
        """
        try:
            return cls(np.frombuffer(zlib.decompress(data), "<i8").astype(np.int64))
        except (zlib.error, ValueError) as error:
            raise InputError(
                f"{len(data)} bytes that should be counts of grey levels are damaged ({error}): they must be "
                "what GreyLevels.to_bytes made. Count the pixels again."
            ) from error

    def to_bytes(self) -> bytes:
        """The counts, compressed, with a checksum: some 3 to 100 kB for a 16-bit box of 4096 px."""
        return zlib.compress(self.counts.astype("<i8").tobytes(), level=1)

    def __add__(self, other: GreyLevels) -> GreyLevels:
        if self.dtype != other.dtype:
            raise InputError(
                f"grey levels of {self.dtype} and {other.dtype} pixels can't be added: all parts of an image "
                "must have one type."
            )
        return GreyLevels(self.counts + other.counts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GreyLevels) and np.array_equal(self.counts, other.counts)

    def __hash__(self) -> int:
        return hash(self.counts.tobytes())

    def __reduce__(self) -> tuple[Callable[[bytes], GreyLevels], tuple[bytes]]:
        # An unpickled array could be written to; and this is smaller on its way between workers.
        return GreyLevels.from_bytes, (self.to_bytes(),)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels that were counted: uint8 or uint16."""
        return _DTYPES[self.counts.size]

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(self.counts.sum())

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
        """The darkest pixel's level; InputError if there are no pixels."""
        return self.at_rank(1)

    @property
    def maximum(self) -> int:
        """The brightest pixel's level; InputError if there are no pixels."""
        return self.at_rank(self.size)

    def at_rank(self, rank: int) -> int:
        """The smallest level that at least ``rank`` pixels do not exceed; rank 1 is the darkest pixel.

        Raises:
            InputError: there are no pixels, or not as many, or the rank is below 1.
        """
        if not 1 <= rank <= self.size:
            raise InputError(
                f"no pixel of {self.size} has rank {rank}: ranks go from 1 to the number of pixels, and an "
                "image must have at least one pixel."
            )
        return int(np.searchsorted(np.cumsum(self.counts), rank))

    def _sum(self, power: int) -> int:
        # Python's integers: the squares of a large 16-bit image pass 64 bits.
        levels = np.flatnonzero(self.counts)
        return sum(map(operator.mul, (levels**power).tolist(), self.counts[levels].tolist()))


@kernel
def _count(samples: npt.NDArray[Any], levels: int) -> npt.NDArray[np.int64]:  # pragma: no cover (compiled)
    """How many samples have which value, in an eighth of the time of NumPy, which copies them to 64 bits."""
    counts = np.zeros(levels, np.int64)
    for sample in samples:
        counts[sample] += 1
    return counts
