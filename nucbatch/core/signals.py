"""Turns termination signals into a request to stop at the next safe point.

Ctrl-C (SIGINT), the signal of a scheduler before it takes a node away (SIGTERM), and an optional earlier
warning (SIGUSR1, as in ``#SBATCH --signal=USR1@120``) have the same effect. The exit code follows the shell's
convention, 128 + signal number: 130, 143, 138. A repeated signal has no further effect, because a scheduler
and torchrun may both forward it. Only repeated Ctrl-C ends the process at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1")  # the last is not on every system


class Stopped(Exception):
    """A signal stopped the work early; finished items are kept.

    Args:
        number: the signal.
        done: how many items are finished.
        things: plural noun of the items for the message, such as ``"fields"``.
    """

    def __init__(self, number: int, done: int, things: str) -> None:
        super().__init__(f"Stopped by {signal.Signals(number).name} after {done} {things}")
        self.signal = number
        self.done = done

    @property
    def exit_code(self) -> int:
        """Exit code of a process stopped by this signal: 128 + its number."""
        return 128 + self.signal


class StopSignal:
    """Records termination signals inside its ``with`` block; does nothing outside the main thread.

    Args:
        interrupts_to_abort: number of Ctrl-C after which the process ends at once.
        on_first: called at the first signal, in a thread: a signal may arrive in the middle of a line that is
            being printed, and then nothing else can be printed from its handler.

    Attributes:
        signal: number of the first signal received, 0 before.
    """

    def __init__(self, interrupts_to_abort: int = 3, on_first: Callable[[], None] | None = None) -> None:
        self.signal = 0
        self._interrupts_to_abort, self._on_first = interrupts_to_abort, on_first
        self._interrupts = 0
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}
        self._arrived: SimpleQueue[bool] = SimpleQueue()  # may be filled in a handler, unlike an Event
        self._waits = threading.Thread(target=self._wait, name="nucbatch-signal", daemon=True)

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            if self._on_first:
                self._waits.start()
            for name in _NAMES:
                number = getattr(signal, name, None)
                if number is not None:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._waits.ident is not None:
            self._arrived.put(False)
            self._waits.join()

    def _wait(self) -> None:
        if self._arrived.get() and self._on_first:
            self._on_first()

    def _note(self, number: int, frame: FrameType | None) -> None:
        first = not self.signal
        self.signal = self.signal or number
        self._interrupts += number == signal.SIGINT
        if self._interrupts >= self._interrupts_to_abort:
            raise KeyboardInterrupt
        if first:
            self._arrived.put(True)
