"""Lock of a run in an object store: allows one driver at a time below an address.

The lock is one object, ``.nucbatch/lock.json``, with the owner record of the driver. It is created only if
there is none, and replaced only as the version that was read: both are conditional writes, which a store
grants to one of several drivers. The owner replaces it every ten seconds as its heartbeat.

- On the same machine the record tells whether the owner is still running.
- On another machine the heartbeat tells: the owner counts as dead after a minute without one. The time is
  measured here, and its age by the store's clock, so the clocks of the two machines need not agree.
- A driver that was taken over finds another version at its next heartbeat, and before each commit.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict

from nucbatch.core.errors import InputError, RunLocked, StoreError
from nucbatch.object_store import ObjectPath
from nucbatch.object_store.writing import Version, delete, get, put, put_new, put_over, written_at
from nucbatch.store.lock import Holder
from nucbatch.store.owner import BEAT_S, DEAD_AFTER, Owner, heartbeat, named, read_owner

_LOOKS_PER_BEAT = 10


class RemoteLock:
    """Handle of a held lock."""

    def __init__(self, address: ObjectPath, owner: Owner, version: Version) -> None:
        self.address, self.owner = address, owner
        self._place, self._version, self._beats = _lock_of(address), version, 0
        self._is_lost = False

    def require(self) -> None:
        """Checks that this driver still owns the address.

        Raises:
            RunLocked: another driver has taken it over. StoreError: the store does not answer.
        """
        found = _read(self._place)
        holder = None if found is None else found[0]
        if self._is_lost or holder != self.owner:
            raise RunLocked(
                f"{self.address} was taken over by {named(holder)} after this driver missed its heartbeats. "
                "Finished fields are kept. Wait for the other driver to end."
            )

    def touch(self) -> None:
        """Sends a heartbeat.

        Raises:
            InputError, StoreError: the store does not answer.
        """
        self._beats += 1
        place = self._place
        version = put_over(place.bucket, place.key, _record(self.owner, self._beats), self._version)
        if version is None:
            found = _read(place)
            if found is None or found[0] != self.owner:
                self._is_lost = True
                return
            version = found[1]  # of an earlier heartbeat whose answer was lost
        self._version = version


@contextmanager
def remote_lock(address: ObjectPath, *, beat_s: float = BEAT_S) -> Iterator[RemoteLock]:
    """Holds the lock of an address inside the ``with`` block.

    The call waits only if a driver on another machine has left its record: until its heartbeat is seen, or
    for a minute.

    Args:
        address: the run's address.
        beat_s: interval of the heartbeat in seconds.

    Raises:
        RunLocked: another driver holds the lock; the message names its process and machine.
        InputError, StoreError: the store refuses, or does not answer.
    """
    owner = Owner.here()
    lock = RemoteLock(address, owner, _taken(address, owner, beat_s))
    try:
        with heartbeat(owner, lock.touch, beat_s):
            yield lock
    finally:
        with suppress(InputError, StoreError):  # the record of a driver that has ended is taken over
            found = _read(_lock_of(address))
            if found is not None and found[0] == owner:
                delete(address.bucket, [_lock_of(address).key])


def require_unlocked(address: ObjectPath, *, beat_s: float = BEAT_S) -> None:
    """Checks that no driver works below an address; writes nothing.

    Raises:
        RunLocked: one does. StoreError: the store does not answer.
    """
    found = _read(_lock_of(address))
    if found is not None and _lives(_lock_of(address), *found, beat_s):
        raise _in_use(address, found[0])


def remote_holder(address: ObjectPath) -> Holder | None:
    """Returns who holds the lock of an address, or left it when it was killed; None without an owner record.

    Takes no lock, writes nothing and does not wait.

    Raises:
        StoreError: the store does not answer.
    """
    place = _lock_of(address)
    found = _read(place)
    if found is None or found[0] is None:
        return None
    owner = found[0]
    try:
        age_s = max(0.0, time.time() - written_at(place.bucket, place.key))
    except FileNotFoundError:
        return None  # the driver has just ended
    runs = owner.holds if owner.is_here else age_s < DEAD_AFTER * BEAT_S
    return Holder(owner.host, owner.pid, age_s, owner.is_here, runs)


def _taken(address: ObjectPath, owner: Owner, beat_s: float) -> Version:
    """Writes the owner record, replacing that of a dead driver."""
    place = _lock_of(address)
    while True:
        version = put_new(place.bucket, place.key, _record(owner, 0))
        if version is not None:
            return version
        found = _read(place)
        if found is None:
            continue  # its driver has just ended
        if _lives(place, *found, beat_s):
            raise _in_use(address, found[0])
        version = put_over(place.bucket, place.key, _record(owner, 0), found[1])
        if version is not None:
            return version
        faster = _read(place)
        raise _in_use(address, None if faster is None else faster[0])


def _lives(place: ObjectPath, owner: Owner | None, version: Version, beat_s: float) -> bool:
    """Returns whether the recorded driver is still running."""
    if owner is not None and owner.is_here:
        return owner.holds
    most_s = DEAD_AFTER * beat_s
    if _age_s(place) >= most_s:
        return False
    deadline = time.monotonic() + most_s
    while time.monotonic() < deadline:
        time.sleep(beat_s / _LOOKS_PER_BEAT)
        found = _read(place)
        if found is None or found[1] != version:
            return found is not None
    return False


def _age_s(place: ObjectPath) -> float:
    """Returns the time since the last heartbeat by the store's clock, from an object written now."""
    aside = place.with_name(f"lock.{Owner.here().token}")
    try:
        put(aside.bucket, aside.key, b"")
        return written_at(aside.bucket, aside.key) - written_at(place.bucket, place.key)
    except FileNotFoundError:
        return 0.0
    except InputError:
        return 0.0  # it can be read but not written
    finally:
        with suppress(InputError):
            delete(aside.bucket, [aside.key])


def _record(owner: Owner, beats: int) -> bytes:
    return json.dumps(asdict(owner) | {"beats": beats}).encode() + b"\n"


def _read(place: ObjectPath) -> tuple[Owner | None, Version] | None:
    """Reads the owner record, None if it is damaged, and its version; None without an object."""
    try:
        content, version = get(place.bucket, place.key)
    except FileNotFoundError:
        return None
    return read_owner(content), version


def _lock_of(address: ObjectPath) -> ObjectPath:
    return address / ".nucbatch" / "lock.json"


def _in_use(address: ObjectPath, owner: Owner | None) -> RunLocked:
    return RunLocked(
        f"{address} is in use by {named(owner)}. Wait for it to end, or stop it, or name another address "
        "with -o."
    )
