"""Status of a run, read from its folder: what counts, who works on it, and that nothing is touched."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nucbatch.core.errors import InputNotFound, StoreError
from nucbatch.core.settings import ConversionSettings, RunSettings
from nucbatch.store.ledger import Ledger
from nucbatch.store.lock import run_lock
from nucbatch.store.receipt import Receipt
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.run_status import RECENT_S, ImageStatus, read_status
from nucbatch.store.scratch import Scratch, write_values
from nucbatch.store.session_record import SessionRecord, write_session
from nucbatch.store.units import Unit, Units

SETTINGS = RunSettings(channel="DAPI", model_hash="ab" * 32)


def done(key: str, nuclei: int = 3, ago_s: float = 1.0) -> Receipt:
    committed_ns = int((time.time() - ago_s) * 1e9)
    return Receipt(key, "done", "", nuclei, "0" * 64, {"QC_Focus": 0.1}, {}, "w", committed_ns=committed_ns)


def failed(key: str, reason: str) -> Receipt:
    return Receipt(key, "failed", reason, 0, "", {}, {}, "w")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "out")
    folder.create()
    return folder


def commit(folder: RunFolder, *receipts: Receipt) -> int:
    with Ledger(folder, SETTINGS, "p") as ledger:
        ledger.append(*receipts)
    return folder.ledger.stat().st_size


def session(folder: RunFolder, **values: float | None) -> None:
    record = SessionRecord(time.time() - 100, fields=6, done_before=0, unusable=0, ledger_bytes=0)
    write_session(folder, replace(record, **values))


def test_the_last_line_of_a_field_counts_and_reasons_lose_the_file(folder: RunFolder) -> None:
    session(folder)
    commit(
        folder,
        failed("A/1/0", "x/a b.tif: cut short"),
        done("A/1/0", 4),
        done('A/"1",\\/1', 7),
        done("A/1/2", 9),
        failed("A/1/2", "y.tiff (page 3): cut short"),
        failed("B/1/0", "z.tif: no answer: 5 s"),
        failed("B/1/1", "w.tif: cut short"),
    )
    found = read_status(folder.path)
    assert (found.fields, found.done, found.failed, found.to_do, found.nuclei) == (6, 2, 3, 1, 11)
    assert found.reasons == (("cut short", 2), ("no answer: 5 s", 1))
    assert found.state == "stopped"
    assert found.left_s is None


def test_a_running_session_tries_earlier_failures_again(folder: RunFolder) -> None:
    before = commit(folder, done("A/1/0"), failed("A/1/1", "x.tif: cut"), failed("A/1/2", "y.tif: cut"))
    session(folder, done_before=1, ledger_bytes=before)
    with run_lock(folder):
        commit(folder, failed("A/1/1", "x.tif: cut"), done("A/1/3"))
        found = read_status(folder.path)
        assert found.driver is not None
        assert (found.driver.pid, found.driver.is_here, found.driver.runs) == (os.getpid(), True, True)
    assert (found.state, found.done, found.failed, found.to_do) == ("running", 2, 1, 3)


def test_fields_to_be_done_again_do_not_count_as_done(folder: RunFolder) -> None:
    """Two of three fields of the ledger had other files when the session began; one of them is done again."""
    before = commit(folder, done("A/1/0"), done("A/1/1"), done("A/1/2"))
    session(folder, fields=3, done_before=1, ledger_bytes=before)
    assert (read_status(folder.path).done, read_status(folder.path).to_do) == (1, 2)
    commit(folder, done("A/1/1"))
    assert (read_status(folder.path).done, read_status(folder.path).to_do) == (2, 1)


def test_rates_are_those_of_the_last_minutes_and_of_the_session(folder: RunFolder) -> None:
    session(folder, began=time.time() - 2 * RECENT_S, fields=100)
    with run_lock(folder):
        commit(folder, *(done(f"A/1/{n}", ago_s=500.0 if n < 4 else 100.0) for n in range(10)))
        found = read_status(folder.path)
    assert found.recent_per_s == pytest.approx(6 / RECENT_S, rel=0.05)
    assert found.session_per_s == pytest.approx(10 / (2 * RECENT_S), rel=0.05)
    assert found.left_s == pytest.approx(90 / (6 / RECENT_S), rel=0.05)


def test_a_killed_driver_and_a_truncated_line(folder: RunFolder) -> None:
    session(folder)
    commit(folder, done("A/1/0"))
    with folder.ledger.open("ab") as file:
        file.write(b'{"field":"A/1/1","status":"do')
    with run_lock(folder):
        record = folder.lock.with_name("lock.holder").read_text()
    gone = json.loads(record) | {"began": "1"}
    folder.lock.with_name("lock.holder").write_text(json.dumps(gone))
    found = read_status(folder.path)
    assert (found.state, found.done) == ("stopped", 1)
    assert found.driver is not None
    assert not found.driver.runs


def test_a_driver_on_another_machine_runs_while_its_heartbeat_is_recent(folder: RunFolder) -> None:
    with run_lock(folder):
        record = folder.lock.with_name("lock.holder")
        elsewhere = json.loads(record.read_text()) | {"machine": "n17", "host": "n17", "pid": 4711}
    record.write_text(json.dumps(elsewhere))
    assert read_status(folder.path).state == "running"
    os.utime(record, (time.time() - 3600,) * 2)
    found = read_status(folder.path)
    assert found.state == "not started"
    assert found.driver is not None
    assert found.driver.beat_age_s == pytest.approx(3600, abs=60)


def test_states_from_the_start_to_the_end(folder: RunFolder) -> None:
    assert read_status(folder.path).state == "not started"
    commit(folder, done("A/1/0"))
    assert (read_status(folder.path).state, read_status(folder.path).to_do) == ("stopped", None)
    session(folder, fields=1, ended=time.time())
    assert (read_status(folder.path).state, read_status(folder.path).to_do) == ("finished", 0)
    log = folder.logs / "2026-03-01T210405Z.log"
    log.touch()
    assert read_status(folder.path).log == log


def test_blocks_of_a_large_image_by_stage_until_it_is_finished(folder: RunFolder) -> None:
    scratch = Scratch(folder.scratch / "slides" / "one")
    session(folder)
    with Units(scratch.units, {}, {"predict": (2, 2), "finish": (1, 1)}) as units:
        grids = {"predict": ["predicting", 2, 2], "finish": ["writing the table", 1, 1]}
        write_values(scratch.stages, {"image": "one", "stages": grids})
        units.append([Unit("predict", 0, 0), Unit("predict", 0, 0), Unit("predict", 7, 0)])
        expected = ImageStatus("one", (("predicting", 1, 4), ("writing the table", 0, 1)))
        assert read_status(folder.path).images == (expected,)
        units.append([Unit("finish", 0, 0)])
    assert read_status(folder.path).images == ()


def test_reading_writes_nothing(folder: RunFolder) -> None:
    session(folder)
    commit(folder, done("A/1/0"))
    with run_lock(folder):
        before = sorted((path, path.stat().st_mtime_ns) for path in folder.path.rglob("*"))
        read_status(folder.path)
        after = sorted((path, path.stat().st_mtime_ns) for path in folder.path.rglob("*"))
    names = [path.name for path, _ in after]
    assert "lock.holder" in names
    assert before == after


def test_folders_that_hold_no_run(folder: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="does not exist"):
        read_status(tmp_path / "nowhere")
    (tmp_path / "other").mkdir()
    with pytest.raises(StoreError, match="is no run"):
        read_status(tmp_path / "other")
    with Ledger(folder, ConversionSettings(), "p"):
        pass
    with pytest.raises(StoreError, match="conversion"):
        read_status(folder.path)


def test_many_different_reasons_do_not_grow_without_bound(folder: RunFolder) -> None:
    session(folder, fields=400)
    commit(folder, *(failed(f"A/{n}/0", f"reason {n}") for n in range(400)))
    found = read_status(folder.path, most_reasons=1000)
    assert found.failed == 400
    assert len(found.reasons) == 255
    assert dict(found.reasons)["other reasons"] == 400 - 254


def test_the_earlier_record_of_a_session_may_be_damaged(folder: RunFolder) -> None:
    commit(folder, done("A/1/0"))
    folder.session.write_text("{")
    assert read_status(folder.path).fields is None
    assert replace(read_status(folder.path), record_age_s=0).done == 1
