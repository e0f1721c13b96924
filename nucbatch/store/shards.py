"""Encodes and decodes the files of an array: a chunk, or a shard of several chunks with an index at its end.

Each chunk is compressed separately, so that reading one channel of a shard reads only its chunks. Written
here and not by zarr because that takes 2 to 4 times as long (see :mod:`nucbatch.store.chunks`).

Source: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/. Where the specification
leaves the order of a shard's chunks open, zarr's own order is used.
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
"""Blosc's internal block size for images: three quarters of the time of Blosc's default, and 2 % fewer bytes
(synthetic fields)."""

# Several tasks of a worker encode at once in threads of their own, so Blosc's threads would oversubscribe.
numcodecs.blosc.use_threads = False
# Level 1 for images: 0.4 of level 3's time for 5 % more bytes (real uint8 fields). AUTOSHUFFLE shuffles bits
# of 1-byte pixels (same size in 0.6 of the time) and bytes of wider ones (faster and smaller there).
_CODECS = {
    "image": numcodecs.Blosc(
        cname="zstd", clevel=1, shuffle=numcodecs.Blosc.AUTOSHUFFLE, blocksize=_BLOSC_BLOCK_BYTES
    ),
    "labels": numcodecs.Zstd(level=0, checksum=True),
    "maps": numcodecs.Blosc(cname="lz4", clevel=1, shuffle=numcodecs.Blosc.NOSHUFFLE),
}
_NOWHERE = 2**64 - 1  # offset and length in the index of a chunk that is not stored (all zeros)
_CHECKSUM_BYTES = 4


def compressors(codec: Codec, itemsize: int) -> list[BytesBytesCodec]:
    """Returns zarr's description of a codec for pixels of ``itemsize`` bytes.

    Labels and maps end with a checksum, so that damage is an error instead of a wrong number.
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


def compressor_2(codec: Codec) -> numcodecs.abc.Codec:
    """Returns a codec as Zarr 2 describes it, for any size of pixels; maps are stored in Zarr 3 only."""
    return _CODECS[codec]


def is_blank(pixels: npt.NDArray[Any]) -> bool:
    """Returns whether all pixels are zero, so that nothing is stored; several times as fast as ``any``."""
    return not (pixels.max(initial=0) if pixels.dtype.kind == "u" else pixels.any())


def encoded(chunks: Sequence[npt.NDArray[Any]], grid: tuple[int, ...], codec: Codec) -> bytes | None:
    """Encodes a file of an array.

    Args:
        chunks: in C order of their positions in the file, each whole and contiguous.
        grid: number of chunks along each axis.
        codec: kind of compression.

    Returns:
        The file's bytes; None if all chunks are zeros and no file is needed.
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
    """Reads some chunks of a file.

    Args:
        path: the file; a missing file has no chunks.
        count: number of chunks in the file.
        wanted: positions of the chunks to read, in C order.
        codec: kind of compression.
        dtype: of the pixels.

    Returns:
        Pixels (n,) of each stored chunk by its position; chunks of zeros are left out.

    Raises:
        StoreError: the file cannot be read or is damaged.
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
    except (OSError, ValueError, RuntimeError) as error:  # codecs raise RuntimeError
        raise damaged(path, error) from error
    finally:
        os.close(descriptor)


def damaged(path: Path, error: Exception) -> DamagedFile:
    """Builds the error for a file of an array that cannot be read."""
    return DamagedFile.at(path, f"can't be read ({type(error).__name__}: {error})")


def _body(chunk: npt.NDArray[Any], codec: Codec) -> bytes:
    body = bytes(_CODECS[codec].encode(chunk))
    return body + _checksum(body) if codec == "maps" else body


def _places(descriptor: int, count: int) -> list[tuple[int, int, int]]:
    """Reads the index of an open file: (position, offset, length) of each stored chunk."""
    size = os.fstat(descriptor).st_size
    if count == 1:
        return [(0, 0, size)]
    length = 16 * count + _CHECKSUM_BYTES
    end = os.pread(descriptor, length, max(0, size - length))
    table, checksum = end[:-_CHECKSUM_BYTES], end[-_CHECKSUM_BYTES:]
    if len(end) != length or _checksum(table) != checksum:
        raise ValueError(f"its {size} bytes do not end with a shard index")
    index = np.frombuffer(table, "<u8").reshape(count, 2).tolist()
    places = [(place, begin, length) for place, (begin, length) in enumerate(index) if begin != _NOWHERE]
    if any(begin + length > size for _, begin, length in places):
        raise ValueError(f"its index points beyond its {size} bytes")
    return places


def _decoded(data: bytes, length: int, codec: Codec) -> Any:
    if codec == "maps":
        data, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
        if _checksum(data) != checksum:
            raise ValueError(f"the checksum of its {length} bytes does not match")
        length -= _CHECKSUM_BYTES
    # Blosc trusts its header and would read beyond the end of a truncated file.
    if len(data) != length or (codec != "labels" and int.from_bytes(data[12:16], "little") != length):
        raise ValueError(f"{len(data)} bytes are not a whole chunk")
    return _CODECS[codec].decode(data)


def _checksum(table: bytes) -> bytes:
    return int(google_crc32c.value(table)).to_bytes(_CHECKSUM_BYTES, "little")


@lru_cache(maxsize=64)
def _order(grid: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the storage order of a shard's chunks: Morton order (interleaved bits of their indices)."""
    widths = [(count - 1).bit_length() for count in grid]
    bits = [(bit, axis) for bit in range(max(widths)) for axis, width in enumerate(widths) if bit < width]
    places = list(product(*map(range, grid)))

    def rank(at: int) -> list[int]:
        return [places[at][axis] >> bit & 1 for bit, axis in reversed(bits)]

    return tuple(sorted(range(len(places)), key=rank))
