"""Interfaces of file formats: open image files (:class:`ImageSource`) and planes (:class:`PlaneReader`).

Pixels have the same form for all formats: native byte order, no alpha, bright is large, no NaN. The cost of
each read is counted, so that tests and benchmarks need no clock. A plane whose pieces exceed
:data:`LARGEST_PIECE_BYTES` once decoded is too slow to read by box and should be converted once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import ImageUnavailable, InputError, UnreadableImage
from nucbatch.core.tiles import Box
from nucbatch.readers.formats.damage import DECODER_ERRORS
from nucbatch.readers.formats.levels import Level

LARGEST_PIECE_BYTES = 64 << 20


@dataclass(slots=True)
class Cost:
    """Statistics of the reads so far.

    Attributes:
        pieces: number of tiles, strips, rows or chunks read.
        stored_bytes: their stored size.
        missing: number of further pieces that should exist and are not stored.
        unwritten: boxes of the plane whose pixels are not stored, each with the number of samples concerned.
    """

    pieces: int = 0
    stored_bytes: int = 0
    missing: int = 0
    unwritten: list[tuple[Box, int]] = field(default_factory=list)

    def unwritten_values(self, box: Box) -> int:
        """Returns how many values (pixels × samples) of a box are in pieces that are not stored."""
        return sum(math.prod(part.clipped(box).shape) * samples for part, samples in self.unwritten)


class PlaneReader(Protocol):
    """One plane at one resolution, open for reading by box; several threads may read at once.

    Attributes:
        shape: (Y, X), or (Y, X, 3) for RGB.
        dtype: of the pixels, in native byte order.
        piece_bytes: memory of the largest piece that must be decoded as a whole.
        cost: statistics of :meth:`read`.
        unwritten: value of pixels that were never written: 0, the maximum where white is zero, or the fill
            value of a Zarr array.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    piece_bytes: int
    cost: Cost
    unwritten: int

    def read(self, box: Box) -> NDArray[Any]:
        """Reads the pixels of a box, (Y, X) or (Y, X, 3), from the pieces that overlap it.

        Raises:
            InputError: the box is empty or extends beyond the image.
            UnreadableImage: damaged or missing bytes, NaN or infinity; the message names the file.
        """
        ...


class ImageSource(Protocol):
    """Open image file or OME-Zarr image; its planes share its metadata."""

    def plane(self, page: int = 0, level: int = 0) -> PlaneReader:
        """Opens a plane.

        Args:
            page: number of the plane, see :class:`nucbatch.core.plate.Plane`.
            level: resolution level, 0 is the full resolution.

        Raises:
            InputError: no such page or level.
            UnreadableImage: the pixels cannot be read.
        """
        ...

    def levels(self, page: int = 0) -> tuple[Level, ...]:
        """Lists the resolution levels of a plane, the full resolution first."""
        ...

    def close(self) -> None:
        """Closes the file; its planes can no longer be read."""
        ...


def reads_by_box(reader: PlaneReader) -> bool:
    """Returns whether reading a small box is cheap; if not, convert the file once."""
    return reader.piece_bytes <= LARGEST_PIECE_BYTES


def whole(reader: PlaneReader) -> Box:
    """Returns the box of all pixels of a plane."""
    return Box(0, 0, reader.shape[0], reader.shape[1])


def require_inside(shown: str, shape: tuple[int, ...], box: Box) -> None:
    """Checks that a box is not empty and lies inside the image.

    Raises:
        InputError: it does not.
    """
    if not (0 <= box.y0 < box.y1 <= shape[0] and 0 <= box.x0 < box.x1 <= shape[1]):
        raise InputError(
            f"{shown}: rows {box.y0} to {box.y1} and columns {box.x0} to {box.x1} can't be read: the image "
            f"has {shape[0]} × {shape[1]} px, and a box at least one."
        )


def require_listed(shown: str, what: str, number: int, count: int) -> None:
    """Checks the number of a page or level.

    Raises:
        InputError: there is no such page or level.
    """
    if not 0 <= number < count:
        raise InputError(f"{shown} has no {what} {number}: it has {count}, counted from 0.")


def require_finite(pixels: NDArray[Any]) -> NDArray[Any]:
    """Returns the pixels after checking for NaN and infinity.

    Raises:
        UnreadableImage: a pixel is NaN or infinite.
    """
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise UnreadableImage("holds NaN or infinity: replace these pixels, or save it as integers")
    return pixels


@contextmanager
def naming_file(shown: str) -> Iterator[None]:
    """Converts decoding errors inside the context into an UnreadableImage that names the file."""
    try:
        yield
    except InputError:
        raise
    except ImageUnavailable as error:
        raise ImageUnavailable(f"{shown}: {error}") from error
    except UnreadableImage as error:
        raise UnreadableImage(f"{shown}: {error}") from error
    except OSError as error:
        raise UnreadableImage(f"{shown}: can't be opened ({error.strerror or error})") from error
    except MemoryError as error:
        raise UnreadableImage(f"{shown}: damaged (a piece of it takes more than memory holds)") from error
    except DECODER_ERRORS as error:
        raise UnreadableImage(
            f"{shown}: can't be decoded ({type(error).__name__}: {error}): copy it again from its source; "
            "if that does not help, export it again with another compression"
        ) from error
