"""Stamps (size and CRC-32C) of an image's files, and their verification.

A resumed run compares the sizes. It reads a file and compares its checksum if the file was modified after the
commit, or if ``--verify`` is given.

Names are paths below the image's group; ``@labels`` is the label TIFF and ``@table`` the table fragment.
Fields of one size have the same names, which are kept once in memory. A size takes 5 bytes and a checksum 4,
written as base64: about 200 characters for the 17 files of a field.
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
"""From this many files on, listing a folder is cheaper than looking up each file."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Size and CRC-32C of a file; a missing file has size -1."""

    size_bytes: int
    crc: int


ABSENT = Stamp(-1, 0)

Written = dict[Path, Stamp]
"""Files that were written, with the stamps of the bytes that were given to the disk."""


def stamp_of_bytes(content: bytes) -> Stamp:
    """Returns the stamp of a file with this content."""
    return Stamp(len(content), int(google_crc32c.value(content)))


def stamp_of(path: Path) -> tuple[Stamp, int]:
    """Reads a file and returns its stamp and its modification time (ns).

    Raises:
        OSError: the file cannot be read.
    """
    crc = size = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_AT_ONCE):
            crc, size = google_crc32c.extend(crc, block), size + len(block)
        return Stamp(size, crc), os.fstat(file.fileno()).st_mtime_ns


def packed(stamps: Iterable[Stamp]) -> str:
    """Encodes stamps as base64, 12 characters each."""
    return base64.b64encode(
        b"".join(
            stamp.size_bytes.to_bytes(_SIZE_BYTES, "little", signed=True)
            + stamp.crc.to_bytes(_CRC_BYTES, "little")
            for stamp in stamps
        )
    ).decode()


def unpacked(text: str) -> list[Stamp]:
    """Decodes stamps from :func:`packed`.

    Raises:
        ValueError: the text is damaged.
    """
    values = base64.b64decode(text, validate=True)
    if len(values) % (_SIZE_BYTES + _CRC_BYTES):
        raise ValueError(f"{len(values)} bytes are not a whole number of stamps")
    return [
        Stamp(
            int.from_bytes(values[at : at + _SIZE_BYTES], "little", signed=True),
            int.from_bytes(values[at + _SIZE_BYTES : at + _SIZE_BYTES + _CRC_BYTES], "little"),
        )
        for at in range(0, len(values), _SIZE_BYTES + _CRC_BYTES)
    ]


@dataclass(frozen=True, slots=True)
class Stamps:
    """Stamps of several files.

    Attributes:
        names: file names in ascending order, joined by spaces.
        packed: their stamps in the same order, see :func:`packed`.
    """

    names: str = ""
    packed: str = ""

    @classmethod
    def of(cls, stamps: Mapping[str, Stamp]) -> Stamps:
        """Builds the value from stamps by name."""
        ordered = sorted(stamps)
        return cls(sys.intern(" ".join(ordered)), packed(stamps[name] for name in ordered))

    def items(self) -> Iterator[tuple[str, Stamp]]:
        """Yields each file's name and stamp.

        Raises:
            ValueError: the numbers of names and stamps differ.
        """
        return zip(_names(self.names), unpacked(self.packed), strict=True)

    def stamp(self, name: str) -> Stamp:
        """Returns the stamp of one file.

        Raises:
            ValueError: there is no file of that name.
        """
        at = _names(self.names).index(name) * _CHARACTERS
        return unpacked(self.packed[at : at + _CHARACTERS])[0]

    def and_one(self, name: str, stamp: Stamp) -> Stamps:
        """Returns the stamps with one more file."""
        return Stamps.of(dict(self.items()) | {name: stamp})


@dataclass(frozen=True, slots=True)
class ImagePaths:
    """Paths of an image's files.

    Attributes:
        group: the image's group in the OME-Zarr.
        label_tiff: its label TIFF.
        table: its table fragment.
    """

    group: Path
    label_tiff: Path
    table: Path

    def path(self, name: str) -> Path:
        """Returns the path of a file by its name in the stamps."""
        if name == LABEL_TIFF:
            return self.label_tiff
        return self.table if name == TABLE else self.group.joinpath(*PurePosixPath(name).parts)

    def name(self, path: Path) -> str:
        """Returns the name of a file in the stamps."""
        text, group = path.as_posix(), f"{self.group.as_posix()}/"
        if text.startswith(group):  # relative_to takes ten times as long, for each of a field's 16 files
            return text[len(group) :]
        return {self.label_tiff: LABEL_TIFF, self.table: TABLE}[path]

    def named(self, written: Mapping[Path, Stamp]) -> Stamps:
        """Returns the stamps of files by their names in the stamps."""
        return Stamps.of({self.name(path): stamp for path, stamp in written.items()})

    def stamps(self, paths: Iterable[Path]) -> tuple[Stamps, int]:
        """Reads files and returns their stamps and the latest modification time (ns).

        Raises:
            OSError: a file cannot be read.
        """
        read = {self.name(path): stamp_of(path) for path in paths}
        newest = max((changed_ns for _, changed_ns in read.values()), default=0)
        return Stamps.of({name: stamp for name, (stamp, _) in read.items()}), newest

    def problems(self, stamps: Stamps, committed_ns: int, *, verify: bool = False) -> dict[str, str]:
        """Checks files against their stamps.

        Args:
            stamps: the expected stamps.
            committed_ns: time of the commit by the file system's clock; files modified later are read.
            verify: read all files.

        Returns:
            The problem of each file that does not match, by name; empty if all match.
        """
        found = self._found(stamps.names)
        try:
            looks = {
                name: file_problem(self.path(name), found.get(name), stamp, committed_ns, verify=verify)
                for name, stamp in stamps.items()
            }
        except ValueError as error:
            return {TABLE: f"its list of files is damaged ({error})"}
        return {name: what for name, what in looks.items() if what}

    def _found(self, names: str) -> dict[str, os.stat_result]:
        """Returns the stat results of the existing files."""
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
    """Returns the stat result of a file; None if it is missing or inaccessible."""
    try:
        return os.stat(path)  # noqa: PTH116  # Path.stat takes twice as long, and there are millions of files
    except OSError:
        return None


def file_problem(
    path: Path, found: os.stat_result | None, stamp: Stamp, committed_ns: int, *, verify: bool = False
) -> str:
    """Checks a file against its stamp.

    Args:
        path: the file.
        found: its stat result; None if it is missing.
        stamp: the expected stamp.
        committed_ns: time of the commit; a file modified later is read.
        verify: read the file in any case.

    Returns:
        The problem, as it continues the sentence "PATH …"; empty if the file matches.
    """
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
    """Groups names below the image's group by folder: (parts of the folder, names by file name)."""
    folders: dict[tuple[str, ...], dict[str, str]] = {}
    for name in _names(names):
        if name not in (LABEL_TIFF, TABLE):
            *folder, entry = name.split("/")
            folders.setdefault(tuple(folder), {})[entry] = name
    return tuple(folders.items())
