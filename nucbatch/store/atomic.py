"""Atomic file writing: a temporary file beside the target, then a rename.

A durable write (the default) also survives a power failure: file and folder are flushed before the call
returns. The files of a task are not flushed one by one. :func:`flush_all` flushes all of them before the
task's receipt goes to the driver. For a field of 1,080 px one ``syncfs`` takes 4 to 8 ms on ext4, ``fsync``
of each file 28 to 79 ms (``python -m benchmarks.bench_flush``).
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from nucbatch.core.errors import StoreError

PARTIAL = ".partial"  # zarr ends its own temporary files the same way
_OF_A_WRITER = re.compile(r"\.[0-9a-f]{32}" + re.escape(PARTIAL) + "$")


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yields a temporary path that replaces ``path`` when the block ends without an error.

    Raises:
        StoreError: the file cannot be written; an existing file at ``path`` is unchanged.
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
        with suppress(FileNotFoundError, NotADirectoryError):
            temporary.unlink()
        if isinstance(error, OSError) and not isinstance(error, StoreError):
            raise cannot_write(path, error) from error
        raise


def write_bytes(
    path: Path, content: bytes | memoryview, *, durable: bool = True, folders: bool = False
) -> None:
    """Writes or replaces a file.

    Args:
        path: the file.
        content: all of its bytes.
        durable: flush the file and its folder's entries to disk.
        folders: create missing folders; without it the file's folder must exist.

    Raises:
        StoreError: the file cannot be written; an existing file at ``path`` is unchanged.
    """
    with replacing(path, durable=durable) as temporary:
        try:
            file = temporary.open("xb", buffering=0)
        except FileNotFoundError:
            if not folders:
                raise
            path.parent.mkdir(parents=True, exist_ok=True)
            file = temporary.open("xb", buffering=0)
        with file:
            left = memoryview(content)
            while left:
                left = left[file.write(left) :]


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Writes or replaces a UTF-8 file, as :func:`write_bytes`."""
    write_bytes(path, text.encode("utf-8"), durable=durable)


def whole_lines(descriptor: int) -> int:
    """Returns the size of an open file up to and including its last newline."""
    end = os.fstat(descriptor).st_size
    while end:
        begin = max(0, end - 65536)
        at = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return 0


def append_durably(descriptor: int, path: Path, content: bytes) -> None:
    """Appends to an open file, all or nothing; the content is on disk when the call returns.

    Raises:
        StoreError: the content cannot be written; the file keeps its length.
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
                f"{path} can't be written ({error.strerror or error}), and a partial line can't be removed "
                f"({worse.strerror or worse}): the disk or the network share has failed. When it works "
                "again, repeat the command: the run continues where it stopped."
            ) from error
        raise cannot_write(path, error) from error


def flush_folder(folder: Path) -> None:
    """Flushes a folder's entries (new names, renames) to disk."""
    try:
        _flush(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems have no flush for folders
            raise


def flush_all(paths: Iterable[Path]) -> None:
    """Flushes files written earlier and the entries of their folders.

    Uses one ``syncfs`` per file system where available, else flushes file by file.

    Raises:
        OSError: a flush failed.
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
    """Returns the C library's ``syncfs`` (Linux only), or None."""
    return getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


def remove_partials(folder: Path) -> int:
    """Removes temporary files of killed writers below ``folder`` and returns their number.

    No writer may be active there. Other files with the same ending are kept.
    """
    removed = 0
    for where, _, names in os.walk(folder):
        for name in names:
            if _OF_A_WRITER.search(name):
                Path(where, name).unlink(missing_ok=True)
                removed += 1
    return removed


def cannot_write(path: Path, error: OSError) -> StoreError:
    """Builds the error for a path that cannot be written."""
    return StoreError(
        f"{path} can't be written: {error.strerror or error}. Free some space or set the permissions, then "
        "run the same command again: it continues where it stopped."
    )


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
