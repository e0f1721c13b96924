"""Replaces lost workers of a local cluster, together with their nannies.

A nanny restarts its worker when that dies, usually within two seconds. If a worker stays away for longer,
Dask's cluster removes it together with its nanny and does not replace it. Here that timeout is set longer
than any start takes, and removed workers are replaced. If replacements keep failing, the run ends with an
error.
"""

from __future__ import annotations

import math
import time

from distributed import LocalCluster

from nucbatch.core.errors import SchedulerError

START_S = 60.0
"""Timeout for the start of a worker: ten times what it takes on a busy machine."""

SUPERVISOR_CONFIG = {"distributed.deploy.lost-worker-timeout": f"{START_S:g}s"}
"""Dask setting: how long after losing a worker the cluster removes it."""

_MOST_ATTEMPTS = 5


class WorkerSupervisor:
    """Keeps a local cluster at its number of workers.

    Args:
        cluster: the cluster to supervise.
        workers: the number of worker processes it should have.
        start_s: the time that a worker may take to start.
    """

    def __init__(self, cluster: LocalCluster, workers: int, start_s: float = START_S) -> None:
        self._cluster, self._workers, self._start_s = cluster, workers, start_s
        self._attempts, self._last_attempt = 0, -math.inf

    def watch(self) -> None:
        """Replaces workers that Dask has removed.

        Raises:
            SchedulerError: replacements failed to start in several attempts in a row.
        """
        connected = len(self._cluster.scheduler.workers)
        if connected >= self._workers:
            self._attempts = 0
        elif (
            len(self._cluster.workers) < self._workers
            and time.monotonic() - self._last_attempt >= self._start_s
        ):
            if self._attempts == _MOST_ATTEMPTS:
                raise SchedulerError(
                    f"{connected} of {self._workers} local workers are running, and the others have not come "
                    f"up in {_MOST_ATTEMPTS} attempts. Check that the machine has memory and processes left, "
                    "then repeat the command; finished work is kept."
                )
            self._attempts, self._last_attempt = self._attempts + 1, time.monotonic()
            self._cluster.scale(self._workers)
