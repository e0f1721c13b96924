"""Reads planes of an OME-Zarr image by box; only the chunks (or parts of shards) that overlap it are read.

A page number is a plane's position in the order of the array's leading axes. The channels of an RGB image are
one page. Chunks that are too large once decoded, or so small that an image has millions, are rejected.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.tiles import Box
from nucbatch.readers.formats.levels import Level, pyramid_levels
from nucbatch.readers.formats.pixel_info import require_decodable
from nucbatch.readers.formats.plane_reader import (
    Cost,
    naming_file,
    require_finite,
    require_inside,
    require_listed,
)
from nucbatch.zarr_format import ArrayForm, StoredArray
from nucbatch.zarr_format.ome import StoredForm, below, form_of, levels_of

SMALLEST_CHUNK_PX = 64
_MOST_SMALL_CHUNKS = 1 << 16


class ZarrSource:
    """OME-Zarr image group."""

    def __init__(self, path: Path, shown: str) -> None:
        self._path, self._shown = path, shown
        with naming_file(shown):
            self._form = form_of(path)

    def plane(self, page: int = 0, level: int = 0) -> ZarrPlane:
        """See :class:`~nucbatch.readers.formats.plane_reader.ImageSource`."""
        with naming_file(self._shown):
            name, known = self._form.array, self._form.stored
            if level:
                stored = levels_of(self._path)
                require_listed(self._shown, "level", level, len(stored))
                name, known = stored[level].path, None
            return ZarrPlane(StoredArray(below(self._path, name), known), self._shown, self._form, page)

    def levels(self, page: int = 0) -> tuple[Level, ...]:
        """See :class:`~nucbatch.readers.formats.plane_reader.ImageSource`."""
        with naming_file(self._shown):
            stored = levels_of(self._path)
        return pyramid_levels([(one.height_px, one.width_px) for one in stored], self._form.pixel_size_um)

    def close(self) -> None:
        """Does nothing; no file is open between reads."""


class ZarrPlane:
    """See :class:`~nucbatch.readers.formats.plane_reader.PlaneReader`."""

    def __init__(self, array: StoredArray, shown: str, form: StoredForm, page: int) -> None:
        self._shown, self._form = shown, form
        self.cost = Cost()
        self._array = array
        found = self._array.form
        _require_sensible(found)
        if len(found.shape) != len(form.axes):
            raise UnreadableImage(f"its level has {len(found.shape)} dimensions, not {len(form.axes)}")
        if found.shape[:-2] != form.shape[:-2]:
            raise UnreadableImage("a level with fewer planes than the full resolution: read the full one")
        leading = {
            axis: length
            for axis, length in zip(form.axes, form.shape, strict=True)
            if axis not in ("yxc" if form.is_rgb else "yx")
        }
        count = int(np.prod(list(leading.values()), dtype=np.int64))
        require_listed(shown, "page", page, count)
        place = np.unravel_index(page, tuple(leading.values())) if leading else ()
        self._place = dict(zip(leading, (int(index) for index in place), strict=True))
        size = found.shape[-2], found.shape[-1]
        self.shape: tuple[int, ...] = (*size, 3) if form.is_rgb else size
        self.dtype = found.dtype
        self.unwritten = int(np.nan_to_num(found.fill, posinf=0, neginf=0))
        self.piece_bytes = found.coding.chunk_bytes

    def read(self, box: Box) -> NDArray[Any]:
        """See :class:`~nucbatch.readers.formats.plane_reader.PlaneReader`."""
        require_inside(self._shown, self.shape, box)
        spans = {"y": (box.y0, box.y1), "x": (box.x0, box.x1), "c": (0, 3)}
        spans |= {axis: (index, index + 1) for axis, index in self._place.items()}
        begin, end = zip(*(spans[axis] for axis in self._form.axes), strict=True)
        with naming_file(self._shown):
            pixels, taken = self._array.read(begin, end)
            self.cost.pieces += taken.pieces
            self.cost.stored_bytes += taken.stored_bytes
            self.cost.missing += taken.absent
            self.cost.unwritten += [self._place_of(target, box) for target in taken.unwritten]
            pixels = pixels.reshape(*((3,) if self._form.is_rgb else ()), *box.shape)
            if self._form.is_rgb:
                pixels = np.moveaxis(pixels, 0, -1)
            return require_finite(np.ascontiguousarray(pixels))

    def _place_of(self, target: tuple[slice, ...], box: Box) -> tuple[Box, int]:
        """Returns the box of the plane, and the number of samples, of a part of what was read of ``box``."""
        spans = dict(zip(self._form.axes, target, strict=True))
        rows, columns = spans["y"], spans["x"]
        samples = spans["c"].stop - spans["c"].start if self._form.is_rgb else 1
        return Box(rows.start, columns.start, rows.stop, columns.stop).shifted(box.y0, box.x0), samples


def _require_sensible(form: ArrayForm) -> None:
    shape = " × ".join(f"{length:,}" for length in form.chunks)
    require_decodable(f"chunks of {shape}", form.coding.chunk_bytes)
    in_plane = math.prod(
        -(-length // side) for length, side in zip(form.shape[-2:], form.chunks[-2:], strict=True)
    )
    if math.prod(form.chunks[-2:]) < SMALLEST_CHUNK_PX and in_plane > _MOST_SMALL_CHUNKS:
        raise UnreadableImage(
            f"chunks of {shape} make {in_plane:,} pieces of one plane; the limit for chunks of less than "
            f"{SMALLEST_CHUNK_PX} px is {_MOST_SMALL_CHUNKS:,}: save it again in larger ones"
        )
