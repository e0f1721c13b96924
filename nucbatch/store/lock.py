"""One driver at a time in a run's folder.

``flock`` on ``.nucbatch/lock`` ends with the process that holds it, however that ended. But some file systems
have no ``flock``, and on others it succeeds for everybody (NFS with ``local_lock``, some FUSE). So the driver
also keeps its name in ``.nucbatch/lock.holder``: its machine, process and start time. On the same machine
that tells whether it still runs. For other machines it touches the file every ten seconds; a driver that has
not done so for a minute is dead. Before each commit the driver looks whether the name is still its own, so
that of two that may have begun at once one stops.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from nucbatch.core.errors import RunLocked
from nucbatch.store.atomic import cannot_write, write_text
from nucbatch.store.folder import RunFolder

BEAT_S = 10.0
"""How often a driver touches its name."""

_DEAD_AFTER = 6
"""Beats without a touch after which a driver on another machine counts as dead."""

_LOOKS_PER_BEAT = 10
_HELD_BY_ANOTHER = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
_NO_FLOCK = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}


@dataclass(frozen=True, slots=True)
class Owner:
    """A driver: the machine (its boot and process namespace), the process, when that began, and a token."""

    host: str
    machine: str
    pid: int
    began: str
    token: str

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        pid = os.getpid()
        return cls(socket.gethostname(), _machine(), pid, _began(pid), uuid.uuid4().hex)


_OWNER = TypeAdapter(Owner)
_HELD_HERE: set[str] = set()  # tokens of the locks that this process holds


class RunLock:
    """A lock that is held."""

    def __init__(self, folder: RunFolder, owner: Owner) -> None:
        self._folder, self._owner, self._record = folder, owner, _record(folder)

    def require(self) -> None:
        """Makes sure that no other driver has taken the folder over.

        Raises:
            RunLocked: one has.
        """
        found = _read(self._record)
        if found is None and _claimed(self._record, self._owner):
            return  # somebody has removed it
        if found != self._owner:
            raise RunLocked(
                f"{self._folder.path} was taken over by {_named(found)} while this one was silent. What is "
                "done is kept; wait for that one to end."
            )

    def touch(self) -> None:
        """Shows other machines that this driver lives."""
        if _read(self._record) == self._owner:
            os.utime(self._record)


@contextmanager
def run_lock(folder: RunFolder, *, beat_s: float = BEAT_S) -> Iterator[RunLock]:
    """Holds the folder's lock for the block's duration. The folder must have been created.

    Waits only where a driver on another machine has left its name: until it is seen to live, or for a minute.

    Raises:
        RunLocked: another driver holds it; the message has its process and machine.
        StoreError: the file system can't be written.
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
        _HELD_HERE.add(owner.token)
        lock, ended = RunLock(folder, owner), threading.Event()
        beating = threading.Thread(
            target=_beat, args=(lock, ended, beat_s), name="nucbatch-lock", daemon=True
        )
        beating.start()
        try:
            yield lock
        finally:
            ended.set()
            beating.join(beat_s)  # a touch may hang with the network share
            _HELD_HERE.discard(owner.token)
            if _read(_record(folder)) == owner:
                _record(folder).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _flock(folder: RunFolder, descriptor: int) -> None:
    """Takes the operating system's lock, where there is one."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD_BY_ANOTHER:
            raise _in_use(folder, _read(_record(folder))) from error
        if error.errno not in _NO_FLOCK:
            raise cannot_write(folder.lock, error) from error


def _take(folder: RunFolder, owner: Owner, beat_s: float) -> None:
    """Writes the driver's name, where there is none, or that of a dead one."""
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
        if taken != found:  # that other driver's, which lives
            with suppress(FileExistsError):
                os.link(aside, record)
            aside.unlink()
            raise _in_use(folder, taken)
        aside.unlink()


def _lives(record: Path, owner: Owner | None, beat_s: float) -> bool:
    """Whether the driver whose name stands there still runs."""
    if owner is not None and owner.machine == _machine():
        if owner.pid == os.getpid():
            return owner.token in _HELD_HERE
        return owner.began == _began(owner.pid)
    begun = _touched(record)
    deadline = time.monotonic() + _DEAD_AFTER * beat_s
    while begun is not None and _file_time(record) - begun < _DEAD_AFTER * beat_s:
        time.sleep(beat_s / _LOOKS_PER_BEAT)
        if _touched(record) != begun:
            return True
        if time.monotonic() > deadline:
            break
    return False


def _claimed(record: Path, owner: Owner) -> bool:
    """Whether the name could be written; not where there is one."""
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


def _beat(lock: RunLock, ended: threading.Event, beat_s: float) -> None:
    while not ended.wait(beat_s):
        with suppress(OSError):  # it may be written again by the next beat
            lock.touch()


def _in_use(folder: RunFolder, owner: Owner | None) -> RunLocked:
    return RunLocked(
        f"{folder.path} is in use by {_named(owner)}. Wait for it to end, or stop it, or name another folder "
        "with -o."
    )


def _named(owner: Owner | None) -> str:
    return "another process" if owner is None else f"process {owner.pid} on {owner.host}"


def _record(folder: RunFolder) -> Path:
    return folder.lock.with_name("lock.holder")


def _read(record: Path) -> Owner | None:
    """Whose name stands there; None if there is none, or it is damaged."""
    try:
        return _OWNER.validate_json(record.read_bytes())
    except (OSError, ValidationError):
        return None


def _touched(record: Path) -> float | None:
    """When the name was touched last. By an open file, because network shares remember what a path said."""
    try:
        with record.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return None


def _file_time(record: Path) -> float:
    """What time it is by the clock of the file system."""
    aside = record.with_name(f"{record.name}.{uuid.uuid4().hex}.partial")
    try:
        aside.touch()
        return aside.stat().st_mtime
    finally:
        aside.unlink(missing_ok=True)


@cache
def _machine() -> str:
    """The machine since it was started, and the namespace in which a process number means something."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    return socket.gethostname()


def _began(pid: int) -> str:
    """When a process began, in the system's own ticks; empty if there is none, or it has ended."""
    try:
        after_name = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        )
    except OSError:
        return ""
    state, *values = after_name.split()
    return "" if state in "ZX" else values[18]
