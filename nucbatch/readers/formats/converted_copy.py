"""Converts an image that is slow to read by box into a tiled BigTIFF, once and in bounded memory.

- The copy holds the plane as nucbatch reads it (native byte order, no alpha, bright is large), in tiles of
  512 px with lossless Zstandard.
- Its name depends on the source's path, size, time, page and level. A second run finds it, and a changed
  source gets a new copy.
- The copy is written whole or not at all.
- If the codec cannot decode incrementally, the plane is decoded as a whole if it fits the given memory, else
  rejected.
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
from nucbatch.object_store import as_path
from nucbatch.readers.formats.opening import open_source
from nucbatch.readers.formats.plane_reader import PlaneReader, reads_by_box, require_finite
from nucbatch.readers.formats.tiff import TiffPlane
from nucbatch.readers.names import safe_name

TILE_PX = 512

Progress = Callable[[str, int, int], None]
"""Progress callback: (description, finished rows, total rows); the first call has 0 finished rows."""


def convert_once(
    path: str | Path,
    folder: Path,
    progress: Progress,
    *,
    page: int = 0,
    level: int = 0,
    memory_bytes: int = 2 << 30,
) -> Path:
    """Returns the tiled copy of a plane in ``folder``, written now unless it exists; its page is 0.

    Peak memory is a few bands of 512 rows. If the codec cannot decode incrementally, it is twice the plane,
    which is compared with ``memory_bytes`` first.

    Args:
        path: the source file.
        folder: folder of the copy; created if missing.
        progress: called during the conversion.
        page: page of the source.
        level: resolution level of the source.
        memory_bytes: allowed memory.

    Raises:
        MemoryRefused: the plane must be decoded as a whole and does not fit.
        UnreadableImage: it is damaged, or holds NaN or infinity.
        OSError: the folder cannot be written.
    """
    path = as_path(path)
    target = folder / _name(path, page, level)
    if target.exists():
        return target
    with open_source(path) as source:
        reader = source.plane(page, level)
        height, width = reader.shape[:2]
        sentence = (
            f"{path.name}: its {height:,} × {width:,} px are compressed in pieces of "
            f"{_mib(reader.piece_bytes)}, too large to be read by box; it is converted once to {target}."
        )
        bands = _bands(path.name, reader, memory_bytes)
        progress(sentence, 0, height)
        folder.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        try:
            _write(partial, reader, bands, lambda rows: progress(sentence, rows, height))
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    return target


def _name(path: Path, page: int, level: int) -> str:
    info = path.stat()
    identity = f"{path.resolve()}\n{info.st_size}\n{info.st_mtime_ns}\n{page}\n{level}"
    return f"{safe_name(path.stem)}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}.tif"


def _bands(shown: str, reader: PlaneReader, memory_bytes: int) -> Iterator[NDArray[Any]]:
    """Yields the rows of a plane as (Y, X, S), :data:`TILE_PX` rows at a time."""
    if not reads_by_box(reader):
        if isinstance(reader, TiffPlane) and reader.streams:
            return reader.stream(TILE_PX)
        needed = reader.piece_bytes + math.prod(reader.shape) * reader.dtype.itemsize
        if needed > memory_bytes:
            raise MemoryRefused(
                f"{shown} is compressed in one piece that can only be decoded as a whole: that takes "
                f"{_mib(needed)}, and {_mib(memory_bytes)} are allowed. Give it more memory, or save it as a "
                "tiled TIFF (in libvips: vips tiffsave in.tif out.tif --tile --bigtiff --compression zstd)."
            )
    return _read_bands(reader)


def _read_bands(reader: PlaneReader) -> Iterator[NDArray[Any]]:
    height, width = reader.shape[:2]
    if reads_by_box(reader):
        for top in range(0, height, TILE_PX):
            yield np.atleast_3d(reader.read(Box(top, 0, min(top + TILE_PX, height), width)))
    else:  # each read would decode the plane again
        pixels = np.atleast_3d(reader.read(Box(0, 0, height, width)))
        for top in range(0, height, TILE_PX):
            yield pixels[top : top + TILE_PX]


def _write(
    path: Path, reader: PlaneReader, bands: Iterator[NDArray[Any]], progress: Callable[[int], None]
) -> None:
    """Writes the tiles in raster order, cutting each band of rows as it arrives."""
    coloured = len(reader.shape) == 3

    def tiles() -> Iterator[NDArray[Any]]:
        done = 0
        for band in bands:
            if done:
                progress(done)
            require_finite(band)
            for left in range(0, band.shape[1], TILE_PX):
                tile = np.zeros((TILE_PX, TILE_PX, band.shape[2]), reader.dtype)
                part = band[:, left : left + TILE_PX]
                tile[: part.shape[0], : part.shape[1]] = part
                yield tile if coloured else tile[..., 0]
            done += len(band)

    with path.open("wb") as file:
        with tifffile.TiffWriter(file, bigtiff=True) as writer:
            writer.write(
                tiles(),
                shape=reader.shape,
                dtype=reader.dtype,
                tile=(TILE_PX, TILE_PX),
                photometric="rgb" if coloured else "minisblack",
                compression="zstd",
                predictor=reader.dtype.kind in "iu",
                metadata=None,
                software="nucbatch",
                maxworkers=1,
            )
        file.flush()
        os.fsync(file.fileno())
    progress(reader.shape[0])


def _mib(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
