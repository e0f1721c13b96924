"""Files and objects compared by their SHA-256: what is written to a store is read back from it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

from nucbatch.core.errors import ImageUnavailable, StoreError
from nucbatch.object_store import ObjectPath
from nucbatch.object_store.writing import put
from nucbatch.store.atomic import replacing

_BLOCK_BYTES = 8 << 20
_TRIES = 3

Known = tuple[int, str]
"""Size in bytes and SHA-256 of a file."""

NOTHING: Known = (-1, "")
"""Size and SHA-256 of an object that does not exist."""


def of_file(path: Path) -> Known:
    """Returns size and SHA-256 of a file.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def of_object(place: ObjectPath, to: BinaryIO | None = None) -> Known:
    """Reads an object, into a file if one is given, and returns its size and SHA-256.

    Raises:
        StoreError: the store refuses, or does not answer.
    """
    try:
        content = place.stored_bytes()
        digest = hashlib.sha256()
        for offset in range(0, content.size, _BLOCK_BYTES):
            data = content.read_at(offset, _BLOCK_BYTES)
            digest.update(data)
            if to is not None:
                to.write(data)
    except FileNotFoundError:
        return NOTHING
    except ImageUnavailable as error:
        raise StoreError(f"{place}: {error}.") from error
    return content.size, digest.hexdigest()


def send(path: Path, place: ObjectPath) -> Known:
    """Writes a file as an object, reads the object back, and returns size and SHA-256.

    Raises:
        StoreError: the object does not hold what was written. InputError: the store refuses, or does not
            answer. OSError: the file can't be read.
    """
    found = of_file(path)
    for left in reversed(range(_TRIES)):
        put(place.bucket, place.key, path)
        try:
            if of_object(place) == found:
                return found
        except StoreError:  # the connection was cut in the middle of an answer
            if not left:
                raise
    raise StoreError(f"{place} does not hold what was written: give the same command again.")


def bring(place: ObjectPath, path: Path, known: Known) -> bool:
    """Copies an object to a file, if it still has the size and content that are known.

    Returns:
        Whether the file is there.

    Raises:
        StoreError: the store does not answer, or the file can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            if of_object(place, file) != known:
                raise _Different
    except _Different:
        return False
    return True


class _Different(Exception):
    """The object is not the one that is known."""
