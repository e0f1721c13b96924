"""When a log without a progress bar gets a line, and how long what is left will take."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta


class Pace:
    """The pace of ``total`` units of work, of which some may be done already when it begins.

    Args:
        parts: how many lines a log gets, evenly spread; one more comes early, after a hundredth.
        clock: seconds that only rise.
    """

    def __init__(self, parts: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._parts, self._clock = parts, clock
        self._total = self._first = 0
        self._began = clock()

    def begin(self, done: int, total: int) -> None:
        """Starts the clock; what was done before is no speed."""
        self._first, self._total, self._began = done, total, self._clock()

    def is_due(self, done: int) -> bool:
        """Whether the log gets a line as the unit of that number is done."""
        if not self._total:
            return False
        early = self._first + max(1, self._total // 100)
        crossed = done * self._parts // self._total > (done - 1) * self._parts // self._total
        return crossed or done == early

    def left(self, done: int) -> str:
        """Such as ``"1:02:03 left"``, by the mean pace so far; empty at the end and at the beginning."""
        if done <= self._first or done >= self._total:
            return ""
        each = (self._clock() - self._began) / (done - self._first)
        return f"{timedelta(seconds=round(each * (self._total - done)))} left"
