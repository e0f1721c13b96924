"""Zarr arrays on disk: maps pixels to chunks and files, and reads and writes them.

Chunks are of even size, a camera's field is one file with all its channels, and no two writers share a file.
Zarr 2 has no shards: there each file is one chunk, which holds all channels. zarr itself writes the
description of each array (``zarr.json`` or ``.zarray``). The files are read and written here, in the calling
thread, with the same bytes that zarr would produce (a test compares them). Through zarr, a camera's field
takes twice as long to write and 1.5 times as long to read, and a small array 4 times and 7 times (``python -m
benchmarks.bench_formats``). Writing again leaves the same bytes, so a task may be retried at any point.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError
from nucbatch.core.tiles import Box
from nucbatch.store.array_document import zarr_2_document, zarr_3_document
from nucbatch.store.atomic import write_bytes
from nucbatch.store.shards import Codec, damaged, encoded, read_chunks
from nucbatch.store.stamps import Written, stamp_of_bytes

ZarrFormat = Literal[2, 3]

LONGEST_CHUNK_PX = 1024
_OF_A_CAMERA_PX = 1088
"""Longest side of a single chunk: a channel of a 1,080 px camera is one chunk, of a 2,160 px camera four."""
_STEP_PX = 16


def chunk_px(length_px: int) -> int:
    """Returns the chunk side for an image side: the fewest chunks of up to 1024 px, as even as 16 px allow.

    Up to 1,088 px are allowed if one or two chunks then suffice. Chunks are even because a last chunk of a
    few pixels costs as much to encode as a full one.
    """
    if length_px <= _OF_A_CAMERA_PX:
        return max(length_px, 1)
    count = 2 if length_px <= 2 * _OF_A_CAMERA_PX else -(-length_px // LONGEST_CHUNK_PX)
    return -(-length_px // (count * _STEP_PX)) * _STEP_PX


def chunks_in_file(length_px: int) -> int:
    """Returns the number of chunks along an image side that share a file: all of a camera's field, else one.

    Clusters limit the number of files, and on some of their disks creating a file takes longer than writing
    it.
    """
    return -(-length_px // chunk_px(length_px)) if length_px <= 2 * _OF_A_CAMERA_PX else 1


@dataclass(frozen=True, slots=True)
class Array:
    """Zarr array on disk: its folder and everything that its ``zarr.json`` describes.

    Attributes:
        path: folder of the array.
        shape: (Y, X) or (C, Y, X).
        dtype: NumPy name of the pixel type.
        codec: kind of compression.
        names: axis names, one per dimension.
        chunk_px: (height, width) of a chunk.
        in_file: (down, across) chunks per file; a file holds them for every channel.
        together: a chunk holds all channels instead of one.
        zarr_format: version of Zarr.
        leading: position of this part's files along the leading axes, for a part of an array of more axes
            (:mod:`nucbatch.store.image_stack`); empty for a whole array.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: str
    codec: Codec
    names: tuple[str, ...]
    chunk_px: tuple[int, int]
    in_file: tuple[int, int] = (1, 1)
    together: bool = False
    zarr_format: ZarrFormat = 3
    leading: tuple[int, ...] = ()

    @classmethod
    def of_image(
        cls,
        path: Path,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        codec: Codec,
        names: tuple[str, ...],
        zarr_format: ZarrFormat = 3,
    ) -> Array:
        """Creates the array of an image, divided by :func:`chunk_px` and :func:`chunks_in_file`."""
        sides = chunk_px(shape[-2]), chunk_px(shape[-1])
        name = np.dtype(dtype).newbyteorder("=").name
        if zarr_format == 2:
            return cls(path, shape, name, codec, names, sides, together=True, zarr_format=2)
        in_file = chunks_in_file(shape[-2]), chunks_in_file(shape[-1])
        return cls(path, shape, name, codec, names, sides, in_file)

    @property
    def document(self) -> Path:
        """Path of the file that describes the array."""
        return self.path / ("zarr.json" if self.zarr_format == 3 else ".zarray")

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk."""
        return (*(self.shape[:-2] if self.together else (1,) * (len(self.shape) - 2)), *self.chunk_px)

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks per file along each axis."""
        leading = zip(self.shape[:-2], self.chunks[:-2], strict=True)
        return (*(length // chunk for length, chunk in leading), *self.in_file)

    @property
    def file_px(self) -> tuple[int, int]:
        """(height, width) covered by a file, in pixels; no two writers may share one."""
        down, across = self.chunk_px
        return down * self.in_file[0], across * self.in_file[1]

    @property
    def is_one_file(self) -> bool:
        """Whether the whole array is one file, which then needs no folder of its own."""
        return all(side >= length for side, length in zip(self.file_px, self.shape[-2:], strict=True))

    def files(self, box: Box) -> list[Path]:
        """Lists the files that overlap a box; a file whose chunks are all zeros does not exist."""
        return [self._file(row, column) for row, column in self._touched(box)]

    def describe(self) -> Written:
        """Writes and returns :attr:`document`, which makes the folder an array of zeros.

        Raises:
            StoreError: the file cannot be written.
        """
        path, content = self.document, _description(self)
        write_bytes(path, content, durable=False, folders=True)
        return {path: stamp_of_bytes(content)}

    def write(self, pixels: npt.NDArray[Any], corner: tuple[int, int] = (0, 0)) -> Written:
        """Writes pixels (…, Y, X) as whole files, or up to the array's end.

        Args:
            pixels: any dtype that converts to the array's.
            corner: (y, x) of the first pixel; a file begins there.

        Returns:
            The files; one whose chunks are all zeros is not written.

        Raises:
            InputError: the pixels begin or end inside a file.
            StoreError: a file cannot be written.
        """
        pixels = np.ascontiguousarray(pixels, dtype=np.dtype(self.dtype).newbyteorder("<"))
        (y, x), (height, width) = corner, pixels.shape[-2:]
        for begin, length, side, whole in zip(
            corner, (height, width), self.file_px, self.shape[-2:], strict=True
        ):
            if begin % side or ((begin + length) % side and begin + length != whole):
                raise InputError(
                    f"{self.path}: pixels {begin} to {begin + length} are not aligned to files of {side} px: "
                    "give whole files, or pixels up to the array's end."
                )
        written: Written = {}
        for row, column in self._touched(Box(y, x, y + height, x + width)):
            own = self._box(row, column).shifted(-y, -x)
            body = encoded(self._cut(pixels[..., *own.slices]), self.grid, self.codec)
            path = self._file(row, column)
            if body is None:
                path.unlink(missing_ok=True)  # all zeros; removes the file of an earlier attempt
            else:
                write_bytes(path, body, durable=False, folders=True)
                written[path] = stamp_of_bytes(body)
        return written

    def read(self, box: Box, channel: int | None = None) -> npt.NDArray[Any]:
        """Reads the pixels (…, Y, X) of a box in the array; 0 where no chunk is stored.

        Args:
            box: pixels to read.
            channel: read this channel only, (1, Y, X).

        Raises:
            StoreError: a chunk cannot be read.
        """
        leading = self.shape[:-2] if channel is None else (1,)
        pixels = np.zeros((*leading, *box.shape), self.dtype)
        for row, column in self._touched(box):
            self._read_file(row, column, box, channel, pixels)
        return pixels

    def _read_file(
        self, row: int, column: int, box: Box, channel: int | None, pixels: npt.NDArray[Any]
    ) -> None:
        """Copies one file's part of a box into ``pixels``."""
        file = self._box(row, column)
        wanted = {}
        for number, (own, place) in enumerate(self._chunks_of_a_file()):
            whole = place.shifted(file.y0, file.x0)
            shared = whole.clipped(box)
            if min(shared.shape) > 0 and (channel is None or self.together or own[0].start == channel):
                wanted[number] = own if channel is None else (slice(1),), shared, whole
        little = np.dtype(self.dtype).newbyteorder("<")
        path, count = self._file(row, column), math.prod(self.grid)
        for number, flat in read_chunks(path, count, wanted, self.codec, little).items():
            own, shared, whole = wanted[number]
            if flat.size != math.prod(self.chunks):
                raise damaged(path, ValueError(f"a chunk of {flat.size} pixels, not of {self.chunks}"))
            chunk = flat.reshape(self.chunks)
            if channel is not None and self.together:
                chunk = chunk[channel : channel + 1]
            pixels[*own, *shared.within(box)] = chunk[..., *shared.within(whole)]

    def _cut(self, pixels: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Cuts a file's pixels (…, Y, X) into its chunks in C order, padded with zeros beyond the array."""
        pieces = []
        for own, place in self._chunks_of_a_file():
            piece = pixels[*own, *place.slices]
            if piece.shape != self.chunks:
                beyond = (chunk - length for length, chunk in zip(piece.shape, self.chunks, strict=True))
                piece = np.pad(piece, [(0, length) for length in beyond])
            pieces.append(np.ascontiguousarray(piece))
        return pieces

    def _chunks_of_a_file(self) -> Iterator[tuple[tuple[slice, ...], Box]]:
        """Yields a file's chunks in C order: their slices of the leading axes and their boxes in the file."""
        down, across = self.chunk_px
        for *leading, y, x in product(*map(range, self.grid)):
            own = tuple(
                slice(at * length, (at + 1) * length)
                for at, length in zip(leading, self.chunks, strict=False)
            )
            yield own, Box(0, 0, down, across).shifted(y * down, x * across)

    def _file(self, row: int, column: int) -> Path:
        leading = self.leading or (0,) * (len(self.shape) - 2)
        name = tuple(map(str, (*leading, row, column)))
        if self.zarr_format == 2:
            return self.path.joinpath(*name)
        name = ("c", *name)
        return self.path.joinpath(".".join(name)) if self.is_one_file else self.path.joinpath(*name)

    def _box(self, row: int, column: int) -> Box:
        """Returns the box covered by a file; it may extend beyond the array's end."""
        down, across = self.file_px
        return Box(0, 0, down, across).shifted(row * down, column * across)

    def _touched(self, box: Box) -> Iterator[tuple[int, int]]:
        """Returns the (row, column) of each file that overlaps a box."""
        down, across = self.file_px
        return product(
            range(box.y0 // down, -(-box.y1 // down)), range(box.x0 // across, -(-box.x1 // across))
        )


def _description(array: Array) -> bytes:
    shard = tuple(count * length for count, length in zip(array.grid, array.chunks, strict=True))
    shards = None if shard == array.chunks else shard
    separator: Literal["/", "."] = "." if array.is_one_file else "/"
    if array.zarr_format == 2:
        return zarr_2_document(array.shape, array.chunks, array.dtype, array.codec)
    return zarr_3_document(
        array.shape, array.chunks, shards, array.dtype, array.codec, array.names, separator
    )
