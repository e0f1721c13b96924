"""Keeps a few containers open between reads, because opening one parses the metadata of all its images.

A CZI file of 3,456 scenes takes 0.7 s of processor time to open. A reader takes an open file for itself and
gives it back when it is done; one that failed is closed. Files that have changed since are not taken: their
size and time are part of the key.
"""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeVar

MOST_IDLE = 4
"""Most files kept open by a process."""

Key = tuple[str, str, int, int]
"""Format, path, size in bytes and modification time of a file."""


class Closable(Protocol):
    """Open file."""

    def rest(self) -> None:
        """Drops decoded pixels."""
        ...

    def close(self) -> None:
        """Closes the file."""
        ...


_File = TypeVar("_File", bound=Closable)

_idle: deque[tuple[Key, Closable]] = deque()
_lock = threading.Lock()


def take(key: Key, opened: Callable[[], _File]) -> _File:
    """Returns an idle file with this key, or opens it."""
    with _lock:
        for index, (other, file) in enumerate(_idle):
            if other == key:
                del _idle[index]
                return file  # type: ignore[return-value]  # a key has one kind of file
    return opened()


def give_back(key: Key, file: Closable) -> None:
    """Keeps a file for the next reader; closes the one that was idle longest if there are too many."""
    file.rest()
    with _lock:
        _idle.append((key, file))
        surplus = [_idle.popleft()[1] for _ in range(len(_idle) - MOST_IDLE)]
    for one in surplus:
        one.close()


def close_idle() -> None:
    """Closes all idle files."""
    with _lock:
        files = [file for _, file in _idle]
        _idle.clear()
    for file in files:
        file.close()


atexit.register(close_idle)
