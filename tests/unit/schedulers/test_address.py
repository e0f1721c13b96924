"""Existing Dask schedulers: allowed addresses, refusals and timeouts."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import dask
import pytest
from distributed import Client, LocalCluster

from nucbatch.core.errors import InputError, InputNotFound, SchedulerError
from nucbatch.schedulers.address import Address, allowed_address
from nucbatch.schedulers.contract import Place, Resources, scheduler
from nucbatch.schedulers.keys import session_keys

SMALL = Resources(process_bytes=2**20, block_bytes=2**20)


def place(address: object, **more: object) -> Place:
    return Place(Path("nowhere"), address=str(address), **more)  # type: ignore[arg-type]


@pytest.fixture
def theirs() -> Iterator[LocalCluster]:
    """Starts a scheduler without workers, on loopback."""
    with LocalCluster(
        n_workers=0,
        threads_per_worker=3,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs="CRITICAL",
    ) as cluster:
        yield cluster


@pytest.mark.parametrize("name", ["tls://host:8786", "tcp://127.0.0.1:8786", "scheduler.json"])
def test_an_address_or_file_is_found_by_its_look(name: str) -> None:
    assert isinstance(scheduler(name), Address)


def test_a_file_of_another_name_is_found_too(tmp_path: Path) -> None:
    path = tmp_path / "sched"
    path.write_text("{}")
    assert isinstance(scheduler(str(path)), Address)
    with pytest.raises(
        InputError, match=r"unknown scheduler 'address': use cuda or local or .*slurm, or a scheduler's"
    ):
        scheduler("address")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_tcp_on_this_machine_needs_no_keys(host: str) -> None:
    assert allowed_address(place(f"tcp://{host}:8786")) == f"tcp://{host}:8786"


@pytest.mark.parametrize(
    "host",
    ["10.0.0.1", "login1.cluster", "0.0.0.0", "127.0.0.1.evil.org", "[2001:db8::1]"],  # noqa: S104
)
def test_tcp_beyond_this_machine_is_refused_with_the_reason_unless_accepted(host: str) -> None:
    address = f"tcp://{host}:8786"
    with pytest.raises(InputError, match=r"could read the data, and run programs as you .*--insecure"):
        allowed_address(place(address))
    assert allowed_address(place(address, insecure=True)) == address


@pytest.mark.parametrize("address", ["ucx://a:1", "tcp://127.0.0.1", "tls://a:port", "ws://a:1"])
def test_an_invalid_address_is_refused_with_the_notation(address: str) -> None:
    with pytest.raises(InputError, match="write tls://HOST:PORT"):
        allowed_address(place(address))


def test_a_scheduler_file_is_read_and_held_to_the_same(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    with pytest.raises(InputNotFound, match=r"the scheduler file .* does not exist"):
        allowed_address(place(path))
    for text, said in (
        ("{", "can't be read"),
        ("[]", "is not a scheduler file"),
        ("{}", "is not a scheduler file"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=said):
            allowed_address(place(path))
    path.write_text(json.dumps({"address": "tcp://10.0.0.1:1"}))
    with pytest.raises(InputError, match="--insecure"):
        allowed_address(place(path))
    path.write_text(json.dumps({"address": "tls://10.0.0.1:1"}))
    assert allowed_address(place(path)) == "tls://10.0.0.1:1"


def test_tls_without_keys_is_refused_before_connecting(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"needs a certificate: give --tls-ca"):
        Address().preview(SMALL, place("tls://host:1"))
    missing = {"tls_ca": tmp_path / "ca", "tls_cert": tmp_path / "cert", "tls_key": tmp_path / "key"}
    with pytest.raises(InputNotFound, match=r"the certificate or key .*ca.* does not exist"):
        Address().preview(SMALL, place("tls://host:1", settings=missing))


def test_keys_of_dasks_own_configuration_are_used(tmp_path: Path) -> None:
    with session_keys(tmp_path) as files:
        configured = {
            "distributed.comm.tls.ca-file": str(files.certificate),
            "distributed.comm.tls.client.cert": str(files.certificate),
            "distributed.comm.tls.client.key": str(files.key),
        }
        with dask.config.set(configured):
            assert "tls://host:1" in Address().preview(SMALL, place("tls://host:1"))


@pytest.mark.slow
def test_a_run_on_an_existing_tls_cluster_leaves_it_running(tmp_path: Path) -> None:
    messages: list[str] = []
    with (
        session_keys(tmp_path) as files,
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            protocol="tls",
            security=files.security(),
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs="CRITICAL",
        ) as cluster,
    ):
        keys = {"tls_ca": files.certificate, "tls_cert": files.certificate, "tls_key": files.key}
        here = place(cluster.scheduler_address, settings=keys, tell=messages.append)
        for _ in range(2):
            with Address().connect(SMALL, here) as connected:
                assert connected.workers == 2
                assert connected.client.submit(pow, 2, 5).result() == 32
                connected.watch()
    assert not [sentence for sentence in messages if "OMP_NUM_THREADS" not in sentence], messages


def test_a_scheduler_that_does_not_answer_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with (
            pytest.raises(SchedulerError, match=f"{address} does not answer within 1 s"),
            Address().connect(SMALL, place(address, settings={"answer_timeout_s": 1})),
        ):
            pass


def test_a_scheduler_without_workers_is_reported_and_given_up(theirs: LocalCluster) -> None:
    messages: list[str] = []
    here = place(theirs.scheduler_address, settings={"workers_timeout_s": 0.5}, tell=messages.append)
    with (
        pytest.raises(SchedulerError, match=r"no worker at tcp://.*start workers"),
        Address().connect(SMALL, here),
    ):
        pass
    assert messages == [f"No worker is connected to {theirs.scheduler_address}; waiting 0 s for one."]


def test_a_wait_for_workers_ends_when_the_user_asks_to_leave(theirs: LocalCluster) -> None:
    with Address().connect(SMALL, place(theirs.scheduler_address, leaving=lambda: True)) as cluster:
        assert cluster.workers == 1


@pytest.mark.slow
def test_workers_that_are_not_as_they_should_be_are_reported(theirs: LocalCluster) -> None:
    messages: list[str] = []
    theirs.scale(1)
    with Client(theirs) as client:
        client.wait_for_workers(1, timeout=60)
    large = Resources(process_bytes=2**20, block_bytes=2**40)
    with Address().connect(large, place(theirs.scheduler_address, tell=messages.append)) as cluster:
        assert cluster.threads_per_worker == 3
        theirs.scale(0)
    assert any("run 3 blocks at once" in sentence for sentence in messages)


@pytest.mark.slow
def test_a_scheduler_that_goes_away_ends_the_session(
    theirs: LocalCluster, eventually: Callable[[Callable[[], object]], None]
) -> None:
    theirs.scale(1)
    with Address().connect(SMALL, place(theirs.scheduler_address)) as cluster:
        theirs.close()
        eventually(lambda: cluster.client.status != "running")
        with pytest.raises(SchedulerError, match="Finished work is kept"):
            cluster.watch()
