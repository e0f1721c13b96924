"""Writes and removes objects, and writes an object only if it has not changed: the atomic step of a store.

A store has no append, rename or lock file, but it refuses a conditional write if the object exists, or is not
the expected version any more. Where the answer to a conditional write is lost, the repeated request finds the
object that the first one wrote; so the content is compared before another writer is assumed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from nucbatch.core.errors import ImageUnavailable, InputError, StoreError
from nucbatch.object_store.connect import connected
from nucbatch.object_store.list_objects import objects
from nucbatch.object_store.requests import fetch, head, in_words, is_refused

_TRIES = 4
_PAUSE_S = 0.2
_WHOLE_BYTES = 64 << 20
_TOGETHER = 1000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Version:
    """Version of an object, as the store names it: ``e_tag``, and ``number`` where stores count versions."""

    e_tag: str | None
    number: str | None = None

    @classmethod
    def of(cls, found: Any) -> Version:
        """Returns the version in a store's answer."""
        return cls(found["e_tag"], found["version"])


def put(bucket: str, key: str, content: bytes | Path) -> None:
    """Writes an object; an existing one is replaced as a whole.

    Raises:
        InputError: the store refuses, or does not answer.
    """
    import obstore

    _repeated(bucket, lambda: obstore.put(connected(bucket), key, content))


def put_new(bucket: str, key: str, content: bytes) -> Version | None:
    """Writes an object that does not exist yet; None if another writer has written one.

    Raises:
        InputError: the store refuses, or does not answer.
    """
    return _put_if(bucket, key, content, "create")


def put_over(bucket: str, key: str, content: bytes, version: Version) -> Version | None:
    """Replaces a version of an object; None if it is not the latest any more.

    Raises:
        InputError: the store refuses, or does not answer.
    """
    named = {"e_tag": version.e_tag, "version": version.number}
    return _put_if(bucket, key, content, {name: value for name, value in named.items() if value})


def get(bucket: str, key: str) -> tuple[bytes, Version]:
    """Reads a small object as a whole.

    Raises:
        FileNotFoundError: there is no such object. StoreError: the store refuses, or does not answer.
    """
    for left in reversed(range(_TRIES)):
        try:
            content, found = fetch(bucket, key, 0, _WHOLE_BYTES)
        except ImageUnavailable as error:
            if not left:
                raise StoreError(f"{bucket}/{key}: {error}.") from error
            time.sleep(_PAUSE_S)
        else:
            return content, Version.of(found)
    raise AssertionError("unreachable")


def written_at(bucket: str, key: str) -> float:
    """Returns when an object was written by the store's clock, in seconds since 1970.

    Raises:
        FileNotFoundError: there is no such object. StoreError: the store refuses, or does not answer.
    """
    try:
        return float(head(bucket, key)["last_modified"].timestamp())
    except ImageUnavailable as error:
        raise StoreError(f"{bucket}/{key}: {error}.") from error


def delete(bucket: str, keys: Iterable[str]) -> None:
    """Removes objects; those that are gone already are no error.

    Raises:
        InputError: the store refuses, or does not answer.
    """
    import obstore

    def remove(some: list[str]) -> None:
        try:
            obstore.delete(connected(bucket), some)
        except FileNotFoundError:
            for key in some:
                try:
                    obstore.delete(connected(bucket), key)
                except FileNotFoundError:
                    continue

    left = iter(keys)
    while some := list(islice(left, _TOGETHER)):
        _repeated(bucket, partial(remove, some))


def objects_below(bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    """Yields the objects below a folder, as :func:`list_objects.objects`; goes on after an interruption.

    Raises:
        InputError: the store refuses, or does not answer.
    """
    after, failures = "", 0
    while True:
        try:
            for found in objects(bucket, prefix, after):
                yield found
                after, failures = found["path"], 0
        except InputError:
            failures += 1
            if failures == _TRIES:
                raise
            time.sleep(_PAUSE_S * 2**failures)
        else:
            return


def _put_if(bucket: str, key: str, content: bytes, mode: Any) -> Version | None:
    import obstore
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    def attempt() -> Version | None:
        try:
            return Version.of(obstore.put(connected(bucket), key, content, mode=mode, use_multipart=False))
        except (AlreadyExistsError, PreconditionError):
            try:
                there, version = get(bucket, key)
            except FileNotFoundError:
                return None
            return version if there == content else None

    return _repeated(bucket, attempt)


def _repeated(bucket: str, ask: Callable[[], T]) -> T:
    """Makes a request again whose connection was cut, which obstore does not always do.

    Raises:
        InputError: the store refuses, or does not answer.
    """
    from obstore.exceptions import BaseError

    for number in range(_TRIES - 1):
        try:
            return ask()
        except BaseError as error:
            if is_refused(error):
                break
            time.sleep(_PAUSE_S * 2**number)
    return in_words(bucket, ask)
