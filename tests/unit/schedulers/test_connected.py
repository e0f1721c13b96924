"""Workers are asked for, not remembered."""

from __future__ import annotations

import dask
import pytest
from distributed import Client, LocalCluster

from nucbatch.schedulers.connected import connected_workers


@pytest.mark.slow
def test_all_workers_are_found_at_any_moment_and_none_after_the_end() -> None:
    with (
        dask.config.set({"distributed.client.scheduler-info-interval": "1ms"}),
        LocalCluster(n_workers=2, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        assert {len(connected_workers(client)) for _ in range(1000)} == {2}
        cluster.scale(0)
        cluster.sync(cluster._correct_state)
        assert connected_workers(client) == {}
    assert connected_workers(client) == {}
