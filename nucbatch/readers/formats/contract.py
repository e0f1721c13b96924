"""What a window on one plane offers: its shape and type, and any box of it, at the cost of that box.

Decisions owned here: pixels arrive as everywhere in nucbatch (native byte order, alpha dropped, bright is
large, no NaN), and what a read cost is counted, so that tests and benchmarks need no clock. A plane that can
only be decoded in one piece above :data:`LARGEST_PIECE_BYTES` is no good for windows: convert it once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.core.tiles import Box
from nucbatch.readers.formats.headers import DAMAGE
from nucbatch.readers.formats.levels import Level

LARGEST_PIECE_BYTES = 64 << 20


@dataclass(slots=True)
class Cost:
    """What was read so far: tiles, strips, rows or chunks taken from the file, and their bytes as stored.

    ``missing``: how many more should have been there and are not stored.
    """

    pieces: int = 0
    stored_bytes: int = 0
    missing: int = 0


class Window(Protocol):
    """One plane at one resolution, open for reading; several threads may read at once.

    ``shape`` is (Y, X), or (Y, X, S) with S = 3 for RGB. ``piece_bytes`` is the memory, decoded, of the
    largest piece that has to be read as a whole. ``cost`` counts what :meth:`read` has taken from the file.
    ``unwritten`` is the value that bytes which were never written are read as: 0, where white is zero the
    largest, or a Zarr array's fill value.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    piece_bytes: int
    cost: Cost
    unwritten: int

    def read(self, box: Box) -> NDArray[Any]:
        """The pixels of a box: (Y, X) or (Y, X, S) in :attr:`dtype`; only the pieces it touches are read.

        Raises:
            InputError: the box is empty or reaches over the image's border.
            UnreadableImage: damaged or missing bytes, NaN or infinity; the message names the file.
        """
        ...


class Source(Protocol):
    """One file (or OME-Zarr image), open; its planes share what was read of its directories."""

    def window(self, page: int = 0, level: int = 0) -> Window:
        """The plane ``page`` (see :class:`nucbatch.core.plate.Plane`) at resolution ``level`` (0: full).

        Raises:
            InputError: there is no such page or level.
            UnreadableImage: its pixels can't be read.
        """
        ...

    def levels(self, page: int = 0) -> tuple[Level, ...]:
        """The resolutions of a plane, the full one first."""
        ...

    def close(self) -> None:
        """Closes the file; windows on it can't be read any more."""
        ...


def windowable(window: Window) -> bool:
    """Whether reading a small box is cheap; if not, convert the file once."""
    return window.piece_bytes <= LARGEST_PIECE_BYTES


def whole(window: Window) -> Box:
    """The box of all of a window's pixels."""
    return Box(0, 0, window.shape[0], window.shape[1])


def require_inside(shown: str, shape: tuple[int, ...], box: Box) -> None:
    """Refuses a box that is empty or reaches over the border.

    Raises:
        InputError: it does.
    """
    if not (0 <= box.y0 < box.y1 <= shape[0] and 0 <= box.x0 < box.x1 <= shape[1]):
        raise InputError(
            f"{shown}: rows {box.y0} to {box.y1} and columns {box.x0} to {box.x1} can't be read: the image "
            f"has {shape[0]} × {shape[1]} px, and a box at least one."
        )


def require_listed(shown: str, what: str, number: int, count: int) -> None:
    """Refuses a page or level that is not there.

    Raises:
        InputError: it is not.
    """
    if not 0 <= number < count:
        raise InputError(f"{shown} has no {what} {number}: it has {count}, counted from 0.")


def require_finite(pixels: NDArray[Any]) -> NDArray[Any]:
    """The pixels, if none is NaN or infinite.

    Raises:
        UnreadableImage: one is.
    """
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise UnreadableImage("holds NaN or infinity")
    return pixels


@contextmanager
def named(shown: str) -> Iterator[None]:
    """Turns whatever decoding raises into an UnreadableImage that names the file."""
    try:
        yield
    except InputError:
        raise
    except UnreadableImage as error:
        raise UnreadableImage(f"{shown}: {error}") from error
    except OSError as error:
        raise UnreadableImage(f"{shown}: can't be opened ({error.strerror or error})") from error
    except MemoryError as error:
        raise UnreadableImage(f"{shown}: damaged (a piece of it takes more than memory holds)") from error
    except DAMAGE as error:
        raise UnreadableImage(f"{shown}: can't be decoded ({type(error).__name__}: {error})") from error
