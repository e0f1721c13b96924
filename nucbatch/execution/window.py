"""The rolling window: work goes out while there is room, and comes back in batches.

The decision owned here: what is under way at once is bounded by the cluster's size, never by how much there
is to do; nothing here grows with the number of blocks. No wait is without an end: every few seconds the
cluster is looked after, and the caller may look up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, Generic, TypeVar

from distributed import CancelledError, Future, KilledWorker, as_completed

from nucbatch.core.errors import SchedulerError
from nucbatch.execution.worker import Work, perform
from nucbatch.schedulers.contract import Cluster

_AHEAD = 2
"""Pieces of work per worker thread: one runs, one waits, so that no thread waits for the driver."""

_LOOK_UP_S = 2.0
"""How long a wait lasts before the cluster is looked after."""

_FETCH_S = 5.0
"""How long results may take to be fetched, once they are there."""

W = TypeVar("W", bound=Work)


@dataclass(frozen=True, slots=True)
class Came(Generic[W]):
    """What came back: the work, and its outcome or the error that it raised, with where."""

    work: W
    outcome: Any = None
    error: BaseException | None = None
    trace: TracebackType | None = None


class Window(Generic[W]):
    """Work under way on a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.room = cluster.workers * cluster.threads_per_worker * _AHEAD
        self._running: dict[str, W] = {}
        self._looked_up = monotonic()
        self._finished = as_completed(loop=cluster.client.loop)

    def __len__(self) -> int:
        return len(self._running)

    def submit(self, works: Iterable[W], *, priority: int = 0) -> None:
        """Sends work out, as one message to the scheduler.

        Raises:
            SchedulerError: the scheduler is gone.
        """
        listed = list(works)
        if not listed:
            return
        self._require_scheduler()
        # Dask's own keys are unique: two runs that share a scheduler may have work that looks the same.
        futures = self._cluster.client.map(perform, listed, pure=False, priority=priority, key="nucbatch")
        for future, work in zip(futures, listed, strict=True):
            self._running[future.key] = work
        self._finished.update(futures)

    def next_batch(self) -> list[Came[W]]:
        """Waits until something came back; all that has. Nothing, if a while is over.

        Raises:
            SchedulerError: the scheduler is gone, or the cluster can't go on.
        """
        # Also while much comes back, because workers may be lost meanwhile; and before it is taken, so that
        # nothing is lost with a cluster that can't go on.
        if monotonic() - self._looked_up > _LOOK_UP_S:
            self._require_scheduler()
            self._cluster.watch()
            self._looked_up = monotonic()
        if not self._finished.has_ready():
            with self._finished.thread_condition:
                self._finished.thread_condition.wait(_LOOK_UP_S)
        return self._collected(self._finished.next_batch(block=False))

    def _collected(self, futures: list[Future]) -> list[Came[W]]:
        """What came of futures that have ended, fetched with one message."""
        ended = [future for future in futures if future.status in ("finished", "error")]
        for future in futures:
            if future.status == "cancelled":
                raise self._scheduler_is_gone()
        # A result that went down with the worker that kept it is being made again.
        self._finished.update([future for future in futures if future not in ended])
        good = [future for future in ended if future.status == "finished"]
        try:
            outcomes = dict(zip((future.key for future in good), self._fetched(good), strict=True))
        except (TimeoutError, KilledWorker):  # some went down with their worker; what is there comes again
            self._finished.update(good)
            outcomes, ended = {}, [future for future in ended if future not in good]
        return [self._came(future, outcomes) for future in ended]

    def _fetched(self, futures: list[Future]) -> list[Any]:
        """Results, which are a few hundred bytes each.

        Raises:
            TimeoutError: one has to be made again first; nobody should wait for that without looking up.
            SchedulerError: the scheduler is gone.
        """
        client = self._cluster.client
        try:
            fetched = client.sync(
                lambda: client.gather(futures, asynchronous=True), callback_timeout=_FETCH_S
            )
        except TimeoutError:
            raise
        except (OSError, CancelledError) as error:
            raise self._scheduler_is_gone() from error
        return list(fetched)

    def _came(self, future: Future, outcomes: dict[str, Any]) -> Came[W]:
        work = self._running.pop(future.key)
        if future.key in outcomes:
            future.release()
            return Came(work, outcomes[future.key])
        error, trace = future.exception(), future.traceback()
        future.release()
        return Came(work, error=error, trace=trace)

    def _require_scheduler(self) -> None:
        if self._cluster.client.status != "running":
            raise self._scheduler_is_gone()

    def _scheduler_is_gone(self) -> SchedulerError:
        return SchedulerError(
            f"the scheduler is gone, or cannot be reached any more, with {len(self._running)} blocks under "
            "way. They don't count; what is done is kept. Give the same command again."
        )
