"""What one file of an array holds: a chunk, or a shard of several chunks with an index at its end.

The decision owned here: how chunks are compressed, each by itself, and how a shard is laid out. Who looks at
one channel of a shard reads its chunks alone.
Source: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/; the order of a shard's chunks
is zarr's, where the text leaves it open.
"""

from __future__ import annotations

import os
from collections.abc import Container, Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Literal

import google_crc32c
import numcodecs
import numcodecs.blosc
import numpy as np
import numpy.typing as npt
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from nucbatch.core.errors import DamagedFile

Codec = Literal["image", "labels", "maps"]

_BLOSC_BLOCK_BYTES = 2**20
"""Images' chunks are made of blocks of that size: three quarters of the time of Blosc's own choice, and 2 %
fewer bytes (drawn fields)."""

# Several tasks of a worker encode at once, each in its own thread; Blosc's own would fight over the cores.
numcodecs.blosc.use_threads = False
# Level 1 for images: 0.4 of level 3's time, for 5 % more bytes (real uint8 fields). AUTOSHUFFLE is by bits
# where a pixel has one byte (as small, in 0.6 of the time), else by bytes (faster there, and smaller).
_CODECS = {
    "image": numcodecs.Blosc(
        cname="zstd", clevel=1, shuffle=numcodecs.Blosc.AUTOSHUFFLE, blocksize=_BLOSC_BLOCK_BYTES
    ),
    "labels": numcodecs.Zstd(level=0, checksum=True),
    "maps": numcodecs.Blosc(cname="lz4", clevel=1, shuffle=numcodecs.Blosc.NOSHUFFLE),
}
_NOWHERE = 2**64 - 1  # offset and length of a chunk of zeros, which is not stored
_CHECKSUM_BYTES = 4


def compressors(codec: Codec, itemsize: int) -> list[BytesBytesCodec]:
    """The codecs as zarr describes them, for pixels of so many bytes.

    Labels and maps end with a checksum: a damaged one is an error, never another number.
    """
    match codec:
        case "image":
            blosc = BloscCodec(
                typesize=itemsize,
                cname="zstd",
                clevel=1,
                shuffle="bitshuffle" if itemsize == 1 else "shuffle",
                blocksize=_BLOSC_BLOCK_BYTES,
            )
            return [blosc]
        case "labels":
            return [ZstdCodec(level=0, checksum=True)]
        case "maps":
            return [BloscCodec(typesize=itemsize, cname="lz4", clevel=1, shuffle="noshuffle"), Crc32cCodec()]


def is_blank(pixels: npt.NDArray[Any]) -> bool:
    """Whether all of them are zero, so that there is nothing to store. Several times as fast as ``any``."""
    return not (pixels.max(initial=0) if pixels.dtype.kind == "u" else pixels.any())


def encoded(chunks: Sequence[npt.NDArray[Any]], grid: tuple[int, ...], codec: Codec) -> bytes | None:
    """The bytes of a file; None if all its chunks are zeros, so that there is none.

    Args:
        chunks: in C order of their places in the file, each whole and contiguous.
        grid: how many there are along each axis.
    """
    bodies = [b"" if is_blank(chunk) else _body(chunk, codec) for chunk in chunks]
    if not any(bodies):
        return None
    if len(bodies) == 1:
        return bodies[0]
    index = np.full((len(bodies), 2), _NOWHERE, "<u8")
    begin = 0
    for place in _order(grid):
        if bodies[place]:
            index[place] = begin, len(bodies[place])
            begin += len(bodies[place])
    table = index.tobytes()
    return b"".join([*(bodies[place] for place in _order(grid)), table, _checksum(table)])


def read_chunks(
    path: Path, count: int, wanted: Container[int], codec: Codec, dtype: npt.DTypeLike
) -> dict[int, npt.NDArray[Any]]:
    """Pixels (n,) of the chunks ``wanted``, by their places among the ``count`` that a file has in C order.

    Chunks of zeros are left out.

    Raises:
        StoreError: the file can't be read or is damaged.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise damaged(path, error) from error
    try:
        return {
            place: np.frombuffer(_decoded(os.pread(descriptor, length, begin), length, codec), dtype)
            for place, begin, length in _places(descriptor, count)
            if place in wanted
        }
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: what codecs raise
        raise damaged(path, error) from error
    finally:
        os.close(descriptor)


def damaged(path: Path, error: Exception) -> DamagedFile:
    """The error for a file of an array that can't be read, with the mend."""
    return DamagedFile.at(path, f"can't be read ({type(error).__name__}: {error})")


def _body(chunk: npt.NDArray[Any], codec: Codec) -> bytes:
    body = bytes(_CODECS[codec].encode(chunk))
    return body + _checksum(body) if codec == "maps" else body


def _places(descriptor: int, count: int) -> list[tuple[int, int, int]]:
    """Which chunks there are in an open file, where each begins, and how long it is."""
    size = os.fstat(descriptor).st_size
    if count == 1:
        return [(0, 0, size)]
    length = 16 * count + _CHECKSUM_BYTES
    end = os.pread(descriptor, length, max(0, size - length))
    table, checksum = end[:-_CHECKSUM_BYTES], end[-_CHECKSUM_BYTES:]
    if len(end) != length or _checksum(table) != checksum:
        raise ValueError(f"{size} bytes don't end with the index of a shard")
    index = np.frombuffer(table, "<u8").reshape(count, 2).tolist()
    places = [(place, begin, length) for place, (begin, length) in enumerate(index) if begin != _NOWHERE]
    if any(begin + length > size for _, begin, length in places):
        raise ValueError(f"its index points beyond its {size} bytes")
    return places


def _decoded(data: bytes, length: int, codec: Codec) -> Any:
    if codec == "maps":
        data, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
        if _checksum(data) != checksum:
            raise ValueError(f"{length} bytes do not have the checksum that they end with")
        length -= _CHECKSUM_BYTES
    # Blosc believes its header, and reads on where a file has been cut short.
    if len(data) != length or (codec != "labels" and int.from_bytes(data[12:16], "little") != length):
        raise ValueError(f"{len(data)} bytes are not the whole of a chunk")
    return _CODECS[codec].decode(data)


def _checksum(table: bytes) -> bytes:
    return int(google_crc32c.value(table)).to_bytes(_CHECKSUM_BYTES, "little")


@lru_cache(maxsize=64)
def _order(grid: tuple[int, ...]) -> tuple[int, ...]:
    """Places of a shard's chunks in the order in which they lie: of their indices' bits, interleaved."""
    widths = [(count - 1).bit_length() for count in grid]
    bits = [(bit, axis) for bit in range(max(widths)) for axis, width in enumerate(widths) if bit < width]
    places = list(product(*map(range, grid)))

    def rank(at: int) -> list[int]:
        return [places[at][axis] >> bit & 1 for bit, axis in reversed(bits)]

    return tuple(sorted(range(len(places)), key=rank))
