"""Run lock: allows one driver at a time in a run's folder.

``flock`` on ``.nucbatch/lock`` is released when the holding process ends, however it ends. Some file systems
have no ``flock``, and on others every process gets it (NFS with ``local_lock``, some FUSE). The driver
therefore also writes an owner record, ``.nucbatch/lock.holder``, with its machine, process and start time.

- On the same machine the record tells whether the owner is still running.
- On another machine the owner's heartbeat tells: it touches the record every ten seconds, and counts as dead
  after a minute without one.
- Before each commit the driver checks that the record is still its own. If two drivers started at the same
  moment, one of them stops there.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from nucbatch.core.errors import RunLocked
from nucbatch.store.atomic import cannot_write, write_text
from nucbatch.store.owner import BEAT_S, DEAD_AFTER, Owner, heartbeat, named, read_owner
from nucbatch.store.run_folder import RunFolder

_LOOKS_PER_BEAT = 10
_HELD_BY_ANOTHER = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
_NO_FLOCK = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}


class RunLock:
    """Handle of a held run lock."""

    def __init__(self, folder: RunFolder, owner: Owner) -> None:
        self._folder, self._owner, self._record = folder, owner, _record(folder)

    def require(self) -> None:
        """Checks that this driver still owns the folder.

        Raises:
            RunLocked: another driver has taken it over.
        """
        found = _read(self._record)
        if found is None and _claimed(self._record, self._owner):
            return  # the record had been removed
        if found != self._owner:
            raise RunLocked(
                f"{self._folder.path} was taken over by {named(found)} after this driver missed its "
                "heartbeats. Finished fields are kept. Wait for the other driver to end."
            )

    def touch(self) -> None:
        """Sends a heartbeat to drivers on other machines."""
        if _read(self._record) == self._owner:
            os.utime(self._record)


@contextmanager
def run_lock(folder: RunFolder, *, beat_s: float = BEAT_S) -> Iterator[RunLock]:
    """Holds the folder's lock inside the ``with`` block.

    The call waits only if a driver on another machine has left its record: until its heartbeat is seen, or
    for a minute.

    Args:
        folder: an existing run's folder.
        beat_s: interval of the heartbeat in seconds.

    Raises:
        RunLocked: another driver holds the lock; the message names its process and machine.
        StoreError: the file system cannot be written.
    """
    owner = Owner.here()
    try:
        descriptor = os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise cannot_write(folder.lock, error) from error
    try:
        _flock(folder, descriptor)
        try:
            _take(folder, owner, beat_s)
        except OSError as error:
            raise cannot_write(_record(folder), error) from error
        lock = RunLock(folder, owner)
        try:
            with heartbeat(owner, lock.touch, beat_s):
                yield lock
        finally:
            if _read(_record(folder)) == owner:
                _record(folder).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Holder:
    """The driver that an owner record names, as seen by a process that only reads.

    Attributes:
        host: the driver's machine.
        pid: its process there.
        beat_age_s: time since its last heartbeat, in seconds by this machine's clock.
        is_here: whether it is a process of this machine, which can be asked whether it runs.
        runs: whether it runs: known on this machine; elsewhere, whether its heartbeat is recent.
    """

    host: str
    pid: int
    beat_age_s: float
    is_here: bool
    runs: bool


def holder(folder: RunFolder) -> Holder | None:
    """Returns who holds the folder's lock, or left it when it was killed; None without an owner record.

    Takes no lock, writes nothing and does not wait.
    """
    record = _record(folder)
    owner, beat = _read(record), _touched(record)
    if owner is None or beat is None:
        return None
    age_s = max(0.0, time.time() - beat)
    runs = owner.runs if owner.is_here else age_s < DEAD_AFTER * BEAT_S
    return Holder(owner.host, owner.pid, age_s, owner.is_here, runs)


def _flock(folder: RunFolder, descriptor: int) -> None:
    """Takes the operating system's lock, where the file system supports it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD_BY_ANOTHER:
            raise _in_use(folder, _read(_record(folder))) from error
        if error.errno not in _NO_FLOCK:
            raise cannot_write(folder.lock, error) from error


def _take(folder: RunFolder, owner: Owner, beat_s: float) -> None:
    """Writes the owner record, replacing that of a dead driver."""
    record = _record(folder)
    while not _claimed(record, owner):
        found = _read(record)
        if _lives(record, found, beat_s):
            raise _in_use(folder, found)
        aside = record.with_name(f"{record.name}.{owner.token}.partial")
        try:
            record.rename(aside)
        except FileNotFoundError:
            continue  # another driver was faster
        taken = _read(aside)
        if taken != found:  # the record of a faster driver, which is running
            with suppress(FileExistsError):
                os.link(aside, record)
            aside.unlink()
            raise _in_use(folder, taken)
        aside.unlink()


def _lives(record: Path, owner: Owner | None, beat_s: float) -> bool:
    """Returns whether the recorded driver is still running."""
    if owner is not None and owner.is_here:
        return owner.holds
    begun = _touched(record)
    deadline = time.monotonic() + DEAD_AFTER * beat_s
    while begun is not None and _file_time(record) - begun < DEAD_AFTER * beat_s:
        time.sleep(beat_s / _LOOKS_PER_BEAT)
        if _touched(record) != begun:
            return True
        if time.monotonic() > deadline:
            break
    return False


def _claimed(record: Path, owner: Owner) -> bool:
    """Writes the owner record; False if one exists."""
    text = json.dumps(asdict(owner)) + "\n"
    aside = record.with_name(f"{record.name}.{owner.token}.partial")
    write_text(aside, text, durable=False)
    try:
        os.link(aside, record)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        try:
            with record.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            return False
    finally:
        aside.unlink()
    return True


def _in_use(folder: RunFolder, owner: Owner | None) -> RunLocked:
    return RunLocked(
        f"{folder.path} is in use by {named(owner)}. Wait for it to end, or stop it, or name another folder "
        "with -o."
    )


def _record(folder: RunFolder) -> Path:
    return folder.lock.with_name("lock.holder")


def _read(record: Path) -> Owner | None:
    """Reads the owner record; None if it is absent or damaged."""
    try:
        return read_owner(record.read_bytes())
    except OSError:
        return None


def _touched(record: Path) -> float | None:
    """Returns the time of the last heartbeat; from an open file, because network shares cache metadata."""
    try:
        with record.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return None


def _file_time(record: Path) -> float:
    """Returns the current time by the file system's clock."""
    aside = record.with_name(f"{record.name}.{uuid.uuid4().hex}.partial")
    try:
        aside.touch()
        return aside.stat().st_mtime
    finally:
        aside.unlink(missing_ok=True)
