"""Being asked to leave: a signal is noted, and work ends at the next point from which it can go on.

Ctrl-C (SIGINT), what a scheduler sends before it takes a node away (SIGTERM), and what it can be told to
send a while before (SIGUSR1, as ``#SBATCH --signal=USR1@120``) mean the same. The exit code is a shell's, 128
and the signal's number: 130, 143, 138. Repeats change nothing, because a scheduler and torchrun may both pass
a signal on; only repeated Ctrl-C ends the process at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1")  # the last is not on every system


class Stopped(Exception):
    """A signal asked to leave before the end; the ``done`` things (steps, fields) are kept."""

    def __init__(self, number: int, done: int, things: str) -> None:
        super().__init__(f"Stopped by {signal.Signals(number).name} after {done} {things}")
        self.signal = number
        self.done = done

    @property
    def exit_code(self) -> int:
        return 128 + self.signal


class Notice:
    """Notes signals while its ``with`` block lasts. Elsewhere than in the main thread it notes none.

    ``impatient``: how many Ctrl-C end the process at once. ``tell`` is called at the first signal.
    """

    def __init__(self, impatient: int = 3, tell: Callable[[], None] | None = None) -> None:
        self.signal = 0
        self._impatient, self._tell = impatient, tell
        self._interrupts = 0
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> Notice:
        if threading.current_thread() is threading.main_thread():
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

    def _note(self, number: int, frame: FrameType | None) -> None:
        first = not self.signal
        self.signal = self.signal or number
        self._interrupts += number == signal.SIGINT
        if self._interrupts >= self._impatient:
            raise KeyboardInterrupt
        if first and self._tell:
            self._tell()
