"""Replacement of lost workers, on a local cluster whose nannies are really closed."""

import os

import dask
import pytest
from distributed import Client, LocalCluster

from nucbatch.core.errors import SchedulerError
from nucbatch.schedulers.supervisor import SUPERVISOR_CONFIG, WorkerSupervisor
from nucbatch.schedulers.workers import CLUSTER_CONFIG

pytestmark = pytest.mark.slow

SOON = dict.fromkeys(SUPERVISOR_CONFIG, "100ms")


def test_a_worker_that_was_written_off_with_its_nanny_is_replaced() -> None:
    with (
        dask.config.set(CLUSTER_CONFIG | SOON),
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        supervisor = WorkerSupervisor(cluster, workers=2)
        before = set(client.run(os.getpid).values())
        cluster.sync(next(iter(cluster.workers.values())).close)
        while len(cluster.scheduler.workers) == 2:
            client.run_on_scheduler(os.getpid)
        while len(cluster.scheduler.workers) < 2:
            supervisor.watch()
            client.run_on_scheduler(os.getpid)
        now = set(client.run(os.getpid).values())
        assert len(now) == 2
        assert len(now & before) == 1


def test_where_no_worker_comes_up_the_run_is_ended() -> None:
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=":0") as cluster:
        cluster.scale = lambda workers: None  # a machine that has no room for another process
        WorkerSupervisor(cluster, workers=0).watch()
        supervisor = WorkerSupervisor(cluster, workers=2, start_s=0)
        for _ in range(5):
            supervisor.watch()
        with pytest.raises(SchedulerError, match=r"0 of 2 local workers are running.* repeat the command"):
            supervisor.watch()
