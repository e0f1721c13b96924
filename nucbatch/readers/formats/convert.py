"""An image that can't be read by window is written once as one that can: a tiled BigTIFF, in bounded memory.

Decisions owned here: the copy holds the plane as nucbatch reads it (native, without alpha, bright is large),
in tiles of 512 px with Zstandard, lossless; its name depends on the source's path, size, time, page and
level, so that a second run finds it and a changed source gets a new one; it appears whole or not at all. What
no codec can decode piece by piece is decoded as a whole if that fits the memory given, and refused if not.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from nucbatch.core.errors import MemoryRefused
from nucbatch.core.tiles import Box
from nucbatch.readers.formats.contract import Window, require_finite, windowable
from nucbatch.readers.formats.opening import open_source
from nucbatch.readers.formats.tiff import TiffWindow
from nucbatch.readers.names import safe_name

TILE_PX = 512

Progress = Callable[[str, int, int], None]
"""Told (a sentence that says what is done, rows done, rows in all); the first time with 0 rows."""


def convert_once(
    path: str | Path,
    folder: Path,
    progress: Progress,
    *,
    page: int = 0,
    level: int = 0,
    memory_bytes: int = 2 << 30,
) -> Path:
    """The tiled copy of a plane in ``folder``, written now unless it is there already; its page is 0.

    Peak memory is a few bands of 512 rows, or where the codec can't be followed, the whole plane twice over,
    which is checked against ``memory_bytes`` first.

    Raises:
        MemoryRefused: the plane would have to be decoded as a whole and does not fit.
        UnreadableImage: it is damaged, or holds NaN or infinity.
        OSError: the folder can't be written.
    """
    path = Path(path)
    target = folder / _name(path, page, level)
    if target.exists():
        return target
    with open_source(path) as source:
        window = source.window(page, level)
        height, width = window.shape[:2]
        sentence = (
            f"{path.name}: its {height:,} × {width:,} px are compressed in pieces of "
            f"{_mib(window.piece_bytes)}, too large to be read by window; it is converted once to {target}."
        )
        bands = _bands(path.name, window, memory_bytes)
        progress(sentence, 0, height)
        folder.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        try:
            _write(partial, window, bands, lambda rows: progress(sentence, rows, height))
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    return target


def _name(path: Path, page: int, level: int) -> str:
    info = path.stat()
    identity = f"{path.resolve()}\n{info.st_size}\n{info.st_mtime_ns}\n{page}\n{level}"
    return f"{safe_name(path.stem)}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}.tif"


def _bands(shown: str, window: Window, memory_bytes: int) -> Iterator[NDArray[Any]]:
    """The rows of a window, :data:`TILE_PX` at a time: (Y, X, S)."""
    if not windowable(window):
        if isinstance(window, TiffWindow) and window.streams:
            return window.stream(TILE_PX)
        needed = window.piece_bytes + math.prod(window.shape) * window.dtype.itemsize
        if needed > memory_bytes:
            raise MemoryRefused(
                f"{shown} is compressed in one piece that can only be decoded as a whole: that takes "
                f"{_mib(needed)}, and {_mib(memory_bytes)} are allowed. Give it more memory, or save it as a "
                "tiled TIFF (in libvips: vips tiffsave in.tif out.tif --tile --bigtiff --compression zstd)."
            )
    return _read_bands(window)


def _read_bands(window: Window) -> Iterator[NDArray[Any]]:
    height, width = window.shape[:2]
    if windowable(window):
        for top in range(0, height, TILE_PX):
            yield np.atleast_3d(window.read(Box(top, 0, min(top + TILE_PX, height), width)))
    else:  # every read would decode it anew
        pixels = np.atleast_3d(window.read(Box(0, 0, height, width)))
        for top in range(0, height, TILE_PX):
            yield pixels[top : top + TILE_PX]


def _write(
    path: Path, window: Window, bands: Iterator[NDArray[Any]], progress: Callable[[int], None]
) -> None:
    """Tiles in raster order, each band of rows cut as it comes."""
    coloured = len(window.shape) == 3

    def tiles() -> Iterator[NDArray[Any]]:
        done = 0
        for band in bands:
            if done:
                progress(done)
            require_finite(band)
            for left in range(0, band.shape[1], TILE_PX):
                tile = np.zeros((TILE_PX, TILE_PX, band.shape[2]), window.dtype)
                part = band[:, left : left + TILE_PX]
                tile[: part.shape[0], : part.shape[1]] = part
                yield tile if coloured else tile[..., 0]
            done += len(band)

    with path.open("wb") as file:
        with tifffile.TiffWriter(file, bigtiff=True) as writer:
            writer.write(
                tiles(),
                shape=window.shape,
                dtype=window.dtype,
                tile=(TILE_PX, TILE_PX),
                photometric="rgb" if coloured else "minisblack",
                compression="zstd",
                predictor=window.dtype.kind in "iu",
                metadata=None,
                software="nucbatch",
                maxworkers=1,
            )
        file.flush()
        os.fsync(file.fileno())
    progress(window.shape[0])


def _mib(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
