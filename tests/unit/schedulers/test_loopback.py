"""No process of a local cluster can be used from another machine, or by another user of this one."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dask
import psutil
import pytest
from distributed import Client, Worker
from distributed.security import Security

from nucbatch.schedulers.connected import connected_workers
from nucbatch.schedulers.contract import Cluster, Place, Resources, scheduler
from nucbatch.schedulers.keys import security_in_memory

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def before() -> set[tuple[str, int]]:
    """Lists the ports on which this process already listens, because of other tests."""
    return listening(psutil.Process())


@pytest.fixture(scope="module")
def cluster(before: set[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with scheduler("local").connect(Resources(workers=2), Place(tmp_path_factory.mktemp("run"))) as connected:
        connected.client.wait_for_workers(2)
        yield connected


def listening(process: psutil.Process) -> set[tuple[str, int]]:
    """Lists the addresses and ports on which a process listens."""
    found = process.net_connections(kind="inet")
    return {(one.laddr.ip, one.laddr.port) for one in found if one.status == psutil.CONN_LISTEN}


@pytest.fixture(scope="module")
def places(cluster: Cluster, before: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """Lists where scheduler, nannies and workers listen."""
    here = psutil.Process()
    every = [here, *here.children(recursive=True)]
    assert len([one for one in every[1:] if listening(one)]) == 2
    return set().union(*(listening(one) for one in every)) - before


def test_scheduler_workers_and_nannies_listen_on_loopback_alone(places: set[tuple[str, int]]) -> None:
    assert len(places) >= 5
    assert all(ipaddress.ip_address(address).is_loopback for address, _ in places), places


def test_clients_without_tls_get_no_answer(cluster: Cluster, places: set[tuple[str, int]]) -> None:
    workers, scheduler = connected_workers(cluster.client), cluster.client.scheduler_info()["address"]
    guards = [worker["nanny"] for worker in workers.values()]
    addresses = [scheduler, *workers, *guards]
    assert all(address.startswith("tls://127.0.0.1:") for address in addresses)
    assert {int(address.rpartition(":")[2]) for address in addresses} <= {port for _, port in places}
    for place in places:
        for path in ("/status", "/json/identity.json", "/info/main/workers.html", "/health", "/metrics"):
            said = answer(place, f"GET {path} HTTP/1.0\r\n\r\n".encode())
            assert len(said) <= 7 or said.startswith(b"HTTP/1.1 404"), (place, path, said)


def answer(place: tuple[str, int], asked: bytes) -> bytes:
    """Returns all bytes received over an unencrypted connection."""
    said = b""
    with socket.create_connection(place, timeout=20) as connection:
        connection.sendall(asked)
        try:
            while chunk := connection.recv(4096):
                said += chunk
        except ConnectionResetError:
            pass
    return said


def test_keys_of_another_run_are_refused_everywhere(cluster: Cluster) -> None:
    workers, scheduler = connected_workers(cluster.client), cluster.client.scheduler_info()["address"]
    guards = [worker["nanny"] for worker in workers.values()]
    others = security_in_memory()
    context = others.get_connection_args("client")["ssl_context"]
    for address in (scheduler, *workers, *guards):
        host, _, port = address.removeprefix("tls://").rpartition(":")
        with (
            socket.create_connection((host, int(port)), timeout=20) as connection,
            pytest.raises(ssl.SSLError),
        ):
            context.wrap_socket(connection)
        # Nor is one let in that does not care whom it talks to.
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection((host, int(port)), timeout=20) as connection,
            trusting.wrap_socket(connection) as encrypted,
            pytest.raises(ssl.SSLError, match="certificate required"),
        ):
            encrypted.recv(1)
    plain = scheduler.replace("tls://", "tcp://")
    for address, security in ((scheduler, others), (plain, Security())):
        with pytest.raises(OSError, match=r"Timed out|closed|refused|CERTIFICATE|certificate"):
            Client(address, security=security, timeout=2)


def test_scratch_folders_are_the_users_alone(cluster: Cluster) -> None:
    """Dask puts a worker's scratch folder first on Python's import path, and all users can write to /tmp."""

    def scratch(dask_worker: Worker) -> str:
        return str(dask_worker.local_directory)

    folders = [Path(folder) for folder in cluster.client.run(scratch).values()]
    shared = Path(tempfile.gettempdir())
    for folder in [*folders, Path(dask.config.get("temporary-directory"))]:
        own = shared / folder.relative_to(shared).parts[0]
        assert stat.S_IMODE(own.stat().st_mode) == 0o700
