"""Finished fields are sent to a store, and another working folder goes on from there."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from fault_proxy import faulty
from s3_server import Bucket

from nucbatch.core.errors import InputError, RunLocked, StoreError
from nucbatch.core.settings import RunSettings
from nucbatch.object_store import ObjectPath
from nucbatch.object_store.writing import delete, put
from nucbatch.store.copy_run import download, upload
from nucbatch.store.ledger import Ledger, latest_receipts
from nucbatch.store.receipt import Receipt
from nucbatch.store.remote.ledger import BEGUN, RemoteLedger
from nucbatch.store.remote.lock import RemoteLock, remote_lock
from nucbatch.store.remote.publish import Publisher, publish_rest
from nucbatch.store.remote.working_folder import bring_up_to_date, discard, working_folder
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.run_status import read_status
from nucbatch.store.session_record import SessionRecord, write_session
from nucbatch.store.stamps import ImagePaths, stamp_of

KEYS = ("A/1/1", "A/1/2", "A/2/1")


@pytest.fixture
def address(bucket: Bucket, request: pytest.FixtureRequest) -> ObjectPath:
    return ObjectPath(f"{bucket.url}/remote/{request.node.name}")


def places(folder: RunFolder, key: str) -> ImagePaths:
    return ImagePaths(folder.plate_zarr / key, folder.label_tiff(key.replace("/", "_")), folder.fragment(key))


def process(folder: RunFolder, key: str) -> Receipt:
    """Writes the files of a field, and returns its receipt."""
    of_field = places(folder, key)
    written = [of_field.group / "zarr.json", of_field.group / "0" / "c.0.0.0", of_field.label_tiff]
    for path in (*written, of_field.table):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{path.name} of {key}".encode() * 100)
    stamps, _ = of_field.stamps(written)
    receipt = Receipt(
        key, "done", "", 3, "", {}, {}, "", names=stamps.names, stamps=stamps.packed, source="source"
    )
    return receipt.with_table(*stamp_of(of_field.table))


def session(
    address: ObjectPath, work: Path, keys: tuple[str, ...], *, sends: bool = True
) -> tuple[RunFolder, RemoteLedger]:
    """Does some fields, as a session that is then stopped; without ``sends`` it is killed before it sends."""
    folder = working_folder(address, work)
    with remote_lock(address) as lock:
        remote = RemoteLedger.opened(address)
        found = bring_up_to_date(folder, remote)
        with (
            Publisher(folder, remote, lock, lambda key: places(folder, key), seen=True) as publisher,
            Ledger(folder, RunSettings(), "plate") as ledger,
        ):
            publisher.remove_sent(found.there)
            for key in keys:
                receipt = process(folder, key)
                ledger.append(receipt)
                if sends:
                    publisher.commit([receipt])
                    publisher.drain()
    return folder, remote


def send(folder: RunFolder, remote: RemoteLedger, lock: RemoteLock, receipt: Receipt) -> None:
    with Publisher(folder, remote, lock, lambda key: places(folder, key), seen=False) as publisher:
        publisher.commit([receipt])


def names_below(bucket: Bucket, address: ObjectPath) -> set[str]:
    start = len(address.key) + 1
    return {key[start:] for key in bucket.content() if key.startswith(f"{address.key}/")}


def test_the_data_of_a_field_goes_before_its_receipt_and_leaves_the_disk(
    bucket: Bucket, address: ObjectPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty(bucket.address) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        proxy.faults[:] = ["", "503", "", "lost", "", "", "truncated", "reset", "", "short", "lost", "range"]
        folder, remote = session(address, tmp_path, KEYS[:1])
        written = [one.split(f"/{address.name}/")[-1] for one in proxy.requests if one.startswith("PUT")]
    order = list(dict.fromkeys(name.split("?")[0] for name in written if "lock" not in name))
    assert order[0] == ".nucbatch/remote.json"
    assert set(order[1:4]) == {"plate.zarr/A/1/1/zarr.json", "plate.zarr/A/1/1/0/c.0.0.0", "labels/A_1_1.tif"}
    assert order[4:] == [
        ".nucbatch/fragments/A/1/1.parquet",
        f".nucbatch/ledger/{remote.pointer.generation}/00000000.jsonl",
    ]
    assert not (folder.plate_zarr / "A/1/1").exists()
    assert not folder.label_tiff("A_1_1").exists()
    assert folder.fragment("A/1/1").is_file()


def test_another_folder_goes_on_with_what_the_store_has(address: ObjectPath, tmp_path: Path) -> None:
    first, _ = session(address, tmp_path / "one", KEYS[:2])
    second, remote = session(address, tmp_path / "two", KEYS[2:])
    assert second.path != first.path
    assert set(latest_receipts(second)) == set(KEYS)
    third = working_folder(address, tmp_path / "three")
    found = bring_up_to_date(third, remote, verify=True)
    assert (found.there, found.damaged, found.waiting) == (set(KEYS), {}, set())
    assert found.compared[0] == 4 * len(KEYS)
    assert third.ledger.read_bytes() == second.ledger.read_bytes()
    for key in KEYS:
        assert third.fragment(key).read_bytes() == f"{Path(key).name}.parquet of {key}".encode() * 100


def test_what_a_killed_session_did_not_send_is_sent_from_its_folder_and_is_not_known_elsewhere(
    address: ObjectPath, tmp_path: Path
) -> None:
    session(address, tmp_path / "one", KEYS[:1])
    folder, remote = session(address, tmp_path / "one", KEYS[1:2], sends=False)
    found = bring_up_to_date(folder, remote)
    assert (found.there, found.waiting) == ({KEYS[0]}, {KEYS[1]})
    assert set(latest_receipts(folder)) == set(KEYS[:2])
    elsewhere = working_folder(address, tmp_path / "two")
    assert bring_up_to_date(elsewhere, remote).there == {KEYS[0]}
    assert set(latest_receipts(elsewhere)) == {KEYS[0]}


def test_fields_whose_objects_are_gone_or_changed_are_done_again(
    bucket: Bucket, address: ObjectPath, tmp_path: Path
) -> None:
    folder, remote = session(address, tmp_path, KEYS)
    delete(bucket.url, [f"{address.key}/plate.zarr/A/1/1/0/c.0.0.0"])
    whole = bucket.content()[f"{address.key}/plate.zarr/A/1/2/0/c.0.0.0"]
    put(bucket.url, f"{address.key}/plate.zarr/A/1/2/0/c.0.0.0", whole.swapcase())
    found = bring_up_to_date(folder, remote)
    assert found.there == set(KEYS[1:])
    assert found.damaged == {KEYS[0]: "1 of its objects are missing in the store, or have another size"}
    found = bring_up_to_date(folder, remote, verify=True)
    assert found.there == {KEYS[2]}
    assert found.damaged[KEYS[1]].endswith("A/1/2/0/c.0.0.0 has other bytes than were written")


def test_of_two_drivers_one_commits(address: ObjectPath) -> None:
    ledger = RemoteLedger.begun(address)
    other = RemoteLedger.found(address)
    assert other is not None
    ledger.append([], {})
    with pytest.raises(RunLocked, match="another driver has committed fields there"):
        other.append([], {})


def test_a_store_that_refuses_ends_the_run_and_loses_nothing(
    bucket: Bucket, address: ObjectPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, remote = session(address, tmp_path, KEYS[:1])
    receipt = process(folder, KEYS[1])
    with faulty(bucket.address) as proxy, remote_lock(address) as lock:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        proxy.always = "403"
        refused = rf"refuses the credentials .* are kept in {folder.path}: give the same"
        with pytest.raises(StoreError, match=refused):
            send(folder, remote, lock, receipt)
        monkeypatch.undo()
    assert (folder.plate_zarr / KEYS[1] / "0" / "c.0.0.0").is_file()
    assert remote.parts == 1


def test_many_parts_become_one_of_the_same_lines(bucket: Bucket, address: ObjectPath, tmp_path: Path) -> None:
    _, remote = session(address, tmp_path, KEYS)
    before = [line.content for line in remote.lines()]
    assert remote.parts == len(KEYS)
    remote.compact(tmp_path)
    again = RemoteLedger.found(address)
    assert again is not None
    assert again.parts == 1
    assert [line.content for line in again.lines()] == before
    ledgers = [name for name in names_below(bucket, address) if name.startswith(".nucbatch/ledger/")]
    assert ledgers == [f".nucbatch/ledger/{again.pointer.generation}/00000000.jsonl"]


def test_a_restart_leaves_what_others_put_there(bucket: Bucket, address: ObjectPath, tmp_path: Path) -> None:
    folder, _ = session(address, tmp_path, KEYS)
    (folder.path / "wells.csv").write_bytes(b"wells")
    publish_rest(folder, address, [])
    others = {"notes.txt", "plate.zarr/A/1/1/labels/mine/0/c.0.0"}
    for name in others:
        bucket.put(f"{address.key}/{name}", b"theirs")
    put(address.bucket, f"{address.key}/.nucbatch/remote.json", b"damaged")
    with pytest.raises(StoreError, match="is damaged: start over with --restart"):
        RemoteLedger.opened(address)
    begun = RemoteLedger.opened(address, restart=True)
    assert begun.parts == 0
    assert names_below(bucket, address) == others | {".nucbatch/remote.json"}
    assert bring_up_to_date(folder, begun).there == set()
    assert latest_receipts(folder) == {}


def test_an_address_that_holds_something_else_is_refused(bucket: Bucket, address: ObjectPath) -> None:
    bucket.put(f"{address.key}/notes.txt", b"theirs")
    with pytest.raises(StoreError, match=r"is no run of nucbatch and not empty: it holds notes\.txt"):
        RemoteLedger.opened(address, restart=True)


def test_tables_that_a_later_session_does_not_write_are_removed(
    bucket: Bucket, address: ObjectPath, tmp_path: Path
) -> None:
    folder, _ = session(address, tmp_path, KEYS[:2])
    (folder.path / "doses.csv").write_bytes(b"doses")
    (folder.path / "run.json").write_bytes(b"{}")
    (folder.hidden / "key.pem").write_bytes(b"a secret")
    publish_rest(folder, address, [])
    assert {"doses.csv", "run.json"} < names_below(bucket, address)
    (folder.path / "doses.csv").unlink()
    publish_rest(folder, address, [address / "plate.zarr" / "A" / "1" / "2"])
    left = names_below(bucket, address)
    assert "doses.csv" not in left
    assert not [name for name in left if name.startswith("plate.zarr/A/1/2/") or "key.pem" in name]
    elsewhere = working_folder(address, tmp_path / "two")
    remote = RemoteLedger.found(address)
    assert remote is not None
    bring_up_to_date(elsewhere, remote)
    assert (elsewhere.path / "run.json").read_bytes() == b"{}"


def test_pixels_that_a_killed_session_left_belong_to_their_field_alone(
    bucket: Bucket, address: ObjectPath, tmp_path: Path
) -> None:
    folder, remote = session(address, tmp_path / "one", KEYS)
    sent = names_below(bucket, address)
    for key in KEYS:
        process(folder, key)  # it was killed after it committed them, before it removed them here
    publish_rest(folder, address, [])
    elsewhere = working_folder(address, tmp_path / "two")
    bring_up_to_date(elsewhere, remote)
    publish_rest(elsewhere, address, [])
    assert sent < names_below(bucket, address)
    session(address, tmp_path / "one", ())
    assert not list(folder.plate_zarr.rglob("*.0"))


def test_an_unfinished_run_is_copied_to_a_folder(address: ObjectPath, tmp_path: Path) -> None:
    folder, _ = session(address, tmp_path / "work", KEYS)
    out = tmp_path / "out"
    with remote_lock(address), pytest.raises(RunLocked):
        download(address, out, lambda files: None)
    assert download(address, out, lambda files: None).files == 4 * len(KEYS)
    assert (out / ".nucbatch" / "ledger.jsonl").read_bytes() == folder.ledger.read_bytes()
    assert (out / "plate.zarr" / KEYS[0] / "0" / "c.0.0.0").is_file()
    assert RunFolder(out).is_run()
    with pytest.raises(InputError, match="holds a run of its own"):
        upload(out, address, lambda files: None)


def test_a_folder_that_holds_something_else_is_left_alone(address: ObjectPath, tmp_path: Path) -> None:
    folder = working_folder(address, tmp_path)
    folder.path.mkdir()
    (folder.path / "mine.txt").write_bytes(b"mine")
    remote = RemoteLedger.begun(address)
    with pytest.raises(StoreError, match="is no working folder of nucbatch"):
        bring_up_to_date(folder, remote)
    assert (folder.path / "mine.txt").exists()
    assert json.loads((address / ".nucbatch" / "remote.json").read_bytes())["clears"] is False
    (folder.path / "mine.txt").unlink()
    folder.hidden.mkdir()  # as a session leaves it that is killed while it makes the folder
    bring_up_to_date(folder, remote)
    discard(folder)
    assert not list(tmp_path.iterdir())


def test_status_of_a_run_that_goes_on_or_was_stopped(address: ObjectPath, tmp_path: Path) -> None:
    folder, _ = session(address, tmp_path, KEYS[:2])
    record = SessionRecord(began=time.time() - 60, fields=3, done_before=0, unusable=1, ledger_bytes=0)
    write_session(folder, record)
    put(address.bucket, (address / BEGUN / "session.json").key, folder.session)
    found = read_status(address)
    assert (found.state, found.done, found.fields, found.to_do, found.unusable) == ("stopped", 2, 3, 1, 1)
    assert found.driver is None
    with remote_lock(address):
        found = read_status(address)
        assert found.state == "running"
        assert found.driver is not None
        assert (found.driver.pid, found.driver.is_here) == (os.getpid(), True)


@pytest.mark.parametrize("kinds", [["cut"], ["lost"], ["503", "short", "reset", "truncated"]], ids="-".join)
def test_a_store_that_fails_at_every_third_request_loses_nothing_and_keeps_nothing_twice(
    bucket: Bucket, address: ObjectPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: list[str]
) -> None:
    with faulty(bucket.address) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        proxy.faults[:] = [fault for kind in kinds for fault in ("", "", kind)] * 30
        folder, _ = session(address, tmp_path, KEYS[:2])
        assert len(proxy.faults) < 90 * len(kinds) - 30
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.address)
    remote = RemoteLedger.found(address)
    assert remote is not None
    assert [line.receipt.field for line in remote.lines() if line.receipt] == list(KEYS[:2])
    expected = {}
    for key in KEYS[:2]:
        process(folder, key)
        of_field = places(folder, key)
        for path in (*of_field.group.rglob("*"), of_field.label_tiff, of_field.table):
            if path.is_file():
                expected[path.relative_to(folder.path).as_posix()] = path.read_bytes()
    start = f"{address.key}/"
    found = {key.removeprefix(start): one for key, one in bucket.content().items() if key.startswith(start)}
    assert {name: found.get(name) for name in expected} == expected
    rest = {name for name in found if name not in expected}
    assert rest == {".nucbatch/remote.json", *(name for name in rest if "/ledger/" in name)}
