"""The files that an image left, each with its name, size and CRC-32C, and whether they still are as written.

Sizes are compared whenever a run is taken up again. A file that was changed since it was committed, and one
that is to be verified, is read and its checksum compared.

Names are paths below the image's group, with two that lie elsewhere: ``@labels`` is the label TIFF and
``@table`` the table fragment. Fields of one size have the same names, so these are kept once in memory. A
size takes 5 bytes and a checksum 4, written as base64: some 200 characters for a field's 17 files.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import google_crc32c

LABEL_TIFF, TABLE = "@labels", "@table"

_SIZE_BYTES, _CRC_BYTES = 5, 4
_CHARACTERS = 12  # of a packed stamp
_AT_ONCE = 2**20
_SCANNED_FROM = 5
"""Files wanted of a folder from which on listing it is cheaper than looking up each."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file's size and CRC-32C; of a file that is not there the size is -1."""

    size_bytes: int
    crc: int


ABSENT = Stamp(-1, 0)


def stamp_of(path: Path) -> tuple[Stamp, int]:
    """Reads a file; its stamp, and when it was changed last (ns).

    Raises:
        OSError: it can't be read.
    """
    crc = size = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_AT_ONCE):
            crc, size = google_crc32c.extend(crc, block), size + len(block)
        return Stamp(size, crc), os.fstat(file.fileno()).st_mtime_ns


def packed(stamps: Iterable[Stamp]) -> str:
    """Stamps as base64, 12 characters each."""
    return base64.b64encode(
        b"".join(
            stamp.size_bytes.to_bytes(_SIZE_BYTES, "little", signed=True)
            + stamp.crc.to_bytes(_CRC_BYTES, "little")
            for stamp in stamps
        )
    ).decode()


def unpacked(text: str) -> list[Stamp]:
    """What :func:`packed` packed.

    Raises:
        ValueError: it is damaged.
    """
    values = base64.b64decode(text, validate=True)
    if len(values) % (_SIZE_BYTES + _CRC_BYTES):
        raise ValueError(f"{len(values)} bytes are no whole number of stamps")
    return [
        Stamp(
            int.from_bytes(values[at : at + _SIZE_BYTES], "little", signed=True),
            int.from_bytes(values[at + _SIZE_BYTES : at + _SIZE_BYTES + _CRC_BYTES], "little"),
        )
        for at in range(0, len(values), _SIZE_BYTES + _CRC_BYTES)
    ]


@dataclass(frozen=True, slots=True)
class Stamps:
    """Names, ascending and joined by spaces, and as many packed stamps."""

    names: str = ""
    packed: str = ""

    @classmethod
    def of(cls, stamps: Mapping[str, Stamp]) -> Stamps:
        """Stamps by name."""
        ordered = sorted(stamps)
        return cls(sys.intern(" ".join(ordered)), packed(stamps[name] for name in ordered))

    def items(self) -> Iterator[tuple[str, Stamp]]:
        """Each file's name and stamp.

        Raises:
            ValueError: there are not as many names as stamps.
        """
        return zip(_names(self.names), unpacked(self.packed), strict=True)

    def stamp(self, name: str) -> Stamp:
        """One file's stamp.

        Raises:
            ValueError: there is none of that name.
        """
        at = _names(self.names).index(name) * _CHARACTERS
        return unpacked(self.packed[at : at + _CHARACTERS])[0]

    def and_one(self, name: str, stamp: Stamp) -> Stamps:
        """These, and another file's."""
        return Stamps.of(dict(self.items()) | {name: stamp})


