"""A backend that keeps its cluster from run to run, so that a small plate does not pay for its start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from nucbatch.schedulers.contract import Backend, Cluster, Place, Resources, scheduler


class KeptCluster:
    """Connects at the first run, and again only if a run needs larger workers, or after an error.

    Args:
        name: name of the scheduler, as in ``Scheduling``.
        folder: folder for keys, job scripts and logs, which outlives each run.
        sharers: number of clusters that share this machine.
    """

    def __init__(self, name: str, folder: Path, sharers: int = 1) -> None:
        self._backend: Backend = scheduler(name)
        self._folder, self._sharers = folder, sharers
        self._open = ExitStack()
        self._cluster: Cluster | None = None
        self._leaving: Callable[[], bool] = lambda: False

    def preview(self, resources: Resources, place: Place) -> str:
        """See :class:`nucbatch.schedulers.contract.Backend`."""
        return self._backend.preview(resources, self._of_all_runs(place))

    @contextmanager
    def connect(self, resources: Resources, place: Place) -> Iterator[Cluster]:
        """See :class:`nucbatch.schedulers.contract.Backend`; leaving the context keeps the cluster."""
        self._leaving = place.leaving
        if self._cluster is not None and not _fits(self._cluster, resources):
            self.close()
        if self._cluster is None:
            connected = self._backend.connect(resources, self._of_all_runs(place))
            self._cluster = replace(self._open.enter_context(connected), stays=True)
        try:
            yield self._cluster
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stops the cluster."""
        self._cluster = None
        self._open.close()

    def _of_all_runs(self, place: Place) -> Place:
        self._folder.mkdir(parents=True, exist_ok=True)
        return replace(place, folder=self._folder, sharers=self._sharers, leaving=lambda: self._leaving())


def _fits(cluster: Cluster, resources: Resources) -> bool:
    needed = resources.process_bytes + cluster.threads_per_worker * resources.block_bytes
    return needed <= cluster.worker_bytes
