"""How long a read may take: a disk or network share that does not answer fails its field, not the run.

Decisions owned here: a read runs in a thread of its own, and who waits for it gives up after so many seconds.
A call that hangs in the system can't be ended from outside, not even in a process of its own (a hard NFS
mount ignores SIGKILL), and a process would have to send every pixel back; so the thread is left behind, as a
daemon that keeps no process alive, and what it still reads is thrown away. At most :data:`MOST_LEFT` are left
behind in one process: while that many hang, nothing answers there, and further reads are refused at once, so
that a share which is gone ends a run within minutes instead of one timeout per field. As soon as one of them
comes back, so does the share, and reads go on. A read of many steps tells that it is alive after each. One
whose thread was busy meanwhile did not wait for the share: it is the decoding that takes long.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from nucbatch.core.errors import ImageUnavailable

MOST_LEFT = 8
_BUSY_SHARE = 0.1  # of the time; waiting for a share takes next to none, and other work may take the rest

T = TypeVar("T")
Beat = Callable[[], None]
"""Told by a read after each of its steps; the time begins anew."""

_left = 0
_lock = threading.Lock()


def within(seconds: float, shown: str, read: Callable[[Beat], T]) -> T:
    """What ``read`` returns or raises, if it comes back in time. ``shown`` names the file in messages.

    Raises:
        ImageUnavailable: it did not come back, or too many before it hang.
    """
    if hanging() >= MOST_LEFT:
        raise ImageUnavailable(
            f"{shown}: not read, because {MOST_LEFT} reads before it don't come back after {seconds:g} s "
            "each: the disk or network share does not answer. Once it does, give the same command again"
        )
    one = _Read(read)
    if not one.waited(seconds):
        if one.busy_s >= seconds * _BUSY_SHARE:
            raise ImageUnavailable(
                f"{shown}: not decoded within {seconds:g} s, {one.busy_s:.1f} s of which the processor was "
                "busy with it: save it again in another compression, or wait longer with --read-timeout"
            )
        raise ImageUnavailable(
            f"{shown}: not read within {seconds:g} s: the disk or network share does not answer. Once it "
            "does, give the same command again; --read-timeout says how long is waited"
        )
    return one.outcome()


def hanging() -> int:
    """How many reads of this process were given up and have not come back."""
    with _lock:
        return _left


class _Read(Generic[T]):
    """One read in its thread; ``busy_s``: of the time that was waited in vain, how long it was at work."""

    def __init__(self, read: Callable[[Beat], T]) -> None:
        self._read = read
        self._done = threading.Event()
        self._left_behind = False
        self._alive = time.monotonic()
        self._thread = 0
        self._busy_before = self.busy_s = 0.0
        self._values: list[T] = []
        self._error: BaseException | None = None
        with _lock:
            thread = _idle.pop() if _idle else None
        (thread or _Thread()).take(self)

    def waited(self, seconds: float) -> bool:
        """Whether it came back; if not, it counts as left behind from now on."""
        global _left
        while not self._done.wait(max(0.0, self._alive + seconds - time.monotonic())):
            if time.monotonic() < self._alive + seconds:
                continue
            with _lock:
                if not self._done.is_set():
                    self.busy_s = self._thread_s() - self._busy_before
                    self._left_behind = True
                    _left += 1
                    return False
        return True

    def outcome(self) -> T:
        if self._error is not None:
            raise self._error
        return self._values[0]

    def run(self) -> None:
        """Reads, in a thread of its own."""
        global _left
        self._thread = threading.get_ident()
        self._busy_before = self._thread_s()
        try:
            self._values.append(self._read(self._beat))
        except BaseException as error:  # noqa: BLE001  # raised again where it is waited for
            self._error = error
        with _lock:
            self._done.set()
            if self._left_behind:
                _left -= 1
                self._values.clear()

    def _beat(self) -> None:
        self._alive = time.monotonic()
        self._busy_before = self._thread_s()

    def _thread_s(self) -> float:
        """The processor time that the read's thread, which lives as long as the process, has taken."""
        return time.clock_gettime(time.pthread_getcpuclockid(self._thread)) if self._thread else 0.0


class _Thread:
    """A thread that reads one thing after another: to start one costs as much as a header."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[_Read[Any]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="nucbatch-read", daemon=True).start()

    def take(self, read: _Read[Any]) -> None:
        self._orders.put(read)

    def _serve(self) -> None:
        while True:
            self._orders.get().run()
            with _lock:
                _idle.append(self)


_idle: list[_Thread] = []
