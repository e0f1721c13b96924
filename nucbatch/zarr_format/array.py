"""Reads boxes of a Zarr array, checks its files, and counts absent chunks.

A chunk's file is a regular file inside the array's folder. Links inside the folder are followed, links out of
it are rejected. A shard's index is compared with the file's size. A chunk without a file, or without an entry
in its shard, holds the fill value, as the specification says. Such chunks are counted, because an interrupted
copy looks the same.

zarr is not used here because it can't count absent chunks, follows links out of a folder, and gives its
codecs whatever the file holds: Blosc then reads beyond the end of a damaged chunk. It also takes 5 times as
long to read a field (``python -m benchmarks.bench_formats``).
"""

from __future__ import annotations

import math
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage
from nucbatch.object_store import ObjectPath, StoredBytes, read_at
from nucbatch.object_store.list_objects import objects
from nucbatch.zarr_format.codecs import checksum
from nucbatch.zarr_format.document import ArrayForm, ShardIndex, array_form

_AHEAD = 8  # objects of a store that are fetched at once; each needs up to 8 MiB
_NOWHERE = 2**64 - 1  # offset and length in a shard's index of an absent chunk
_Index = tuple[int, ...]


@dataclass(slots=True)
class ReadStatistics:
    """Statistics of a read.

    Attributes:
        pieces: number of chunks and indices read.
        stored_bytes: their stored size.
        absent: number of absent chunks.
        unwritten: places of their pixels in what was read.
    """

    pieces: int = 0
    stored_bytes: int = 0
    absent: int = 0
    unwritten: list[tuple[slice, ...]] = field(default_factory=list)


