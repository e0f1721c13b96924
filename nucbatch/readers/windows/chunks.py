"""Windows on an OME-Zarr image: zarr reads the chunks (or parts of shards) that a box touches.

Decisions owned here: a page is a plane's place in the order of the array's leading axes; of an RGB image the
channels are one page. What is read is counted at the store, below zarr. A chunk is a regular file inside the
array's folder, of no more than a limit once decoded, and not so small that an image is millions of them.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore, WrapperStore

from nucbatch.errors import UnreadableImage
from nucbatch.omezarr import StoredForm, below, form_of, levels_of
from nucbatch.readers.levels import Level, measured
from nucbatch.readers.pixel_info import require_decodable
from nucbatch.readers.windows.contract import Cost, named, require_finite, require_inside, require_listed
from nucbatch.tiles import Box

SMALLEST_CHUNK_PX = 64
_MOST_SMALL_CHUNKS = 1 << 16


class ChunkSource:
    """An OME-Zarr image's group."""

    def __init__(self, path: Path, shown: str) -> None:
        self._path, self._shown = path, shown
        with named(shown):
            self._form = form_of(path)

    def window(self, page: int = 0, level: int = 0) -> ChunkWindow:
        """See :class:`~nucbatch.readers.windows.contract.Source`."""
        with named(self._shown):
            name = self._form.array
            if level:
                stored = levels_of(self._path)
                require_listed(self._shown, "level", level, len(stored))
                name = stored[level].path
            return ChunkWindow(below(self._path, name), self._shown, self._form, page)

    def levels(self, page: int = 0) -> tuple[Level, ...]:
        """See :class:`~nucbatch.readers.windows.contract.Source`."""
        with named(self._shown):
            stored = levels_of(self._path)
        return measured([(one.height_px, one.width_px) for one in stored], self._form.pixel_size_um)

    def close(self) -> None:
        """Nothing is open between reads."""


class ChunkWindow:
    """See :class:`~nucbatch.readers.windows.contract.Window`."""

    def __init__(self, array: Path, shown: str, form: StoredForm, page: int) -> None:
        self._shown, self._form = shown, form
        self.cost = Cost()
        self.unwritten = 0
        self._array: Any = zarr.open_array(_Counted(LocalStore(array, read_only=True), self.cost), mode="r")
        _require_sensible(tuple(map(int, self._array.chunks)), self._array)
        if len(self._array.shape) != len(form.axes):
            raise UnreadableImage(f"its level has {len(self._array.shape)} dimensions, not {len(form.axes)}")
        if self._array.shape[:-2] != form.shape[:-2]:
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
        size = self._array.shape[-2], self._array.shape[-1]
        self.shape: tuple[int, ...] = (*size, 3) if form.is_rgb else size
        self.dtype = np.dtype(self._array.dtype).newbyteorder("=")
        self.piece_bytes = math.prod(self._array.chunks) * self.dtype.itemsize

    def read(self, box: Box) -> NDArray[Any]:
        """See :class:`~nucbatch.readers.windows.contract.Window`."""
        require_inside(self._shown, self.shape, box)
        with named(self._shown):
            rows, columns = box.slices
            index = tuple(
                {"y": rows, "x": columns}.get(axis) or self._place.get(axis, slice(None))
                for axis in self._form.axes
            )
            pixels = np.asarray(self._array[index])
            if self._form.is_rgb:
                pixels = np.moveaxis(pixels, 0, -1)
            return require_finite(np.ascontiguousarray(pixels, self.dtype))


def _require_sensible(chunk: tuple[int, ...], array: Any) -> None:
    shape = " × ".join(f"{length:,}" for length in chunk)
    require_decodable(f"chunks of {shape}", math.prod(chunk) * array.dtype.itemsize)
    in_plane = math.prod(
        -(-length // side) for length, side in zip(array.shape[-2:], chunk[-2:], strict=True)
    )
    if math.prod(chunk[-2:]) < SMALLEST_CHUNK_PX and in_plane > _MOST_SMALL_CHUNKS:
        raise UnreadableImage(
            f"chunks of {shape} make {in_plane:,} pieces of one plane; the limit for chunks of less than "
            f"{SMALLEST_CHUNK_PX} px is {_MOST_SMALL_CHUNKS:,}: save it again in larger ones"
        )


class _Counted(WrapperStore[LocalStore]):
    """A store that counts what is taken from it of chunks; metadata are no pixels."""

    def __init__(self, store: LocalStore, cost: Cost) -> None:
        super().__init__(store)
        self._cost = cost

    def _with_store(self, store: LocalStore) -> _Counted:
        return type(self)(store, self._cost)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        self._require_file(key)
        found = await super().get(key, prototype, byte_range)
        if found is not None and not key.endswith((".json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")):
            self._cost.pieces += 1
            self._cost.stored_bytes += len(found)
        return found

    def _require_file(self, key: str) -> None:
        place = os.path.realpath(self._store.root / key)
        root = os.path.realpath(self._store.root)
        if os.path.commonpath([place, root]) != root:
            raise UnreadableImage(f"its {key} is a link that leads out of it: copy the file")
        if os.path.lexists(place) and not os.path.isfile(place):  # noqa: PTH113  # one call per chunk
            raise UnreadableImage(f"its {key} is no regular file")
