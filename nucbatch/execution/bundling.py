"""Bundling: how many small pieces of work share one Dask task.

A task costs 12 to 15 ms of CPU time in scheduler, client and worker, however little it does. So fields that
take a fraction of a second share one. The price: a killed worker repeats up to two seconds more of work.
"""

from __future__ import annotations

from collections import deque
from statistics import median

MOST_TOGETHER = 16

_TASK_S = 2.0
_LATEST = 16


class Bundling:
    """Chooses how many pieces of work go into one task, from the time that the latest ones took.

    A task gets about two seconds of work. While nothing is known each piece is a task, so that the first
    result comes early; when little is left tasks get smaller, so that all workers finish together.

    >>> bundling = Bundling(room=8)
    >>> bundling.size(waiting=1000)
    1
    >>> bundling.note(0.5)
    >>> bundling.size(waiting=1000), bundling.size(waiting=40), bundling.size(waiting=7)
    (4, 2, 1)

    Args:
        room: number of tasks that are submitted at once.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._latest_s: deque[float] = deque(maxlen=_LATEST)

    def note(self, seconds: float) -> None:
        """Notes how long a piece of work took."""
        self._latest_s.append(seconds)

    def size(self, waiting: int) -> int:
        """Returns the number of pieces for the next tasks; ``waiting``: pieces that are not submitted yet."""
        if not self._latest_s:
            return 1
        in_time = _TASK_S / max(median(self._latest_s), _TASK_S / MOST_TOGETHER)
        return max(1, min(int(in_time), waiting // (2 * self._room)))
