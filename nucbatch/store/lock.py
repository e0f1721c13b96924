"""Who works in a run's folder: one driver at a time.

The lock is the operating system's, on ``.nucbatch/lock``, so it ends with the process that held it, however
that ended. Who holds it stands in ``.nucbatch/lock.holder``, for the message only.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from nucbatch.errors import RunLocked, StoreError
from nucbatch.store.atomic import cannot_write, write_text
from nucbatch.store.folder import RunFolder


@contextmanager
def run_lock(folder: RunFolder) -> Iterator[None]:
    """Holds the folder's lock for the block's duration; never waits. The folder must have been created.

    Raises:
        RunLocked: another driver holds it; the message has its process and machine.
        StoreError: the file system can't lock.
    """
    lock = filelock.FileLock(folder.lock, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise RunLocked(
            f"{folder.path} is in use by {_holder(folder)}. Wait for it to end, or stop it, or name another "
            "folder with -o."
        ) from error
    except NotImplementedError as error:
        raise StoreError(
            f"{folder.lock} can't be locked: this file system has no locks. Name a folder on another with -o."
        ) from error
    except OSError as error:
        raise cannot_write(folder.lock, error) from error
    try:
        holder = {"pid": os.getpid(), "host": socket.gethostname()}
        write_text(_holder_path(folder), json.dumps(holder) + "\n", durable=False)
        yield
    finally:
        _holder_path(folder).unlink(missing_ok=True)
        lock.release()


def _holder(folder: RunFolder) -> str:
    try:
        holder = json.loads(_holder_path(folder).read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # it has just taken the lock and not yet said who it is


def _holder_path(folder: RunFolder) -> Path:
    return folder.lock.with_name("lock.holder")
