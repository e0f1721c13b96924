"""The rolling window: work goes out while there is room, and comes back in batches.

The decision owned here: what is under way at once is bounded by the cluster's size, never by how much there
is to do; nothing here grows with the number of blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from distributed import Future, as_completed

from nucbatch.schedulers.contract import Cluster

_AHEAD = 2
"""Pieces of work per worker thread: one runs, one waits, so that no thread waits for the driver."""


class Work(Protocol):
    """Something that a worker can do: picklable, small, and the same when it is done twice."""

    def run(self) -> Any:
        """Does it, on the worker."""
        ...


W = TypeVar("W", bound=Work)


@dataclass(frozen=True, slots=True)
class Came(Generic[W]):
    """What came back: the work, and its outcome or the error that it raised, with where."""

    work: W
    outcome: Any = None
    error: BaseException | None = None
    trace: TracebackType | None = None


def perform(work: Work) -> Any:
    """What runs on a worker."""
    return work.run()


class Window(Generic[W]):
    """Work under way on a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._client = cluster.client
        self.room = cluster.workers * cluster.threads_per_worker * _AHEAD
        self._running: dict[str, W] = {}
        self._finished = as_completed(with_results=True, raise_errors=False)

    def __len__(self) -> int:
        return len(self._running)

    def submit(self, works: Iterable[W], *, priority: int = 0) -> None:
        """Sends work out, as one message to the scheduler."""
        listed = list(works)
        if not listed:
            return
        # Dask's own keys are unique: two runs that share a scheduler may have work that looks the same.
        futures = self._client.map(perform, listed, pure=False, priority=priority, key="nucbatch")
        for future, work in zip(futures, listed, strict=True):
            self._running[future.key] = work
        self._finished.update(futures)

    def next_batch(self) -> list[Came[W]]:
        """Waits until something came back; all that has."""
        return [self._came(future, outcome) for future, outcome in self._finished.next_batch(block=True)]

    def _came(self, future: Future, outcome: Any) -> Came[W]:
        work, status = self._running.pop(future.key), future.status
        if status == "finished":
            future.release()
            return Came(work, outcome)
        error, trace = future.exception(), future.traceback()
        future.release()
        return Came(work, error=error, trace=trace)
