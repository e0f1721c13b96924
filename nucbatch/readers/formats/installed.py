"""Finds the installed file formats: those of the entry points ``nucbatch.formats``.

A file's format is the first, in the order of names, that recognises its first bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import BinaryIO

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.core.extensions import registered
from nucbatch.readers.formats.contract import ContainerFormat, FileFormat

GROUP = "nucbatch.formats"
_START_BYTES = 32


@lru_cache(maxsize=1)
def known_formats() -> tuple[FileFormat, ...]:
    """Returns all installed formats in the order of their names.

    Raises:
        InputError: there are none, as in an installation older than the code.
    """
    found: list[FileFormat] = [point.load()() for point in registered(GROUP)]
    if not found:
        raise InputError(
            f"no file format is installed (entry points {GROUP}): install nucbatch again, because what it "
            "registers has changed since: python -m pip install --no-deps -e ."
        )
    return tuple(sorted(found, key=lambda one: one.name))


@lru_cache(maxsize=1)
def image_suffixes() -> frozenset[str]:
    """Returns the endings of files that can be read, in lower case and with the dot."""
    return frozenset(suffix for one in known_formats() for suffix in one.suffixes)


@lru_cache(maxsize=1)
def container_formats() -> dict[str, ContainerFormat]:
    """Returns the formats of containers by the endings of their files."""
    return {
        suffix: one
        for one in known_formats()
        if isinstance(one, ContainerFormat)
        for suffix in one.containers
    }


def format_of(file: BinaryIO) -> FileFormat:
    """Detects the format of an open file from its first bytes, and returns to its beginning.

    Raises:
        UnreadableImage: no installed format; the message says what it looks like.
    """
    start = file.read(_START_BYTES)
    file.seek(0)
    for one in known_formats():
        if one.recognises(start):
            return one
    if not start:
        raise UnreadableImage("empty file (0 bytes)")
    if start.lstrip()[:1] == b"<":
        raise UnreadableImage("a web page or XML text, no image")
    if not start.strip(b"\0"):
        raise UnreadableImage("begins with zeros, as after an interrupted copy")
    names = ", ".join(one.name for one in known_formats())
    raise UnreadableImage(f"none of the formats {names} (begins with {start[:8]!r})")
