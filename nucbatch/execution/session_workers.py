"""The workers of one session: starts or connects them when they are first needed, and stops them again.

A new run needs them early, because its numeric kind depends on them; a resumed run only once work is queued.
Signals that ask to stop are recorded from then on until the workers are stopped.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from nucbatch.core.log_file import NOTE
from nucbatch.core.signals import StopSignal
from nucbatch.execution.chosen_kind import advertised_kinds
from nucbatch.execution.prepared import Prepared
from nucbatch.execution.warm_start import PRELOADED
from nucbatch.execution.worker_log import WorkerLogs
from nucbatch.planning.memory import require_fit
from nucbatch.schedulers.contract import Backend, Cluster, Scheduling
from nucbatch.store.run_folder import RunFolder

_LEAVING = "Finishing the running blocks, then stopping; press Ctrl-C again to stop at once."

_log = logging.getLogger(__name__)


class SessionWorkers:
    """The workers of a session; a context manager, at whose end they are stopped."""

    def __init__(self, scheduling: Scheduling, backend: Backend, folder: RunFolder) -> None:
        self._scheduling, self._backend, self._folder = scheduling, backend, folder
        self._open = ExitStack()
        self._connected: tuple[Cluster, StopSignal] | None = None

    def connect(self, prepared: Prepared) -> tuple[Cluster, StopSignal]:
        """Returns the workers, which are started at the first call, and the signal that asks to stop.

        Raises:
            InputError: an invalid setting. SchedulerError: the cluster does not start.
            MemoryRefused: a field is too large for a worker.
        """
        if self._connected is not None:
            return self._connected
        stop = self._open.enter_context(
            StopSignal(interrupts_to_abort=2, on_first=lambda: _log.info(_LEAVING, extra=NOTE))
        )
        place = self._scheduling.place(
            self._folder.hidden,
            prepared.plan.plate.name,
            tell=lambda sentence: _log.warning(sentence, extra=NOTE),
            leaving=lambda: bool(stop.signal),
            preload=PRELOADED,
            inform=lambda sentence: _log.info(sentence, extra=NOTE),
        )
        _log.info("Workers: --scheduler %s", self._scheduling.name)
        logs = self._open.enter_context(WorkerLogs(self._folder))
        resources = prepared.resources(self._scheduling.workers)
        connected = self._open.enter_context(self._backend.connect(resources, place))
        cluster = self._open.enter_context(logs.of(connected))
        require_fit(prepared.plan, prepared.network, cluster.worker_bytes)
        if prepared.masks is None:
            self._open.enter_context(advertised_kinds(cluster))
        self._connected = cluster, stop
        return self._connected

    def stop(self) -> None:
        """Stops the workers that were started here; the next call of :meth:`connect` starts others."""
        self._connected = None
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
