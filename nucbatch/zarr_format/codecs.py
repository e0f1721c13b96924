"""Decodes the bytes of one chunk into exactly the pixels that its metadata promise.

Each codec decodes into at most the size that the chunk can have, and its result must be exactly one chunk.
Blosc's header is compared with the available bytes before decoding, because the library trusts it and would
read beyond the end. Only the codecs in ``_CODECS`` are looked up. zarr's own decoding does neither, which is
why it is not used; see :mod:`nucbatch.zarr_format.array` for its time.
"""

from __future__ import annotations

import bz2
import lzma
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import google_crc32c
import imagecodecs
import numcodecs.blosc
import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage

# Each task decodes in its own thread, so Blosc's threads would oversubscribe the cores.
numcodecs.blosc.use_threads = False

_BLOSC_HEADER_BYTES = 16
_CHECKSUM_BYTES = 4
_LZMA_MEMORY_BYTES = 1 << 28

_CODEC_ERRORS = (
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    SystemError,
    TypeError,
    ValueError,
)
"""Errors that codecs raise on damaged bytes: those of zlib, lzma and bz2 (EOFError, OSError, ValueError),
RuntimeError of imagecodecs and Blosc, SystemError or TypeError of C wrappers on impossible output sizes."""


@dataclass(frozen=True, slots=True)
class Codec:
    """Codec from bytes to bytes.

    Attributes:
        name: for messages.
        decode: takes the stored bytes and the largest allowed size of the result.
        added: number of bytes that the stored form is longer; None for compressors, whose output length
            varies.
    """

    name: str
    decode: Callable[[bytes, int], bytes]
    added: int | None = None


@dataclass(frozen=True, slots=True)
class ChunkCoding:
    """Storage of a chunk: axes, number type, then codecs.

    Attributes:
        chunk: shape of the chunk.
        order: stored order of its axes.
        dtype: in stored byte order.
        steps: codecs in the order of encoding.
    """

    chunk: tuple[int, ...]
    order: tuple[int, ...]
    dtype: np.dtype[Any]
    steps: tuple[Codec, ...]

    @property
    def chunk_bytes(self) -> int:
        """Size of a decoded chunk in bytes."""
        return math.prod(self.chunk) * self.dtype.itemsize

    @property
    def most_stored_bytes(self) -> int:
        """Largest possible size of a stored chunk in bytes."""
        return self._sizes()[-1][0]

    def decoded(self, data: bytes) -> NDArray[Any]:
        """Decodes a chunk into pixels in native byte order.

        Raises:
            UnreadableImage: the bytes are damaged, or are not a whole chunk.
        """
        sizes = self._sizes()
        _require_size("it", len(data), sizes[-1])
        for step, size in zip(reversed(self.steps), reversed(sizes[:-1]), strict=True):
            try:
                data = step.decode(data, size[0])
            except UnreadableImage:
                raise
            except _CODEC_ERRORS as error:
                raise UnreadableImage(f"can't be decoded as {step.name} ({error})") from error
            _require_size(f"what {step.name} makes of it", len(data), size)
        stored = np.frombuffer(data, self.dtype).reshape([self.chunk[axis] for axis in self.order])
        return stored.transpose(np.argsort(self.order)).astype(self.dtype.newbyteorder("="), copy=False)

    def _sizes(self) -> list[tuple[int, bool]]:
        """Returns (largest size in bytes, whether it is exact) before the first codec and after each."""
        size, exact = self.chunk_bytes, True
        sizes = [(size, exact)]
        for step in self.steps:
            if step.added is None:
                size, exact = size + size // 8 + (1 << 16), False
            else:
                size += step.added
            sizes.append((size, exact))
        return sizes


def codec_named(name: str, settings: dict[str, Any], dtype: np.dtype[Any]) -> Codec:
    """Returns the codec of this name, in Zarr 3 or numcodecs.

    Raises:
        UnreadableImage: the codec is not supported.
    """
    plain = name.removeprefix("numcodecs.")
    if plain not in _CODECS:
        raise UnreadableImage(
            f"its codec {name[:60]!r} is not read: those that are, beside transpose and sharding, are "
            f"{', '.join(sorted(_CODECS))}. Write it again with one of them"
        )
    return _CODECS[plain](plain, settings, dtype)


def _require_size(what: str, found: int, size: tuple[int, bool]) -> None:
    most, exact = size
    if found > most or (exact and found != most):
        kind = "" if exact else "at most "
        raise UnreadableImage(f"is damaged: {what} has {found:,} bytes, not {kind}{most:,}")


