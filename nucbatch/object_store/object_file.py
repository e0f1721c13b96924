"""Bytes of one object in a store: read at any place, always of one version, and as a file.

The first request brings size, version and the first bytes; a small object is then whole. Further requests
name the version (``If-Match``), so that an object which is replaced meanwhile gives an error, not a mixture.
"""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any, BinaryIO

from nucbatch.core.errors import ImageUnavailable
from nucbatch.object_store.requests import fetch, head, stamp_ns

HEADER_BYTES = 1 << 16
"""First request for a header."""
WHOLE_BYTES = 8 << 20
"""Objects up to this size are fetched by one request."""
_PIECE_BYTES = 1 << 20
_MOST_PIECES = 32


class StoredBytes:
    """Bytes of one version of an object; several threads may read at once.

    Args:
        bucket: address of its bucket.
        key: its name in the bucket.
        planned: size and time of the version; (0, 0) for any.
        first_bytes: size of the first request.
    """

    def __init__(
        self, bucket: str, key: str, planned: tuple[int, int] = (0, 0), first_bytes: int = WHOLE_BYTES
    ) -> None:
        self._bucket, self._key, self._planned = bucket, key, planned
        self._first_bytes = first_bytes
        self._found: dict[str, Any] = {}
        self._first = b""
        self._pieces: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def described(self) -> dict[str, Any]:
        """Returns size, time and ETag from a new request.

        Raises:
            FileNotFoundError: there is no such object. ImageUnavailable: the store does not answer.
        """
        return head(self._bucket, self._key)

    def fetched(self) -> StoredBytes:
        """Makes the first request, unless it is done.

        Raises:
            FileNotFoundError: there is no such object. ImageUnavailable: it has changed since it was
                planned, or the store does not answer.
        """
        with self._lock:
            if not self._found:
                data, found = fetch(self._bucket, self._key, 0, self._first_bytes, planned=self._planned)
                self._require_planned(found)
                self._first, self._found = data, found
        return self

    @property
    def size(self) -> int:
        """Size in bytes."""
        return int(self._found["size"])

    def read_at(self, offset: int, count: int) -> bytes:
        """Returns up to ``count`` bytes at ``offset``; fewer only at the end.

        Raises:
            ImageUnavailable: the object has changed, or the store does not answer.
        """
        end = min(offset + count, self.size)
        if offset >= end:
            return b""
        if end <= len(self._first):
            return self._first[offset:end]
        if self.size <= self._first_bytes:
            with self._lock:
                if len(self._first) < self.size:
                    self._first += self._request(len(self._first), self.size)
            return self._first[offset:end]
        piece = min(self._first_bytes, _PIECE_BYTES)
        if end - offset >= piece:
            return self._request(offset, end)
        pieces = range(offset // piece, -(-end // piece))
        joined = b"".join(self._piece(number, piece) for number in pieces)
        begin = offset - pieces[0] * piece
        return joined[begin : begin + end - offset]

    def _piece(self, number: int, piece: int) -> bytes:
        """Returns an aligned piece of ``piece`` bytes; the latest ones are kept."""
        with self._lock:
            if number in self._pieces:
                self._pieces.move_to_end(number)
                return self._pieces[number]
        begin = number * piece
        data = self._request(begin, min(begin + piece, self.size))
        with self._lock:
            self._pieces[number] = data
            while len(self._pieces) > _MOST_PIECES:
                self._pieces.popitem(last=False)
        return data

    def _request(self, begin: int, end: int) -> bytes:
        data, found = fetch(self._bucket, self._key, begin, end - begin, self._found["e_tag"])
        if (found["size"], stamp_ns(found)) != (self.size, stamp_ns(self._found)):
            raise ImageUnavailable("has changed while it was read: give the same command again")
        return data

    def _require_planned(self, found: dict[str, Any]) -> None:
        now = found["size"], stamp_ns(found)
        if self._planned not in ((0, 0), now):
            raise ImageUnavailable(
                f"has changed since the run was planned ({shown_version(*self._planned)}; now "
                f"{shown_version(*now)}): give the same command again once nothing writes to it any more"
            )


def shown_version(size_bytes: int, modified_ns: int) -> str:
    """Returns size and time of a file for messages."""
    when = datetime.fromtimestamp(modified_ns // 10**9, UTC)
    return f"{size_bytes:,} bytes of {when:%Y-%m-%d %H:%M:%S}.{modified_ns % 10**9:09d} UTC"


class ObjectFile(io.RawIOBase):
    """Object as a file that is read and sought in."""

    def __init__(self, content: StoredBytes) -> None:
        self.content = content
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.content.size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.content.read_at(self._at, len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def file_size(file: BinaryIO) -> int:
    """Returns the size of an open file, and leaves its position as it is."""
    if isinstance(file, ObjectFile):
        return file.content.size
    return os.fstat(file.fileno()).st_size


def read_at(file: int | StoredBytes, count: int, offset: int) -> bytes:
    """Reads bytes at a place of an open local file (its descriptor) or of an object, as :func:`os.pread`."""
    return os.pread(file, count, offset) if isinstance(file, int) else file.read_at(offset, count)


def read_into(file: int | StoredBytes, target: memoryview, offset: int) -> int:
    """Reads bytes at a place into a buffer, as :func:`os.preadv`, and returns their number."""
    if isinstance(file, int):
        return os.preadv(file, [target], offset)
    data = file.read_at(offset, len(target))
    target[: len(data)] = data
    return len(data)


def positioned(file: BinaryIO) -> int | StoredBytes:
    """Returns that of an open file which :func:`read_at` takes."""
    return file.content if isinstance(file, ObjectFile) else file.fileno()
