"""One driver at a time below an address of a store."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator

import pytest
from fault_proxy import faulty
from s3_server import Bucket

from nucbatch.core.errors import RunLocked
from nucbatch.object_store import ObjectPath
from nucbatch.object_store.writing import get, put, put_new, put_over
from nucbatch.store.remote.lock import remote_lock, require_unlocked

RUN = ObjectPath("s3://screens/locks/run")
LOCK = RUN / ".nucbatch" / "lock.json"


@pytest.fixture
def free(bucket: Bucket) -> Iterator[Bucket]:
    """A bucket without a lock."""
    yield bucket
    with remote_lock(RUN, beat_s=0.01):
        pass


def left_behind(**changes: object) -> None:
    """Leaves the record of another driver."""
    with remote_lock(RUN):
        record = json.loads(LOCK.read_bytes())
    put(LOCK.bucket, LOCK.key, json.dumps(record | {"token": "another"} | changes).encode())


def test_a_second_driver_is_refused_and_told_who_holds_the_address(free: Bucket) -> None:
    with remote_lock(RUN) as lock:
        lock.touch()
        with (
            pytest.raises(RunLocked, match=rf"s3://screens/locks/run is in use by process {os.getpid()} on"),
            remote_lock(RUN),
        ):
            pass
        with pytest.raises(RunLocked):
            require_unlocked(RUN)
        lock.require()
    require_unlocked(RUN)
    assert not [key for key in free.content() if key.startswith("locks/")]


def test_a_dead_driver_of_this_machine_is_replaced_at_once(free: Bucket) -> None:
    left_behind(began="1")
    with remote_lock(RUN, beat_s=1e6) as lock:
        lock.require()


def test_a_driver_on_another_machine_counts_by_its_heartbeat(free: Bucket) -> None:
    left_behind(machine="another", host="node7", pid=1234)
    ended = threading.Event()

    def beat() -> None:
        number = 0
        while not ended.wait(0.02):
            content, version = get(LOCK.bucket, LOCK.key)
            number += 1
            put_over(
                LOCK.bucket, LOCK.key, json.dumps(json.loads(content) | {"beats": number}).encode(), version
            )

    beating = threading.Thread(target=beat)
    beating.start()
    with pytest.raises(RunLocked, match="process 1234 on node7"), remote_lock(RUN, beat_s=5):
        pass
    ended.set()
    beating.join()
    with remote_lock(RUN, beat_s=0.05) as lock:
        lock.require()


def test_a_driver_that_was_taken_over_finds_out_and_leaves_the_lock_alone(free: Bucket) -> None:
    with remote_lock(RUN) as lock:
        record = json.loads(LOCK.read_bytes())
        put(LOCK.bucket, LOCK.key, json.dumps(record | {"pid": 99, "host": "node7", "token": "x"}).encode())
        lock.touch()
        with pytest.raises(RunLocked, match="taken over by process 99 on node7"):
            lock.require()
    assert json.loads(LOCK.read_bytes())["pid"] == 99


def test_one_of_several_drivers_gets_the_lock(free: Bucket) -> None:
    start, got = threading.Barrier(4), []

    def take() -> None:
        start.wait()
        try:
            with remote_lock(RUN):
                got.append(True)
                start.wait()
        except RunLocked:
            got.append(False)
            start.wait()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False, False, False, True]


def test_a_conditional_write_whose_answer_was_lost_counts(
    free: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty(free.address) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        proxy.faults[:] = ["lost", "", "", "lost"]
        version = put_new("s3://screens", "conditional", b"one")
        assert version is not None
        assert put_new("s3://screens", "conditional", b"two") is None
        second = put_over("s3://screens", "conditional", b"three", version)
        assert second is not None
        assert put_over("s3://screens", "conditional", b"four", version) is None
        assert not proxy.faults
    assert free.content()["conditional"] == b"three"