class StoredArray:
    """Zarr 2 or 3 array in a folder; several threads may read at once."""

    def __init__(self, folder: Path, form: ArrayForm | None = None) -> None:
        """Reads the metadata, unless they are given.

        Raises:
            UnreadableImage: see :func:`~nucbatch.zarr_format.document.array_form`.
        """
        self.folder = folder
        self.form: ArrayForm = form or array_form(folder)
        self._root = str(folder) if isinstance(folder, ObjectPath) else os.path.realpath(folder)

    def read(self, begin: _Index, end: _Index) -> tuple[NDArray[Any], ReadStatistics]:
        """Reads the pixels from ``begin`` up to ``end`` (one number per axis), with statistics.

        Raises:
            UnreadableImage: a chunk is damaged or not a regular file; the message names it.
        """
        form, taken = self.form, ReadStatistics()
        if not all(0 <= low <= high <= side for low, high, side in zip(begin, end, form.shape, strict=True)):
            raise UnreadableImage(f"pixels {begin} to {end} of an array of shape {form.shape}")
        pixels = np.empty([high - low for low, high in zip(begin, end, strict=True)], form.dtype)
        for file, opened in self._opened_ahead(_touched(begin, end, form.files)):
            corner = tuple(at * side for at, side in zip(file, form.files, strict=True))
            low = tuple(
                max(one, other) - zero for one, other, zero in zip(begin, corner, corner, strict=True)
            )
            high = tuple(
                min(one, zero + side) - zero for one, zero, side in zip(end, corner, form.files, strict=True)
            )
            for chunk, inside in self._chunks(file, opened, low, high, taken):
                own = tuple(
                    zero + at * side for zero, at, side in zip(corner, chunk, form.chunks, strict=True)
                )
                source, target = _overlap(own, form.chunks, begin, end)
                pixels[target] = form.fill if inside is None else inside[source]
                if inside is None:
                    taken.unwritten.append(target)
        return pixels, taken

    def count_absent(self) -> tuple[int, int]:
        """Returns (absent chunks, all chunks) without reading pixels.

        Raises:
            UnreadableImage: a shard's index is damaged.
        """
        form = self.form
        chunks_px = zip(form.shape, form.chunks, strict=True)
        total = math.prod(-(-length // side) for length, side in chunks_px)
        if isinstance(self.folder, ObjectPath) and not self.folder.lists:
            return (
                0,
                total,
            )  # a web server can't say which are there; absent ones are counted when they are read
        there = 0
        for file in self._files_there():
            corner = tuple(at * side for at, side in zip(file, form.files, strict=True))
            end = tuple(
                min(side, length - zero)
                for side, length, zero in zip(form.files, form.shape, corner, strict=True)
            )
            inside = list(_touched((0,) * len(corner), end, form.chunks))
            if form.index is None:
                there += len(inside)
            else:
                places = self._index_of(file, form.index)
                there += sum(places[_flat(chunk, form.index.grid)] is not None for chunk in inside)
        return total - there, total

    def _files_there(self) -> Iterator[_Index]:
        """Yields the grid positions of all existing files; other file names are skipped."""
        form = self.form
        names = {"/": len(form.shape) + bool(form.prefix), ".": 1}[form.separator]
        grid = form.file_grid
        for path in _below(self.folder, names):
            parts = path.split(form.separator)
            if form.prefix and parts.pop(0) != form.prefix:
                continue
            if len(parts) != len(grid) or not all(part.isdecimal() and part.isascii() for part in parts):
                continue
            place = tuple(map(int, parts))
            if all(at < count for at, count in zip(place, grid, strict=True)) and form.name(place) == path:
                yield place

    def _chunks(
        self,
        file: _Index,
        opened: AbstractContextManager[int | StoredBytes | None],
        low: _Index,
        high: _Index,
        taken: ReadStatistics,
    ) -> Iterator[tuple[_Index, NDArray[Any] | None]]:
        """Yields (position in the file, pixels) of a file's chunks that overlap ``low`` to ``high``.

        The pixels of an absent chunk are None.
        """
        form, name = self.form, self.form.name(file)
        wanted = list(_touched(low, high, form.chunks))
        with opened as descriptor:
            if descriptor is None:
                taken.absent += len(wanted)
                yield from ((chunk, None) for chunk in wanted)
                return
            size = _size(descriptor)
            places = [(0, size)] if form.index is None else self._index(descriptor, name, form.index, taken)
            for chunk in wanted:
                place = places[0 if form.index is None else _flat(chunk, form.index.grid)]
                if place is None:
                    taken.absent += 1
                    yield chunk, None
                    continue
                begin, length = place
                if length > form.coding.most_stored_bytes:
                    raise UnreadableImage(
                        f"its {name} is damaged: a chunk of {length:,} bytes, where one has at most "
                        f"{form.coding.most_stored_bytes:,}"
                    )
                data = _exactly(descriptor, begin, length, name)
                taken.pieces += 1
                taken.stored_bytes += length
                try:
                    yield chunk, form.coding.decoded(data)
                except UnreadableImage as error:
                    raise UnreadableImage(f"its {name} {error}") from error

    def _index_of(self, file: _Index, index: ShardIndex) -> list[tuple[int, int] | None]:
        name = self.form.name(file)
        with self._opened(name, header=True) as descriptor:
            if descriptor is None:
                return [None] * math.prod(index.grid)
            return self._index(descriptor, name, index, ReadStatistics())

    @staticmethod
    def _index(
        descriptor: int | StoredBytes, name: str, index: ShardIndex, taken: ReadStatistics
    ) -> list[tuple[int, int] | None]:
        """Reads (offset, length) of each chunk of an open shard in C order; None for absent chunks."""
        size = _size(descriptor)
        if size < index.size_bytes:
            raise UnreadableImage(
                f"its {name} is damaged: {size:,} bytes, and a shard's index alone has {index.size_bytes:,}"
            )
        at = 0 if index.at_start else size - index.size_bytes
        data = _exactly(descriptor, at, index.size_bytes, name)
        taken.pieces += 1
        taken.stored_bytes += len(data)
        table = data[: 16 * math.prod(index.grid)]
        if index.checksum and data[len(table) :] != checksum(table):
            raise UnreadableImage(f"its {name} is damaged: the checksum of its index does not match")
        low, high = (index.size_bytes, size) if index.at_start else (0, at)
        places: list[tuple[int, int] | None] = []
        for begin, length in np.frombuffer(table, "<u8").reshape(-1, 2).tolist():
            if (begin, length) == (_NOWHERE, _NOWHERE):
                places.append(None)
            elif low <= begin and begin + length <= high:
                places.append((begin, length))
            else:
                raise UnreadableImage(
                    f"its {name} is damaged: its index puts a chunk at {begin:,} to {begin + length:,}, and "
                    f"chunks lie between {low:,} and {high:,}"
                )
        return places

    def _opened_ahead(
        self, files: Iterable[_Index]
    ) -> Iterator[tuple[_Index, AbstractContextManager[int | StoredBytes | None]]]:
        """Yields files, to be opened; objects of a store are fetched several at once, ahead of their use."""
        if not isinstance(self.folder, ObjectPath):
            yield from ((file, self._opened(self.form.name(file))) for file in files)
            return
        folder, rest = self.folder, iter(files)
        with ThreadPoolExecutor(_AHEAD) as pool:
            ahead = deque(
                (file, pool.submit(_object, folder / self.form.name(file))) for file in islice(rest, _AHEAD)
            )
            while ahead:
                file, fetched = ahead.popleft()
                yield file, nullcontext(fetched.result())
                ahead += [
                    (other, pool.submit(_object, folder / self.form.name(other))) for other in islice(rest, 1)
                ]

    @contextmanager
    def _opened(self, name: str, *, header: bool = False) -> Iterator[int | StoredBytes | None]:
        """Opens a file below the array's folder; None if it does not exist."""
        if isinstance(self.folder, ObjectPath):
            yield _object(self.folder / name, header=header)
            return
        path = f"{self._root}/{name}"  # pathlib would take longer than the stat call, once per chunk
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116  (a Path takes twice as long)
        except (FileNotFoundError, NotADirectoryError):
            if Path(path).is_symlink():
                raise UnreadableImage(f"its {name} is a link to nothing") from None
            yield None
            return
        if not stat.S_ISREG(mode):
            raise UnreadableImage(f"its {name} is no regular file")
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UnreadableImage(f"its {name} is no regular file")
            place = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115  # see above
            if not place.startswith(self._root + os.sep):
                raise UnreadableImage(f"its {name} is a link that leads out of it: copy the file")
            yield descriptor
        finally:
            os.close(descriptor)


def _touched(begin: _Index, end: _Index, side: _Index) -> Iterator[_Index]:
    """Yields the grid positions of pieces of ``side`` that overlap the pixels ``begin`` to ``end``."""
    return product(
        *(
            range(low // length, -(-high // length))
            for low, high, length in zip(begin, end, side, strict=True)
        )
    )


def _overlap(
    corner: _Index, side: _Index, begin: _Index, end: _Index
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Returns the overlap of a piece at ``corner`` with pixels ``begin`` to ``end``, as slices of both."""
    source, target = [], []
    for zero, length, low, high in zip(corner, side, begin, end, strict=True):
        first, last = max(zero, low), min(zero + length, high)
        source.append(slice(first - zero, last - zero))
        target.append(slice(first - low, last - low))
    return tuple(source), tuple(target)


def _flat(place: _Index, grid: _Index) -> int:
    number = 0
    for at, count in zip(place, grid, strict=True):
        number = number * count + at
    return number


def _object(path: Path, *, header: bool = False) -> StoredBytes | None:
    """Returns an object of an array, of which little is fetched for its header; None if it does not exist."""
    try:
        return ObjectPath(path).stored_bytes(header=header)
    except FileNotFoundError:
        return None


def _size(file: int | StoredBytes) -> int:
    return os.fstat(file).st_size if isinstance(file, int) else file.size


def _exactly(descriptor: int | StoredBytes, offset: int, count: int, name: str) -> bytes:
    data = read_at(descriptor, count, offset)
    while len(data) < count:
        more = read_at(descriptor, count - len(data), offset + len(data))
        if not more:
            raise UnreadableImage(f"its {name} is damaged: it ends {count - len(data):,} bytes too early")
        data += more
    return data


def _below(folder: Path, depth: int, before: str = "") -> Iterator[str]:
    """Yields the relative paths, of ``depth`` parts each, of all files below a folder."""
    if isinstance(folder, ObjectPath):
        yield from _objects_below(folder, depth)
        return
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in found:
        if depth == 1:
            if entry.is_file():
                yield before + entry.name
        elif entry.is_dir():
            yield from _below(Path(entry.path), depth - 1, before + entry.name + "/")


def _objects_below(folder: ObjectPath, depth: int) -> Iterator[str]:
    """Yields the names, of ``depth`` parts each, of all objects below a folder of a store that can list."""
    names = (one["path"][len(folder.key) + 1 :] for one in objects(folder.bucket, folder.key))
    yield from (name for name in names if name.count("/") == depth - 1)
