"""Whatever the entry points list as a scheduler keeps these promises."""

import os
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from nucbatch.schedulers.contract import Place, Resources, scheduler

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", sorted(point.name for point in entry_points(group="nucbatch.schedulers")))
def test_a_cluster_has_the_workers_it_says_on_loopback_and_ends_with_its_context(
    name: str, tmp_path: Path
) -> None:
    with scheduler(name).connect(Resources(workers=1), Place(tmp_path)) as cluster:
        info = cluster.client.scheduler_info()
        assert len(info["workers"]) == cluster.workers == 1
        (worker,) = info["workers"].values()
        assert worker["nthreads"] == cluster.threads_per_worker
        assert worker["memory_limit"] == cluster.worker_bytes
        assert cluster.client.scheduler.address.startswith("tcp://127.0.0.1:")
        elsewhere = cluster.client.submit(os.getpid).result()
        assert elsewhere != os.getpid()
        assert cluster.client.submit(os.environ.get, "OMP_NUM_THREADS", pure=False).result() == "1"
    assert cluster.client.status == "closed"