def _blosc(data: bytes, most: int) -> bytes:
    promised = int.from_bytes(data[4:8], "little")
    stored = int.from_bytes(data[12:16], "little")
    if len(data) < _BLOSC_HEADER_BYTES or stored != len(data):
        raise UnreadableImage(f"is damaged: {len(data):,} bytes, and its Blosc header promises {stored:,}")
    if promised > most:
        raise UnreadableImage(f"is damaged: Blosc would make {promised:,} bytes of it, not {most:,}")
    return bytes(numcodecs.blosc.decompress(data))


def _zstd(data: bytes, most: int) -> bytes:
    return bytes(imagecodecs.zstd_decode(data, out=most)) if data else b""


def _lz4(data: bytes, most: int) -> bytes:
    """Decodes numcodecs' LZ4 form: the decoded length, then one block."""
    promised = int.from_bytes(data[:4], "little")
    if promised > most:
        raise UnreadableImage(f"is damaged: LZ4 would make {promised:,} bytes of it, not {most:,}")
    made = bytes(imagecodecs.lz4_decode(data[4:], out=promised))
    if len(made) != promised:
        raise UnreadableImage(f"is damaged: LZ4 makes {len(made):,} bytes of it, not {promised:,}")
    return made


class _Stream(Protocol):
    """Common interface of the stream decoders of zlib, bz2 and lzma."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /, max_length: int) -> bytes: ...


def _streams(begin: Callable[[], _Stream]) -> Callable[[bytes, int], bytes]:
    """Decodes concatenated streams, such as gzip members."""

    def decode(data: bytes, most: int) -> bytes:
        made = bytearray()
        while data:
            stream = begin()
            made += stream.decompress(data, max_length=most + 1 - len(made))
            if len(made) > most:
                raise UnreadableImage(f"is damaged: it decodes to more than {most:,} bytes")
            if not stream.eof:
                raise UnreadableImage("is damaged: it ends too early")
            data = stream.unused_data.lstrip(b"\0")
        return bytes(made)

    return decode


def _crc32c(data: bytes, most: int) -> bytes:
    body, written = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if written != checksum(body):
        raise UnreadableImage("is damaged: its checksum does not match")
    return body


def checksum(data: bytes) -> bytes:
    """Returns the CRC-32C of some bytes as Zarr stores it."""
    return int(google_crc32c.value(data)).to_bytes(_CHECKSUM_BYTES, "little")


def _shuffle(name: str, settings: dict[str, Any], dtype: np.dtype[Any]) -> Codec:
    size = int(settings.get("elementsize", 4))
    if size < 1:
        raise UnreadableImage(f"its codec shuffle has elements of {size} bytes")

    def decode(data: bytes, most: int) -> bytes:
        count = len(data) // size
        whole = np.frombuffer(data, np.uint8, count * size).reshape(size, count).T
        return whole.tobytes() + data[count * size :]

    return Codec(name, decode, 0)


def _delta(name: str, settings: dict[str, Any], dtype: np.dtype[Any]) -> Codec:
    written = settings.get("dtype", dtype.str)
    if {written, settings.get("astype") or written} != {dtype.str} or dtype.kind not in "iu":
        raise UnreadableImage(f"its codec delta is of type {str(written)[:60]}, not the array's {dtype.str}")

    def decode(data: bytes, most: int) -> bytes:
        return np.cumsum(np.frombuffer(data, dtype), dtype=dtype).tobytes()

    return Codec(name, decode, 0)


_Make = Callable[[str, dict[str, Any], "np.dtype[Any]"], Codec]


def _always(decode: Callable[[bytes, int], bytes], added: int | None = None) -> _Make:
    return lambda name, settings, dtype: Codec(name, decode, added)


_CODECS: dict[str, _Make] = {
    "blosc": _always(_blosc),
    "zstd": _always(_zstd),
    "gzip": _always(_streams(lambda: zlib.decompressobj(31))),
    "zlib": _always(_streams(zlib.decompressobj)),
    "lz4": _always(_lz4),
    "bz2": _always(_streams(bz2.BZ2Decompressor)),
    "lzma": _always(_streams(lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY_BYTES))),
    "crc32c": _always(_crc32c, _CHECKSUM_BYTES),
    "shuffle": _shuffle,
    "delta": _delta,
}