@dataclass(frozen=True, slots=True)
class Places:
    """Where the files of an image lie: its group in the OME-Zarr, its label TIFF, its table fragment."""

    group: Path
    label_tiff: Path
    table: Path

    def path(self, name: str) -> Path:
        """A file's path, by its name in the stamps."""
        if name == LABEL_TIFF:
            return self.label_tiff
        return self.table if name == TABLE else self.group.joinpath(*PurePosixPath(name).parts)

    def name(self, path: Path) -> str:
        """A file's name in the stamps."""
        if path == self.label_tiff:
            return LABEL_TIFF
        return TABLE if path == self.table else path.relative_to(self.group).as_posix()

    def stamps(self, paths: Iterable[Path]) -> tuple[Stamps, int]:
        """Reads files; their stamps, and when the last of them was changed (ns).

        Raises:
            OSError: one can't be read.
        """
        read = {self.name(path): stamp_of(path) for path in paths}
        newest = max((changed_ns for _, changed_ns in read.values()), default=0)
        return Stamps.of({name: stamp for name, (stamp, _) in read.items()}), newest

    def wrong(self, stamps: Stamps, committed_ns: int, *, verify: bool = False) -> dict[str, str]:
        """What is wrong with files, by their names; nothing of those that are as they were written.

        Args:
            committed_ns: when they were committed, in the file system's own time. Files that were changed
                later are read.
            verify: read all of them.
        """
        found = self._found(stamps.names)
        try:
            looks = {
                name: wrong_with(self.path(name), found.get(name), stamp, committed_ns, verify=verify)
                for name, stamp in stamps.items()
            }
        except ValueError as error:
            return {TABLE: f"its list of files is damaged ({error})"}
        return {name: what for name, what in looks.items() if what}

    def _found(self, names: str) -> dict[str, os.stat_result]:
        """What the file system says of files, of those that there are."""
        found: dict[str, os.stat_result] = {}
        for folder, entries in _by_folder(names):
            where = str(self.group.joinpath(*folder))
            try:
                if len(entries) >= _SCANNED_FROM:
                    with os.scandir(where) as listed:
                        found |= {entries[one.name]: one.stat() for one in listed if one.name in entries}
                    continue
            except OSError:
                continue
            for entry, name in entries.items():
                info = stat_of(f"{where}{os.sep}{entry}")
                if info is not None:
                    found[name] = info
        for name, path in ((LABEL_TIFF, self.label_tiff), (TABLE, self.table)):
            if name in _names(names) and (info := stat_of(path)) is not None:
                found[name] = info
        return found


def stat_of(path: str | Path) -> os.stat_result | None:
    """What the file system says of a file; None if it is not there, or can't be looked at."""
    try:
        return os.stat(path)  # noqa: PTH116  # a Path takes twice as long, and there are millions
    except OSError:
        return None


def wrong_with(
    path: Path, found: os.stat_result | None, stamp: Stamp, committed_ns: int, *, verify: bool = False
) -> str:
    """What is wrong with a file, of which the file system says what was ``found``; empty if nothing is."""
    if found is None:
        return "" if stamp == ABSENT else "is gone"
    if stamp == ABSENT:
        return "should not be there"
    if found.st_size != stamp.size_bytes:
        return f"has {found.st_size:,} bytes, not {stamp.size_bytes:,}"
    if not verify and found.st_mtime_ns <= committed_ns:
        return ""
    try:
        return "" if stamp_of(path)[0] == stamp else "has other bytes than were written"
    except OSError as error:
        return f"can't be read ({error.strerror or error})"


@lru_cache(maxsize=64)
def _names(names: str) -> tuple[str, ...]:
    return tuple(names.split(" ")) if names else ()


@lru_cache(maxsize=64)
def _by_folder(names: str) -> tuple[tuple[tuple[str, ...], dict[str, str]], ...]:
    """Names below the group by the folders they lie in: (parts of the folder, names by its entries)."""
    folders: dict[tuple[str, ...], dict[str, str]] = {}
    for name in _names(names):
        if name not in (LABEL_TIFF, TABLE):
            *folder, entry = name.split("/")
            folders.setdefault(tuple(folder), {})[entry] = name
    return tuple(folders.items())
