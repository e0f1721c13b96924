"""Decodes one huge compressed strip in bounded memory, a band of rows at a time.

Supported are raw values, deflate and LZMA (the standard library decodes them incrementally) and PackBits (its
packets are short). LZW, JPEG, Zstandard and other codecs can only be decoded as a whole. Predictors work
along rows, so they are undone band by band. tifffile and imagecodecs decode a strip as a whole: for one strip
of 275 MiB the process needs 206 MiB here and 858 MiB there (``python -m benchmarks.bench_formats``).

Sources: TIFF 6.0 (PackBits, predictor 2), Adobe TIFF technical note 3 (predictor 3).
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage
from nucbatch.object_store import StoredBytes
from nucbatch.readers.formats.tiff_strips import read_exactly

_RAW, _DEFLATE, _PACKBITS, _LZMA = 1, frozenset({8, 32946}), 32773, 34925
_READ_BYTES = 1 << 18


class _Decoder(Protocol):
    """Incremental decoder: returns at most ``most`` bytes per call, the rest at the next calls."""

    def decode(self, data: bytes, most: int) -> bytes: ...

    @property
    def hungry(self) -> bool:
        """Whether more stored bytes are needed before more can be decoded."""
        ...


def streams(page: Any) -> bool:
    """Returns whether a ``tifffile.TiffPage`` in strips can be decoded in bounded memory."""
    codec = page.compression in (_RAW, _PACKBITS, _LZMA) or page.compression in _DEFLATE
    return bool(codec and page.predictor in (1, 2, 3) and not page.is_tiled and not page.is_subsampled)


def strip_rows(
    file: int | StoredBytes, page: Any, index: int, rows: int, band: int
) -> Iterator[NDArray[Any]]:
    """Yields the rows of one strip as (Y, X, S) in native byte order, at most ``band`` rows at a time.

    Raises:
        UnreadableImage: the strip ends too early.
    """
    samples = 1 if page.planarconfig == 2 else int(page.samplesperpixel)
    width, bits = int(page.imagewidth), int(page.bitspersample)
    row_bytes = -(-width * samples * bits // 8)
    blocks = _decoded(file, page, index, band * row_bytes)
    waiting = bytearray()
    done = 0
    while done < rows:
        count = min(band, rows - done)
        while len(waiting) < count * row_bytes:
            block = next(blocks, None)
            if block is None:
                raise UnreadableImage(f"truncated: strip {index + 1} ends after {done:,} of {rows:,} rows")
            waiting += block
        taken = bytes(waiting[: count * row_bytes])
        del waiting[: count * row_bytes]
        yield _values(page, taken, count, width, samples)
        done += count


def _values(page: Any, data: bytes, rows: int, width: int, samples: int) -> NDArray[Any]:
    native = np.dtype(page.dtype).newbyteorder("=")
    bits, shape = int(page.bitspersample), (rows, width, samples)
    if page.predictor == 3:
        raw = np.frombuffer(data, native).reshape(shape)  # the predictor also handles the byte order
        values: NDArray[Any] = imagecodecs.floatpred_decode(raw, axis=-2)
        return values
    if bits == 8 * native.itemsize:
        values = np.frombuffer(data, native.newbyteorder(page.parent.byteorder)).reshape(shape).astype(native)
    else:
        values = imagecodecs.packints_decode(data, native, bits, runlen=width * samples).reshape(shape)
    if page.predictor == 2:
        values = imagecodecs.delta_decode(values, axis=-2)
    return values


def _decoded(file: int | StoredBytes, page: Any, index: int, most: int) -> Iterator[bytes]:
    decoder = _decoder(int(page.compression))
    begin, count = int(page.dataoffsets[index]), int(page.databytecounts[index])
    for offset in range(begin, begin + count, _READ_BYTES):
        data = read_exactly(file, offset, min(_READ_BYTES, begin + count - offset))
        yield decoder.decode(bytes(imagecodecs.bitorder_decode(data)) if page.fillorder == 2 else data, most)
        while not decoder.hungry:
            yield decoder.decode(b"", most)


def _decoder(compression: int) -> _Decoder:
    if compression in _DEFLATE:
        return _Deflate()
    if compression == _LZMA:
        return _Lzma()
    return _PackBits() if compression == _PACKBITS else _Raw()


class _Raw:
    hungry = True

    def decode(self, data: bytes, most: int) -> bytes:
        return data


class _Deflate:
    def __init__(self) -> None:
        self._state = zlib.decompressobj()

    @property
    def hungry(self) -> bool:
        return self._state.eof or not self._state.unconsumed_tail

    def decode(self, data: bytes, most: int) -> bytes:
        try:
            return self._state.decompress(self._state.unconsumed_tail + data, most)
        except zlib.error as error:
            raise UnreadableImage(f"damaged deflate data ({error})") from error


class _Lzma:
    def __init__(self) -> None:
        self._state = lzma.LZMADecompressor()

    @property
    def hungry(self) -> bool:
        return self._state.eof or self._state.needs_input

    def decode(self, data: bytes, most: int) -> bytes:
        if self._state.eof:
            return b""
        try:
            return self._state.decompress(data, most)
        except lzma.LZMAError as error:
            raise UnreadableImage(f"damaged LZMA data ({error})") from error


class _PackBits:
    """Decodes whole packets and keeps the rest; a packet of 2 bytes gives at most 128."""

    hungry = True

    def __init__(self) -> None:
        self._rest = b""

    def decode(self, data: bytes, most: int) -> bytes:
        data = self._rest + data
        place, end = 0, len(data)
        while place < end:
            head = data[place]
            length = head + 2 if head < 128 else 1 if head == 128 else 2
            if place + length > end:
                break
            place += length
        self._rest = data[place:]
        return bytes(imagecodecs.packbits_decode(data[:place])) if place else b""
