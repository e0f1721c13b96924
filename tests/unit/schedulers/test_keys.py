"""Only holders of a session's keys can connect to its scheduler; with real Dask schedulers."""

from __future__ import annotations

import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from distributed import Client, LocalCluster
from distributed.security import Security

from nucbatch.core.errors import SchedulerError
from nucbatch.schedulers.keys import KeyFiles, key_files, session_keys


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyFiles]:
    with session_keys(tmp_path) as files:
        yield files


@pytest.fixture
def guarded(keys: KeyFiles) -> Iterator[str]:
    """Starts a scheduler with these keys, and yields its address."""
    with LocalCluster(
        n_workers=0,
        processes=True,
        protocol="tls",
        security=keys.security(),
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs="CRITICAL",
    ) as cluster:
        yield cluster.scheduler_address


def test_only_the_user_can_read_the_keys_and_they_go_with_the_session(tmp_path: Path) -> None:
    with session_keys(tmp_path) as files:
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (files.key, files.certificate)}
        assert modes == {"session.key": 0o600, "session.crt": 0o600}
        assert stat.S_IMODE(files.key.parent.stat().st_mode) == 0o700
    assert not files.key.parent.exists()


def test_keys_that_a_killed_session_left_are_replaced(tmp_path: Path) -> None:
    left = key_files(tmp_path)
    left.key.parent.mkdir(mode=0o755)
    left.key.write_text("old")
    left.key.chmod(0o644)
    with session_keys(tmp_path) as files:
        assert "PRIVATE KEY" in files.key.read_text()
        assert stat.S_IMODE(files.key.stat().st_mode) == 0o600


def test_each_session_has_other_keys(tmp_path: Path) -> None:
    texts = []
    for _ in range(2):
        with session_keys(tmp_path) as files:
            texts.append(files.key.read_text() + files.certificate.read_text())
    assert texts[0] != texts[1]


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file where the folder should be")
    with pytest.raises(SchedulerError, match="keys can't be written"), session_keys(tmp_path):
        pass


def test_clients_with_the_keys_can_connect(guarded: str, keys: KeyFiles) -> None:
    with Client(guarded, security=keys.security(), timeout=20) as client:
        assert client.scheduler_info()["address"] == guarded


def test_another_sessions_keys_are_refused(guarded: str, tmp_path: Path) -> None:
    with (
        session_keys(tmp_path / "another") as others,
        pytest.raises(OSError, match=r"Timed out|CERTIFICATE|certificate"),
    ):
        Client(guarded, security=others.security(), timeout=2)


def test_a_client_that_trusts_the_scheduler_but_has_no_key_is_refused(guarded: str, keys: KeyFiles) -> None:
    context = ssl.create_default_context(cafile=str(keys.certificate))
    context.check_hostname = False
    place = urlsplit(guarded)
    # Under TLS 1.3 the refusal of a client without a certificate comes with the first thing that is read.
    with (
        socket.create_connection((place.hostname, place.port), timeout=20) as connection,
        context.wrap_socket(connection) as encrypted,
        pytest.raises(ssl.SSLError, match="certificate required"),
    ):
        encrypted.recv(1)


def test_a_plain_connection_gets_no_answer(guarded: str) -> None:
    place = urlsplit(guarded)
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        connection.sendall(b"\x00" * 64)
        said = b""
        try:
            while chunk := connection.recv(1024):
                said += chunk
        except ConnectionResetError:
            pass
    assert len(said) <= 7, said  # at most TLS's own alert: a header of 5 bytes and 2 of refusal
    with pytest.raises(OSError, match=r"Timed out|closed|refused"):
        Client(guarded.replace("tls://", "tcp://"), security=Security(), timeout=2)
