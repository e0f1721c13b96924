"""The contract that every scheduler backend in the entry points must meet; unavailable ones are skipped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import urlsplit

import dask
import psutil
import pytest
from distributed import LocalCluster

from nucbatch.core.errors import InputError
from nucbatch.schedulers.connected import connected_workers
from nucbatch.schedulers.contract import Backend, Cluster, Place, Resources
from nucbatch.schedulers.workers import CLUSTER_CONFIG

pytestmark = pytest.mark.slow

NEEDED = Resources(workers=1, process_bytes=200 * 2**20, block_bytes=50 * 2**20)
MARKS = {"slurm": pytest.mark.slurm, "cuda": pytest.mark.gpu}
NAMES = sorted(point.name for point in entry_points(group="nucbatch.schedulers"))


BACKENDS = {name: pytest.param(name, marks=MARKS.get(name, ())) for name in NAMES}


@pytest.fixture(params=list(BACKENDS.values()))
def name(request: pytest.FixtureRequest) -> str:
    """Yields each backend that is available on this machine."""
    chosen: str = request.param
    if chosen == "slurm":
        request.getfixturevalue("slurm")
    if chosen == "cuda":
        pytest.importorskip("dask_cuda", reason="the extra [cuda] is not installed")
    return chosen


@pytest.fixture
def backend(name: str) -> Backend:
    (point,) = entry_points(group="nucbatch.schedulers", name=name)
    made: Backend = point.load()()
    return made


@pytest.fixture
def place(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    if name != "address":
        yield Place(tmp_path / "run")
        return
    theirs: LocalCluster = request.getfixturevalue("existing_cluster")
    yield Place(tmp_path / "run", address=theirs.scheduler_address)
    assert theirs.scheduler_info["workers"], "the user's cluster is left running"


@pytest.fixture
def cluster(backend: Backend, place: Place) -> Iterator[Cluster]:
    with backend.connect(NEEDED, place) as connected:
        yield connected
    assert connected.client.status == "closed"


def test_a_cluster_has_the_workers_it_says(cluster: Cluster) -> None:
    workers = connected_workers(cluster.client)
    assert len(workers) == cluster.workers == 1
    (worker,) = workers.values()
    assert worker["nthreads"] == cluster.threads_per_worker
    assert worker["memory_limit"] == cluster.worker_bytes
    assert cluster.worker_bytes >= NEEDED.process_bytes + NEEDED.block_bytes
    assert cluster.client.submit(os.getpid).result() != os.getpid()
    cluster.watch()


# Workers of a cluster that the user started ("address") have the user's settings.
@pytest.mark.parametrize("name", [one for name, one in BACKENDS.items() if name != "address"], indirect=True)
def test_a_worker_has_the_environment_that_blocks_need(cluster: Cluster) -> None:
    wanted = CLUSTER_CONFIG["distributed.nanny.pre-spawn-environ"]
    # Not os.environ.get, which would take this process' environment along.
    found = cluster.client.gather(cluster.client.map(os.getenv, list(wanted), pure=False))
    assert dict(zip(wanted, found, strict=True)) == wanted
    for key in ("distributed.worker.memory.spill", "distributed.worker.memory.pause"):
        assert cluster.client.submit(dask.config.get, key, pure=False).result() is False


def test_nothing_listens_beyond_this_machine_but_under_tls(cluster: Cluster) -> None:
    workers = connected_workers(cluster.client)
    (worker,) = workers.values()
    addresses = [cluster.client.scheduler_info()["address"], *workers, worker["nanny"]]
    guarded = {urlsplit(address).port for address in addresses if address.startswith("tls://")}
    pid = cluster.client.submit(os.getpid, pure=False).result()
    processes = [psutil.Process(), psutil.Process(pid), *psutil.Process(pid).parents()[:2]]
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for process in processes
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {urlsplit(address).port for address in addresses} <= {port for _, port in listening}
    assert {port for ip, port in listening if ip not in ("127.0.0.1", "::1")} <= guarded


def test_a_preview_says_something_and_leaves_nothing(backend: Backend, place: Place) -> None:
    assert backend.preview(NEEDED, place)
    assert not place.folder.exists()


def test_a_setting_that_it_does_not_know_is_refused(backend: Backend, place: Place) -> None:
    odd = Place(place.folder, address=place.address, settings={"colour": "green"})
    with pytest.raises(InputError, match="colour"):
        backend.preview(NEEDED, odd)
    with pytest.raises(InputError, match="colour"), backend.connect(NEEDED, odd):
        pass
