"""Progress in a log file: when to print a line, and an estimate of the time left."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta


class Pace:
    """The pace of ``total`` units of work, some of which may be done at the start.

    Args:
        parts: number of lines in a log, evenly spread; one more is printed early, after a hundredth.
        clock: seconds that never decrease.
    """

    def __init__(self, parts: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._parts, self._clock = parts, clock
        self._total = self._first = 0
        self._began = clock()

    def begin(self, done: int, total: int) -> None:
        """Starts the clock; units done before don't count for the pace."""
        self._first, self._total, self._began = done, total, self._clock()

    def is_due(self, done: int) -> bool:
        """Whether to print a line after ``done`` units."""
        if not self._total:
            return False
        early = self._first + max(1, self._total // 100)
        crossed = done * self._parts // self._total > (done - 1) * self._parts // self._total
        return crossed or done == early

    def left(self, done: int) -> str:
        """The time left, such as ``"1:02:03 left"``, at the mean pace so far.

        Empty at the start and the end.
        """
        if done <= self._first or done >= self._total:
            return ""
        each = (self._clock() - self._began) / (done - self._first)
        return f"{timedelta(seconds=round(each * (self._total - done)))} left"
