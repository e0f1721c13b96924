"""How an array's chunks get to disk and back: Zarr 3's files, made and read in the calling thread.

zarr describes each array (its ``zarr.json``); the chunks are encoded here with the same codecs and land in
the same files, byte for byte what zarr writes (a test holds it to that), and are decoded here, too. It is
done here because a field is a dozen small chunks, and zarr's event loop costs four times what encoding and
writing them does, and up to three times what decoding them does.
Writing again leaves the same bytes, so a task may be retried at any point.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numcodecs
import numcodecs.blosc
import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import BloscCodec, ZstdCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from nucbatch.errors import InputError, StoreError
from nucbatch.store.atomic import cannot_write, write_bytes
from nucbatch.tiles import Box

Codec = Literal["image", "labels", "maps"]

LONGEST_CHUNK_PX = 1024
_OF_A_CAMERA_PX = 1088
"""A field of 1,080 px, as many cameras have it, is one chunk, and one of 2,160 px four: a file costs more
than the pixels of a small chunk."""
_STEP_PX = 16
_BLOSC_BLOCK_BYTES = 2**20
"""Images' chunks are made of blocks of that size: three quarters of the time of Blosc's own choice, and 2 %
fewer bytes (drawn fields)."""

# Several tasks of a worker encode at once, each in its own thread; Blosc's own would fight over the cores.
numcodecs.blosc.use_threads = False
# Level 1 for images: 0.4 of level 3's time, for 5 % more bytes (real uint8 fields).
_ENCODERS = {
    "image": numcodecs.Blosc(
        cname="zstd", clevel=1, shuffle=numcodecs.Blosc.SHUFFLE, blocksize=_BLOSC_BLOCK_BYTES
    ),
    "labels": numcodecs.Zstd(level=0),
    "maps": numcodecs.Blosc(cname="lz4", clevel=1, shuffle=numcodecs.Blosc.NOSHUFFLE),
}


def chunk_px(length_px: int) -> int:
    """The chunk's side for an image's side: the fewest chunks of up to 1024 px, as even as 16 px allow.

    Of up to 1,088 px, if one or two of them suffice.

    Even, because a last chunk of a few pixels costs as much to encode as a full one.
    """
    if length_px <= _OF_A_CAMERA_PX:
        return max(length_px, 1)
    count = 2 if length_px <= 2 * _OF_A_CAMERA_PX else -(-length_px // LONGEST_CHUNK_PX)
    return -(-length_px // (count * _STEP_PX)) * _STEP_PX


@dataclass(frozen=True, slots=True)
class Array:
    """An array on disk: the folder it lies in, and all that its ``zarr.json`` says.

    ``shape`` is (Y, X) or (C, Y, X); ``chunk_px`` the chunks' (height, width), one channel each unless
    ``together``; ``names`` are the axes', one per dimension.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: str
    codec: Codec
    names: tuple[str, ...]
    chunk_px: tuple[int, int]
    together: bool = False

    @classmethod
    def of_image(
        cls, path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike, codec: Codec, names: tuple[str, ...]
    ) -> Array:
        """An array whose chunks are as :func:`chunk_px` has them."""
        sides = chunk_px(shape[-2]), chunk_px(shape[-1])
        return cls(path, shape, np.dtype(dtype).newbyteorder("=").name, codec, names, sides)

    @property
    def chunks(self) -> tuple[int, ...]:
        """A chunk's shape."""
        return (*(self.shape[:-2] if self.together else (1,) * (len(self.shape) - 2)), *self.chunk_px)

    def files(self, box: Box) -> list[Path]:
        """The chunks' files that a box touches; one of a chunk of zeros does not exist."""
        return [self.path.joinpath("c", *map(str, place)) for place in product(*self._touched(box))]

    def describe(self) -> None:
        """Writes ``zarr.json``, which makes the folder an array of zeros.

        Raises:
            StoreError: it can't be written.
        """
        _folder(self.path)
        write_bytes(self.path / "zarr.json", _description(self), durable=False)

    def write(self, pixels: npt.NDArray[Any], corner: tuple[int, int] = (0, 0)) -> None:
        """Writes (…, Y, X) pixels whose first one lies at ``corner`` (y, x), where a chunk begins.

        Whole chunks, or up to the array's end: no two writers may share a chunk.

        Raises:
            InputError: the pixels begin or end inside a chunk.
            StoreError: a file can't be written.
        """
        pixels = np.ascontiguousarray(pixels, dtype=np.dtype(self.dtype).newbyteorder("<"))
        for begin, length, side, whole in zip(
            corner, pixels.shape[-2:], self.chunk_px, self.shape[-2:], strict=True
        ):
            if begin % side or ((begin + length) % side and begin + length != whole):
                raise InputError(
                    f"{self.path}: pixels from {begin} to {begin + length} don't end where chunks of {side} "
                    "px do."
                )
        first = (0,) * (pixels.ndim - 2) + tuple(
            begin // side for begin, side in zip(corner, self.chunk_px, strict=True)
        )
        counts = [-(-length // chunk) for length, chunk in zip(pixels.shape, self.chunks, strict=True)]
        for place in product(*map(range, counts)):
            begins = [index * chunk for index, chunk in zip(place, self.chunks, strict=True)]
            cut = tuple(slice(at, at + chunk) for at, chunk in zip(begins, self.chunks, strict=True))
            name = (str(index + offset) for index, offset in zip(place, first, strict=True))
            _write_chunk(self.path.joinpath("c", *name), pixels[cut], self.chunks, self.codec)

    def read(self, box: Box) -> npt.NDArray[Any]:
        """(…, Y, X) pixels of a box in the array; 0 where there is no chunk.

        Raises:
            StoreError: a chunk can't be read.
        """
        pixels = np.zeros((*self.shape[:-2], *box.shape), self.dtype)
        down, across = self.chunk_px
        for place in product(*self._touched(box)):
            path = self.path.joinpath("c", *map(str, place))
            chunk = _read_chunk(path, self.chunks, self.dtype, self.codec)
            if chunk is None:
                continue
            *leading, row, column = place
            whole = Box(row * down, column * across, (row + 1) * down, (column + 1) * across)
            shared = whole.clipped(box)
            own = (
                slice(at * length, (at + 1) * length)
                for at, length in zip(leading, self.chunks, strict=False)
            )
            pixels[*own, *shared.within(box)] = chunk[..., *shared.within(whole)]
        return pixels

    def _touched(self, box: Box) -> list[range]:
        """The places of chunks that a box touches, along each axis."""
        own = self.chunks[:-2]
        leading = (range(-(-length // chunk)) for length, chunk in zip(self.shape, own, strict=False))
        plane = (
            range(begin // side, -(-end // side))
            for begin, end, side in zip((box.y0, box.x0), (box.y1, box.x1), self.chunk_px, strict=True)
        )
        return [*leading, *plane]


def is_blank(pixels: npt.NDArray[Any]) -> bool:
    """Whether all of them are zero, so that there is nothing to store. Several times as fast as ``any``."""
    return not (pixels.max(initial=0) if pixels.dtype.kind == "u" else pixels.any())


def _write_chunk(path: Path, piece: npt.NDArray[Any], chunks: tuple[int, ...], codec: Codec) -> None:
    if is_blank(piece):
        path.unlink(missing_ok=True)  # an absent chunk is all zeros; one from an earlier attempt is not
        return
    if piece.shape != chunks:
        piece = np.pad(
            piece, [(0, chunk - length) for length, chunk in zip(piece.shape, chunks, strict=True)]
        )
    _folder(path.parent)
    write_bytes(path, _ENCODERS[codec].encode(np.ascontiguousarray(piece)), durable=False)


def _read_chunk(path: Path, chunks: tuple[int, ...], dtype: str, codec: Codec) -> npt.NDArray[Any] | None:
    """A chunk's pixels; None if it has no file, being zeros."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _damaged(path, error) from error
    try:
        # Blosc believes its header, and reads on where a file has been cut short.
        if codec != "labels" and int.from_bytes(data[12:16], "little") != len(data):
            raise ValueError(f"{len(data)} bytes are not the whole of it")
        decoded = _ENCODERS[codec].decode(data)
        return np.frombuffer(decoded, np.dtype(dtype).newbyteorder("<")).reshape(chunks)
    except (ValueError, RuntimeError) as error:  # what codecs and NumPy raise
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"{path} can't be read ({type(error).__name__}: {error}). Run the same command again: what is "
        "missing is made anew."
    )


def _folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


@lru_cache(maxsize=512)
def _document(shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str, codec: Codec, names: Any) -> bytes:
    """An array's zarr.json, as zarr makes it. Kept, because a plate's fields share theirs."""
    typesize = np.dtype(dtype).itemsize
    compressor = {
        "image": BloscCodec(
            typesize=typesize, cname="zstd", clevel=1, shuffle="shuffle", blocksize=_BLOSC_BLOCK_BYTES
        ),
        "labels": ZstdCodec(level=0),
        "maps": BloscCodec(typesize=typesize, cname="lz4", clevel=1, shuffle="noshuffle"),
    }[codec]
    array = zarr.create_array(
        store=MemoryStore(),
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        filters=[],
        compressors=[compressor],
        fill_value=0,
        dimension_names=names,
        zarr_format=3,
    )
    return array.metadata.to_buffer_dict(default_buffer_prototype())["zarr.json"].to_bytes()


def _description(array: Array) -> bytes:
    return _document(array.shape, array.chunks, array.dtype, array.codec, array.names)
