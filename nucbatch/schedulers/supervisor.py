"""Keeps up the number of a local cluster's workers where Dask does not.

A nanny starts its worker again when that dies, mostly within a second or two. A worker that stays away for
longer is written off by Dask's cluster together with its nanny, and never replaced. The decision owned here:
it is written off later than any start takes, and then replaced; where that does not help again and again,
the run ends, because it would never go on.
"""

from __future__ import annotations

import math
import time

from distributed import LocalCluster

from nucbatch.core.errors import SchedulerError

START_S = 60.0
"""More than a worker takes to come up, ten times what it takes on a busy machine."""

KEEPER_CONFIG = {"distributed.deploy.lost-worker-timeout": f"{START_S:g}s"}
"""Dask's setting for when it writes a worker off; ten times what a start takes on a busy machine."""

_MOST_TIMES = 5


class Keeper:
    """Looks after a cluster of ``workers`` worker processes, which may take ``start_s`` to come up."""

    def __init__(self, cluster: LocalCluster, workers: int, start_s: float = START_S) -> None:
        self._cluster, self._workers, self._start_s = cluster, workers, start_s
        self._asked, self._asked_at = 0, -math.inf

    def watch(self) -> None:
        """Replaces workers that were written off.

        Raises:
            SchedulerError: workers don't come up, however often they are replaced.
        """
        there = len(self._cluster.scheduler.workers)
        if there >= self._workers:
            self._asked = 0
        elif (
            len(self._cluster.workers) < self._workers and time.monotonic() - self._asked_at >= self._start_s
        ):
            if self._asked == _MOST_TIMES:
                raise SchedulerError(
                    f"of {self._workers} local workers {there} are there, and the others have not come up in "
                    f"{_MOST_TIMES} tries. See whether the machine has memory and processes left, then give "
                    "the same command again; what is done is kept."
                )
            self._asked, self._asked_at = self._asked + 1, time.monotonic()
            self._cluster.scale(self._workers)
