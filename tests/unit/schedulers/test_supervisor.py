"""A local cluster whose nannies are really gone, as one is that could not start its worker."""

import os

import dask
import pytest
from distributed import Client, LocalCluster

from nucbatch.core.errors import SchedulerError
from nucbatch.schedulers.supervisor import KEEPER_CONFIG, Keeper
from nucbatch.schedulers.workers import CLUSTER_CONFIG

pytestmark = pytest.mark.slow

SOON = dict.fromkeys(KEEPER_CONFIG, "100ms")


def test_a_worker_that_was_written_off_with_its_nanny_is_replaced() -> None:
    with (
        dask.config.set(CLUSTER_CONFIG | SOON),
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        keeper = Keeper(cluster, workers=2)
        before = set(client.run(os.getpid).values())
        cluster.sync(next(iter(cluster.workers.values())).close)
        while len(cluster.scheduler.workers) == 2:
            client.run_on_scheduler(os.getpid)
        while len(cluster.scheduler.workers) < 2:
            keeper.watch()
            client.run_on_scheduler(os.getpid)
        now = set(client.run(os.getpid).values())
        assert len(now) == 2
        assert len(now & before) == 1


def test_where_no_worker_comes_up_the_run_is_ended() -> None:
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=":0") as cluster:
        cluster.scale = lambda workers: None  # a machine that has no room for another process
        Keeper(cluster, workers=0).watch()
        keeper = Keeper(cluster, workers=2, start_s=0)
        for _ in range(5):
            keeper.watch()
        with pytest.raises(SchedulerError, match=r"of 2 local workers 0 are there.* the same command again"):
            keeper.watch()
