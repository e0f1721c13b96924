"""Dask worker plugin that stops a worker before its job's walltime ends, without interrupting a block.

Dask's own ``--lifetime`` interrupts running tasks, so blocks longer than it would restart for ever. This
plugin measures how long blocks take. It accepts no more blocks once another one might not finish before the
job ends, and closes the worker when nothing runs any more. Workers that started together stop at different
times.
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
"""Environment variable with the time at which a job ends, in seconds since 1970; set by the job's script."""

_POLL_S = 0.5
_SAFETY = 1.5
"""The next block may take this many times as long as the longest so far."""

_SPARE_FRACTION, _SPARE_MOST_S = 0.1, 60.0
"""Time reserved at the end to hand over results and close: this fraction of the job's time, at most 60 s."""

_STAGGER_FRACTION, _STAGGER_MOST_S = 0.1, 600.0
"""Workers that started together stop spread over this fraction of the job's time, at most 600 s."""


class WalltimePlugin(WorkerPlugin):  # type: ignore[misc]  # distributed has no types here
    """Closes its worker before the job ends; does nothing where the job has no end."""

    name = "nucbatch-walltime"

    def setup(self, worker: Worker) -> None:
        self._worker = worker
        self._began: dict[Any, float] = {}
        self._longest_s = 0.0
        self._leaving = False
        if JOB_END not in os.environ:
            return
        self._end = float(os.environ[JOB_END])
        job_s = max(0.0, self._end - time())
        self._spare_s = spare_s(job_s)
        self._reserved_s = self._spare_s + stagger_s(job_s, str(worker.name))
        self._poll = PeriodicCallback(self._check, _POLL_S * 1000)
        self._poll.start()

    def teardown(self, worker: Worker) -> None:
        if hasattr(self, "_poll"):
            self._poll.stop()

    def transition(self, key: Any, start: str, finish: str, **kwargs: Any) -> None:
        """Measures how long blocks take."""
        if finish == "executing":
            self._began[key] = monotonic()
        elif start == "executing":
            self._longest_s = max(self._longest_s, monotonic() - self._began.pop(key, monotonic()))

    async def _check(self) -> None:
        worker = self._worker
        if self._leaving or worker.status not in (Status.running, Status.paused, Status.closing_gracefully):
            return
        if time() < self._end - self._reserved_s - _SAFETY * self._longest_s:
            return
        if worker.status != Status.closing_gracefully:
            # The scheduler sends no more tasks, and queued ones are not started. Not `paused`: Dask's memory
            # monitor would end that state.
            worker.status = Status.closing_gracefully
        if worker.state.executing_count or worker.state.long_running:
            return
        self._leaving = True
        try:
            await self._leave()
        finally:
            self._leaving = False

    async def _leave(self) -> None:
        """Moves queued tasks and results to other workers, then closes; retried if no worker takes them."""
        worker = self._worker
        # The message that a block is done and the request to leave go separate ways. A result that the
        # scheduler does not know yet would be lost, and its block computed again.
        known = await worker.scheduler.who_has(keys=list(worker.data))
        if not all(worker.address in known.get(key, ()) for key in worker.data):
            return
        retired = await worker.scheduler.retire_workers(
            workers=[worker.address],
            close_workers=False,
            remove=True,
            stimulus_id=f"{self.name}-{time()}",
        )
        # If no other worker can take the results, they are computed again, as after a killed worker.
        if worker.address in retired or time() > self._end - self._spare_s / 2:
            await worker.close(nanny=True, reason=self.name)


def spare_s(job_s: float) -> float:
    """Returns the time reserved at the end of a job to hand over results and close, in seconds."""
    return min(_SPARE_MOST_S, _SPARE_FRACTION * job_s)


def stagger_s(job_s: float, name: str) -> float:
    """Returns how much earlier the named worker stops than it must, in seconds; spreads workers by name."""
    return zlib.crc32(name.encode()) / 2**32 * min(_STAGGER_MOST_S, _STAGGER_FRACTION * job_s)
