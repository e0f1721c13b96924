"""How a file appears: whole or not at all, by a temporary file beside it and a rename.

Two grades. Durable (the default) also survives a loss of power: file and folder are flushed to the disk
before the call returns. What a task writes is not, file by file: all of it is flushed at once, by
:func:`flush_all`, before the task's receipt goes to the driver. For a field of 1,080 px one ``syncfs``
takes 4 to 8 ms on ext4, ``fsync`` of each of its files 28 to 79 ms (``python -m benchmarks.bench_flush``).
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from nucbatch.core.errors import StoreError

PARTIAL = ".partial"  # zarr ends its own temporary files the same way
_OF_A_WRITER = re.compile(r"\.[0-9a-f]{32}" + re.escape(PARTIAL) + "$")


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary path in ``path``'s folder that takes its place when the block ends without an error.

    Raises:
        StoreError: the file can't be written; what stood at ``path`` is untouched.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        yield temporary
        if durable:
            _flush(temporary)
        temporary.replace(path)
        if durable:
            flush_folder(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, StoreError):
            raise cannot_write(path, error) from error
        raise


def write_bytes(path: Path, content: bytes | memoryview, *, durable: bool = True) -> None:
    """Writes or replaces one file; its folder must exist.

    Raises:
        StoreError: the file can't be written; what stood at ``path`` is untouched.
    """
    with replacing(path, durable=durable) as temporary, temporary.open("wb") as file:
        file.write(content)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Writes or replaces one UTF-8 file; as :func:`write_bytes`."""
    write_bytes(path, text.encode("utf-8"), durable=durable)


def whole_lines(descriptor: int) -> int:
    """Bytes of an open file up to and including its last newline."""
    end = os.fstat(descriptor).st_size
    while end:
        begin = max(0, end - 65536)
        at = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return 0


def append_durably(descriptor: int, path: Path, content: bytes) -> None:
    """Appends to an open file; it is on the disk when the call returns, whole or not at all.

    Raises:
        StoreError: it can't be written; the file is as long as before.
    """
    begin = os.fstat(descriptor).st_size
    try:
        written = 0
        while written < len(content):
            written += os.write(descriptor, content[written:])
        os.fsync(descriptor)
    except OSError as error:
        try:
            os.ftruncate(descriptor, begin)  # half a line would damage the next
        except OSError as worse:
            raise StoreError(
                f"{path} can't be written ({error.strerror or error}), and what was half written can't be "
                f"taken back ({worse.strerror or worse}): the disk or the network share has failed. When it "
                "is mended, run the same command again: it goes on where it stopped."
            ) from error
        raise cannot_write(path, error) from error


def flush_folder(folder: Path) -> None:
    """Makes a folder's own entries (new names, renames) durable."""
    try:
        _flush(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems have no flush for folders
            raise


def flush_all(paths: Iterable[Path]) -> None:
    """Makes files durable that were written before, and their folders' entries.

    By ``syncfs`` of their file system where there is such a call, else file by file.

    Raises:
        OSError: something can't be flushed.
    """
    listed = list(paths)
    folders = {path.parent for path in listed}
    devices = {folder.stat().st_dev: folder for folder in folders}
    syncfs = _syncfs()
    if syncfs is None:
        for path in listed:
            _flush(path)
        for folder in folders:
            flush_folder(folder)
        return
    for folder in devices.values():
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            if syncfs(descriptor):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
        finally:
            os.close(descriptor)


@cache
def _syncfs() -> Any:
    """The C library's syncfs; None where it has none (it is Linux' own)."""
    return getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


def remove_partials(folder: Path) -> int:
    """Removes what killed writers left below ``folder``, and counts it. Only while nothing writes there.

    What somebody else keeps there under a name of the same ending stays.
    """
    removed = 0
    for where, _, names in os.walk(folder):
        for name in names:
            if _OF_A_WRITER.search(name):
                Path(where, name).unlink(missing_ok=True)
                removed += 1
    return removed


def cannot_write(path: Path, error: OSError) -> StoreError:
    """The error for a path that can't be written, with the mend."""
    return StoreError(
        f"{path} can't be written: {error.strerror or error}. Make room or set the permissions, then run the "
        "same command again: it goes on where it stopped."
    )


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
