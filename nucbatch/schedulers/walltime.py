"""A worker in a job with an end: it stops taking blocks in time, finishes those in hand, and leaves.

The decision owned here: when to stop. Dask's own ``--lifetime`` interrupts what runs, so blocks longer than
it begin again for ever. Here a worker looks at how long its blocks took, takes no more once another such
block might not be done before the job's end, and closes when nothing runs any more. Workers that began
together don't leave together.
"""

from __future__ import annotations

import os
import zlib
from time import monotonic, time
from typing import Any

from distributed import Worker, WorkerPlugin
from distributed.core import Status
from tornado.ioloop import PeriodicCallback

JOB_END = "NUCBATCH_JOB_END"
"""The environment variable in which a job's script tells when it ends, in seconds since 1970."""

_LOOK_S = 0.5
_SAFETY = 1.5
"""The next block may take this many times as long as the longest so far."""

_SPARE_PART, _SPARE_MOST_S = 0.1, 60.0
"""Left over at the end for handing over and closing: this part of the job's time, at most so many seconds."""

_STAGGER_PART, _STAGGER_MOST_S = 0.1, 600.0
"""Over how long workers that began together leave."""


class LeavesInTime(WorkerPlugin):  # type: ignore[misc]  # distributed has no types here
    """Ends its worker before the job ends; does nothing where the job has no end."""

    name = "nucbatch-leaves-in-time"

    def setup(self, worker: Worker) -> None:
        self._worker = worker
        self._began: dict[Any, float] = {}
        self._longest_s = 0.0
        self._leaving = False
        if JOB_END not in os.environ:
            return
        self._end = float(os.environ[JOB_END])
        whole_s = max(0.0, self._end - time())
        self._spare_s = spare_s(whole_s)
        self._kept_back_s = self._spare_s + stagger_s(whole_s, str(worker.name))
        self._look_again = PeriodicCallback(self._look, _LOOK_S * 1000)
        self._look_again.start()

    def teardown(self, worker: Worker) -> None:
        if hasattr(self, "_look_again"):
            self._look_again.stop()

    def transition(self, key: Any, start: str, finish: str, **kwargs: Any) -> None:
        """Learns how long blocks take."""
        if finish == "executing":
            self._began[key] = monotonic()
        elif start == "executing":
            self._longest_s = max(self._longest_s, monotonic() - self._began.pop(key, monotonic()))

    async def _look(self) -> None:
        worker = self._worker
        if self._leaving or worker.status not in (Status.running, Status.paused, Status.closing_gracefully):
            return
        if time() < self._end - self._kept_back_s - _SAFETY * self._longest_s:
            return
        if worker.status != Status.closing_gracefully:
            # The scheduler sends no more, and what waits here stays waiting. Not `paused`, which Dask's watch
            # over memory would end.
            worker.status = Status.closing_gracefully
        if worker.state.executing_count or worker.state.long_running:
            return
        self._leaving = True
        try:
            await self._leave()
        finally:
            self._leaving = False

    async def _leave(self) -> None:
        """What waits here goes to other workers, results with it; if nobody can take them, once more soon."""
        worker = self._worker
        retired = await worker.scheduler.retire_workers(
            workers=[worker.address],
            close_workers=False,
            remove=True,
            stimulus_id=f"{self.name}-{time()}",
        )
        # Results that nobody can take, because all others leave too, are made again, as if it were killed.
        if worker.address in retired or time() > self._end - self._spare_s / 2:
            await worker.close(nanny=True, reason=self.name)


def spare_s(whole_s: float) -> float:
    """What is left over at the end of a job of so many seconds, for handing over and closing."""
    return min(_SPARE_MOST_S, _SPARE_PART * whole_s)


def stagger_s(whole_s: float, name: str) -> float:
    """How much earlier than need be a worker of that name stops, in a job of so many seconds."""
    return zlib.crc32(name.encode()) / 2**32 * min(_STAGGER_MOST_S, _STAGGER_PART * whole_s)
