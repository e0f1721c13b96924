"""A cluster on this machine closes within a bounded time."""

import psutil
import pytest
from distributed import LocalCluster, Status

from nucbatch.schedulers.machine import close

pytestmark = pytest.mark.slow


def test_a_cluster_ends_though_dask_waits_for_a_worker_that_was_being_started() -> None:
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0")
    (nanny,) = cluster.workers.values()
    worker = psutil.Process(nanny.process.pid)
    # What a nanny holds of a worker whose word that it is up never came: closing waits for that word.
    nanny.process.status = Status.starting
    nanny.process.running.clear()
    close(cluster, timeout_s=0.5)
    worker.wait(timeout=60)
    assert not worker.is_running()
