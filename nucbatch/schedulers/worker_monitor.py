"""Monitors the workers of an existing Dask scheduler during a run.

If all workers are gone, the user is warned once, and the run ends if none returns within a timeout.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from distributed import Client

from nucbatch.core.errors import SchedulerError
from nucbatch.schedulers.connected import connected_workers

_POLL_S = 1.0


class WorkerMonitor:
    """Warns, and after a timeout raises, while no worker is connected to a scheduler.

    Args:
        client: a client of the scheduler.
        address: the scheduler's address, for messages.
        timeout_s: the longest time without any worker.
        tell: takes warnings for the user.
    """

    def __init__(self, client: Client, address: str, timeout_s: float, tell: Callable[[str], None]) -> None:
        self._client, self._address, self._tell = client, address, tell
        self._timeout_s = timeout_s
        self._last_seen = monotonic()
        self._warned = False

    def workers(self) -> list[dict[str, Any]]:
        """Returns the scheduler's information on each connected worker."""
        return list(connected_workers(self._client).values())

    def wait(self, leaving: Callable[[], bool]) -> None:
        """Waits until a first worker is connected, or the user asks to stop.

        Raises:
            SchedulerError: no worker connects in time.
        """
        while not self.workers() and not leaving():
            self.watch()
            sleep(_POLL_S)

    def watch(self) -> None:
        """Warns once when all workers are gone; see :class:`nucbatch.schedulers.contract.Cluster`.

        Raises:
            SchedulerError: no worker connects in time, or the connection to the scheduler is lost.
        """
        if self._client.status != "running":
            raise SchedulerError(
                f"the connection to the scheduler at {self._address} is lost. Finished work is kept: repeat "
                "the command when the scheduler is back."
            )
        if self.workers():
            self._last_seen, self._warned = monotonic(), False
        elif monotonic() - self._last_seen > self._timeout_s:
            raise SchedulerError(
                f"no worker at {self._address} for {self._timeout_s:.0f} s: start workers "
                f"(`dask worker {self._address}`), then repeat the command; finished work is kept."
            )
        elif not self._warned:
            self._warned = True
            self._tell(f"No worker is connected to {self._address}; waiting {self._timeout_s:.0f} s for one.")
