"""Read timeout: a disk or network share that does not answer fails its field, not the run.

A read runs in a separate thread, and the caller stops waiting after a timeout. A hanging system call cannot
be ended, not even in a separate process (a hard NFS mount ignores SIGKILL), and a process would have to send
every pixel back. The daemon thread is therefore abandoned, and its result discarded.

At most :data:`MOST_LEFT` threads are abandoned in one process. While that many hang, further reads fail at
once, so that a lost share ends a run within minutes instead of one timeout per field. Reads continue as soon
as one of the threads returns.

A read of several steps resets the timeout after each step. If its thread was busy instead of waiting, the
message blames the decoding, not the share.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from nucbatch.core.errors import ImageUnavailable

MOST_LEFT = 8
_BUSY_SHARE = 0.1  # fraction of CPU time from which a read counts as busy; waiting takes almost none

T = TypeVar("T")
Beat = Callable[[], None]
"""Called by a read after each of its steps; restarts the timeout."""

_left = 0
_lock = threading.Lock()


def within(seconds: float, shown: str, read: Callable[[Beat], T]) -> T:
    """Runs ``read`` with a timeout and returns its result or raises its error.

    Args:
        seconds: the timeout.
        shown: name of the file in messages.
        read: called in a thread of its own, with a function that restarts the timeout.

    Raises:
        ImageUnavailable: the read did not return in time, or too many earlier reads hang.
    """
    if hanging() >= MOST_LEFT:
        raise ImageUnavailable(
            f"{shown}: not read, because {MOST_LEFT} earlier reads have hung for more than {seconds:g} s: "
            "the disk or network share does not answer. Once it does, run the same command again"
        )
    one = _Read(read)
    if not one.waited(seconds):
        if one.busy_s >= seconds * _BUSY_SHARE:
            raise ImageUnavailable(
                f"{shown}: not decoded within {seconds:g} s, with {one.busy_s:.1f} s of processor time: save "
                "it again with another compression, or allow more time with --read-timeout"
            )
        raise ImageUnavailable(
            f"{shown}: not read within {seconds:g} s: the disk or network share does not answer. Once it "
            "does, run the same command again; --read-timeout sets the limit"
        )
    return one.outcome()


def hanging() -> int:
    """Returns the number of abandoned reads of this process that have not returned."""
    with _lock:
        return _left


class _Read(Generic[T]):
    """Read in its own thread; ``busy_s`` is its CPU time during a timeout."""

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
        """Waits for the read; False if it timed out, and it then counts as abandoned."""
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
        """Runs the read in the current thread."""
        global _left
        self._thread = threading.get_ident()
        self._busy_before = self._thread_s()
        try:
            self._values.append(self._read(self._beat))
        except BaseException as error:  # noqa: BLE001  # raised again in the waiting thread
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
        """Returns the CPU time of the read's thread."""
        return time.clock_gettime(time.pthread_getcpuclockid(self._thread)) if self._thread else 0.0


class _Thread:
    """Reusable reading thread; starting a new one costs as much as reading a header."""

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
