"""Whether there is anybody behind a scheduler that somebody else started, now and while a run lasts.

The decision owned here: workers that are gone are awaited for a bounded time, and the user is told once.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from distributed import Client

from nucbatch.core.errors import SchedulerError

_LOOK_S = 1.0


class Presence:
    """Whether there is anybody at an address, now and while a run lasts."""

    def __init__(self, client: Client, address: str, timeout_s: float, tell: Callable[[str], None]) -> None:
        self._client, self._address, self._tell = client, address, tell
        self._timeout_s = timeout_s
        self._last_seen = monotonic()
        self._told = False

    def workers(self) -> list[dict[str, Any]]:
        """What the scheduler says of each of its workers."""
        return list(self._client.scheduler_info(n_workers=-1)["workers"].values())

    def wait(self, leaving: Callable[[], bool]) -> None:
        """Waits for a first worker, or until the user asks to leave.

        Raises:
            SchedulerError: none comes.
        """
        while not self.workers() and not leaving():
            self.watch()
            sleep(_LOOK_S)

    def watch(self) -> None:
        """Tells when the workers are gone; see :class:`nucbatch.schedulers.contract.Cluster`.

        Raises:
            SchedulerError: they don't come back, or the scheduler is gone.
        """
        if self._client.status != "running":
            raise SchedulerError(
                f"the connection to the scheduler at {self._address} is lost. What is done is kept: give the "
                "same command again when it is back."
            )
        if self.workers():
            self._last_seen, self._told = monotonic(), False
        elif monotonic() - self._last_seen > self._timeout_s:
            raise self._nobody()
        elif not self._told:
            self._told = True
            self._tell(
                f"No worker is connected to {self._address}; one is awaited for {self._timeout_s:.0f} s."
            )

    def _nobody(self) -> SchedulerError:
        return SchedulerError(
            f"no worker at {self._address} for {self._timeout_s:.0f} s: start some "
            f"(`dask worker {self._address}`), then give the same command again; what is done is kept."
        )
