"""Rolling window: submits work to a Dask cluster while there is room, and returns results in batches.

The amount of running work is bounded by the cluster's size; nothing here grows with the number of blocks.
Every wait ends after a few seconds, so that the cluster is watched and the caller can react. Small pieces of
work can share a Dask task, because a task costs about as much CPU time, however little it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from types import TracebackType
from typing import Any, Generic, TypeVar

from distributed import CancelledError, Future, KilledWorker, as_completed

from nucbatch.core.errors import SchedulerError
from nucbatch.execution.worker import Work, perform
from nucbatch.schedulers.contract import Cluster

_AHEAD = 2
"""Tasks per worker thread: one runs and one is queued, so that no thread waits for the driver."""

_TOGETHER = 4
"""Where the window is full, a quarter of it is collected, and replaced, in one go: each exchange with the
scheduler costs about as much CPU time for several tasks as for one."""

_LONGEST_WAIT_S = 0.25
"""Longest time that a finished result waits for others."""

_WATCH_INTERVAL_S = 2.0
"""Longest wait before the cluster's watch is called."""

_FETCH_TIMEOUT_S = 5.0
"""Timeout for fetching finished results."""

W = TypeVar("W", bound=Work)


@dataclass(frozen=True, slots=True)
class WorkResult(Generic[W]):
    """The result of one piece of work: its outcome, or the error that it raised with the traceback.

    ``seconds``: how long it took; 0 if it raised an error.
    """

    work: W
    outcome: Any = None
    seconds: float = 0.0
    error: BaseException | None = None
    trace: TracebackType | None = None


@dataclass(frozen=True, slots=True)
class _Sent(Generic[W]):
    """A task as submitted: its pieces of work, its priority, and what a worker must have to get it."""

    works: tuple[W, ...]
    priority: int
    resources: Mapping[str, float] | None


class Window(Generic[W]):
    """Work running on a cluster; ``room`` is the largest number of tasks at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.room = cluster.workers * cluster.threads_per_worker * _AHEAD
        self._running: dict[str, _Sent[W]] = {}
        self._watched_at = monotonic()
        self._finished = as_completed(loop=cluster.client.loop)

    def __len__(self) -> int:
        return len(self._running)

    def submit(
        self,
        works: Iterable[W],
        *,
        together: int = 1,
        priority: int = 0,
        resources: Mapping[str, float] | None = None,
    ) -> None:
        """Submits work in one message to the scheduler.

        Args:
            works: the pieces of work.
            together: number of consecutive pieces in one task, which runs one after the other. If one raises
                an error, it and those after it are submitted again, each as a task of its own.
            priority: tasks of higher priority run first.
            resources: what a worker must have to get the tasks.

        Raises:
            SchedulerError: the connection to the scheduler is lost.
        """
        each = iter(works)
        bundles = list(iter(lambda: tuple(islice(each, together)), ()))
        if not bundles:
            return
        self._require_scheduler()
        # Unique keys (pure=False): two runs that share a scheduler may submit equal work.
        futures = self._cluster.client.map(
            perform, bundles, pure=False, priority=priority, key="nucbatch", resources=resources
        )
        for future, bundle in zip(futures, bundles, strict=True):
            self._running[future.key] = _Sent(bundle, priority, resources)
        self._finished.update(futures)

    def next_batch(self) -> list[WorkResult[W]]:
        """Waits for results and returns all that are finished; an empty list after a few seconds.

        Raises:
            SchedulerError: the connection to the scheduler is lost, or the cluster failed.
        """
        # Watch the cluster also while results keep arriving, because workers may be lost meanwhile; and
        # before taking results, so that none is lost if the cluster has failed.
        if monotonic() - self._watched_at > _WATCH_INTERVAL_S:
            self._require_scheduler()
            self._cluster.watch()
            self._watched_at = monotonic()
        with self._finished.thread_condition:
            self._wait_for(1, _WATCH_INTERVAL_S)
            if len(self._running) >= self.room:  # work is queued on the workers, so that they don't wait
                self._wait_for(self.room // _TOGETHER, _LONGEST_WAIT_S)
        return self._collected(self._finished.next_batch(block=False))

    def _wait_for(self, results: int, longest_s: float) -> None:
        """Waits until this many results are ready, with the lock on the condition held."""
        self._finished.thread_condition.wait_for(lambda: self._finished.queue.qsize() >= results, longest_s)

    def _collected(self, futures: list[Future]) -> list[WorkResult[W]]:
        """Returns the results of finished futures, fetched in one message."""
        ended = [future for future in futures if future.status in ("finished", "error")]
        for future in futures:
            if future.status == "cancelled":
                raise self._scheduler_is_gone()
        # Dask is recomputing results that were lost with their worker.
        self._finished.update([future for future in futures if future not in ended])
        good = [future for future in ended if future.status == "finished"]
        try:
            outcomes = dict(zip((future.key for future in good), self._fetched(good), strict=True))
        except (TimeoutError, KilledWorker):  # some results were lost; fetch the others with the next batch
            self._finished.update(good)
            outcomes, ended = {}, [future for future in ended if future not in good]
        return [result for future in ended for result in self._results_of(future, outcomes)]

    def _fetched(self, futures: list[Future]) -> list[list[tuple[Any, float]]]:
        """Fetches results of a few hundred bytes each.

        Raises:
            TimeoutError: a result must be recomputed first.
            SchedulerError: the connection to the scheduler is lost.
        """
        client = self._cluster.client
        try:
            fetched = client.sync(
                lambda: client.gather(futures, asynchronous=True), callback_timeout=_FETCH_TIMEOUT_S
            )
        except TimeoutError:
            raise
        except (OSError, CancelledError) as error:
            raise self._scheduler_is_gone() from error
        return list(fetched)

    def _results_of(
        self, future: Future, outcomes: dict[str, list[tuple[Any, float]]]
    ) -> list[WorkResult[W]]:
        """Returns the results of a task, and submits again those of its pieces that it did not finish."""
        sent = self._running.pop(future.key)
        if future.key not in outcomes:
            error, trace = future.exception(), future.traceback()
            future.release()
            return [WorkResult(work, error=error, trace=trace) for work in sent.works]
        future.release()
        of_each = outcomes[future.key]
        self.submit(sent.works[len(of_each) :], priority=sent.priority, resources=sent.resources)
        return [WorkResult(work, *one) for work, one in zip(sent.works, of_each, strict=False)]

    def _require_scheduler(self) -> None:
        if self._cluster.client.status != "running":
            raise self._scheduler_is_gone()

    def _scheduler_is_gone(self) -> SchedulerError:
        running = sum(len(sent.works) for sent in self._running.values())
        return SchedulerError(
            f"the connection to the scheduler is lost while {running} blocks were running. "
            "Finished work is kept; repeat the command to process the rest."
        )
