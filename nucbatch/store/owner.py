"""Owner record of a lock: identifies the driver that holds it, and tells whether it still runs.

A process id is valid on one machine, since its last boot and in one namespace, so the record has these too.
Whether a driver on another machine runs can only be told from its heartbeat.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from nucbatch.core.errors import InputError, StoreError

BEAT_S = 10.0
"""Interval of the heartbeat, in seconds."""

DEAD_AFTER = 6
"""Number of missed heartbeats after which a driver on another machine counts as dead."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Owner record: identifies the driver that holds a lock.

    Attributes:
        host: host name, for messages.
        machine: host, boot id and process namespace, in which ``pid`` is valid.
        pid: process id of the driver.
        began: start time of the process, in the system's own ticks.
        token: unique id of this lock.
    """

    host: str
    machine: str
    pid: int
    began: str
    token: str

    @classmethod
    def here(cls) -> Owner:
        """Creates the record of the current process."""
        pid = os.getpid()
        return cls(socket.gethostname(), _machine(), pid, _began(pid), uuid.uuid4().hex)

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine, which can be asked whether it runs."""
        return self.machine == _machine()

    @property
    def runs(self) -> bool:
        """Whether the process runs; meaningful only if it :attr:`is_here`."""
        return self.began == _began(self.pid)

    @property
    def holds(self) -> bool:
        """Whether the process holds this lock; meaningful only if it :attr:`is_here`."""
        return self.token in _HELD_HERE if self.pid == os.getpid() else self.runs


_OWNER = TypeAdapter(Owner)

_HELD_HERE: set[str] = set()
"""Tokens of the locks that this process holds."""


@contextmanager
def heartbeat(owner: Owner, touch: Callable[[], object], beat_s: float) -> Iterator[None]:
    """Keeps a lock alive while the context lasts: calls ``touch`` every ``beat_s`` seconds, in a thread.

    InputError, StoreError and OSError of ``touch`` are ignored, because the next heartbeat may succeed.
    """
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(beat_s):
            with suppress(InputError, StoreError, OSError):
                touch()

    _HELD_HERE.add(owner.token)
    beating = threading.Thread(target=beat, name="nucbatch-lock", daemon=True)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join(beat_s)  # a heartbeat may hang on a network share, or while a store is away
        _HELD_HERE.discard(owner.token)


def read_owner(content: bytes) -> Owner | None:
    """Parses an owner record; None if it is damaged."""
    try:
        return _OWNER.validate_json(content)
    except ValidationError:
        return None


def named(owner: Owner | None) -> str:
    """Names a driver for a message."""
    return "another process" if owner is None else f"process {owner.pid} on {owner.host}"


@cache
def _machine() -> str:
    """Identifies the machine since its last boot, and the namespace in which process ids are valid."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    return socket.gethostname()


def _began(pid: int) -> str:
    """Returns the start time of a process in the system's own ticks; empty if it does not run."""
    try:
        after_name = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        )
    except OSError:
        return ""
    state, *values = after_name.split()
    return "" if state in "ZX" else values[18]
