"""Ledger: commits, kills, damage and changed settings."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucbatch.core.errors import SettingsConflict, StoreError
from nucbatch.core.plate import Channel, Field, Plane, Plate
from nucbatch.core.settings import ObjectSettings, RunSettings
from nucbatch.store.held_receipts import HeldReceipts
from nucbatch.store.ledger import (
    Ledger,
    changed_fields,
    latest_receipts,
    plate_digest,
    receipts,
)
from nucbatch.store.receipt import Receipt, field_digest, line_of
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stamps import Stamp, packed

SETTINGS = RunSettings(channel="DAPI", model_hash="ab" * 32)


def _receipt(key: str, nuclei: int = 3) -> Receipt:
    return Receipt(
        field=key,
        status="done",
        reason="",
        nuclei=nuclei,
        labels_sha256="0" * 64,
        qc={"QC_Focus": 0.1 + 0.2, "QC_Background": 12.5},
        seconds={"read": 0.01},
        worker="tcp://10.0.0.1:7",
        names="0/c.0.0.0 0/zarr.json @table",
        stamps=packed([Stamp(7, 1), Stamp(8, 2), Stamp(9, 3)]),
    )


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    folder.create()
    return folder


def test_receipts_are_read_in_commit_order(folder: RunFolder) -> None:
    failed = replace(
        _receipt("B/3/2"), status="failed", reason="µ: no\nsuch «file»", qc={"QC_Focus": float("inf")}
    )
    with Ledger(folder, SETTINGS, "p") as ledger:
        ledger.append(_receipt("B/3/1"))
        ledger.append()
        ledger.append(failed, _receipt("A/1/1"))
    assert list(receipts(folder)) == [_receipt("B/3/1"), failed, _receipt("A/1/1")]


def test_a_receipt_is_small(folder: RunFolder) -> None:
    with Ledger(folder, SETTINGS, "p") as ledger:
        ledger.append(_receipt("B/3/1"))
    assert len(folder.ledger.read_bytes().splitlines()[1]) < 500


def test_the_last_receipt_of_a_field_counts(folder: RunFolder) -> None:
    with Ledger(folder, SETTINGS, "p") as ledger:
        ledger.append(_receipt("B/3/1", 1), _receipt("B/3/2"), _receipt("B/3/1", 7))
    assert {key: receipt.nuclei for key, receipt in latest_receipts(folder).items()} == {
        "B/3/1": 7,
        "B/3/2": 3,
    }


def test_a_missing_ledger_has_no_receipts(folder: RunFolder) -> None:
    assert list(receipts(folder)) == []


def test_the_first_line_records_the_runs_inputs(folder: RunFolder) -> None:
    with Ledger(folder, SETTINGS, "p"):
        pass
    header = json.loads(folder.ledger.read_text())
    assert header["format"] == 4
    assert header["settings_sha256"] == SETTINGS.digest()
    assert header["settings"] == SETTINGS.model_dump(mode="json")
    assert header["plate_sha256"] == "p"
    assert header["nucbatch"]


def test_only_the_same_settings_continue_a_run(folder: RunFolder) -> None:
    with Ledger(folder, SETTINGS, "p") as ledger:
        ledger.append(_receipt("B/3/1"))
    before = folder.ledger.read_bytes()
    other = SETTINGS.model_copy(update={"objects": ObjectSettings(foreground=0.6)})
    with pytest.raises(SettingsConflict, match=r"objects\.foreground: 0\.5 → 0\.6\. .*--restart"):
        Ledger(folder, other, "p")
    with pytest.raises(SettingsConflict, match="the input: "):
        Ledger(folder, SETTINGS, "q")
    assert folder.ledger.read_bytes() == before
    with Ledger(folder, SETTINGS, "p") as ledger:
        ledger.append(_receipt("B/3/2"))
    assert set(latest_receipts(folder)) == {"B/3/1", "B/3/2"}


def test_another_version_of_nucbatch_is_rejected(folder: RunFolder) -> None:
    with Ledger(folder, SETTINGS, "p"):
        pass
    header = json.loads(folder.ledger.read_text())
    folder.ledger.write_bytes(line_of(header | {"nucbatch": "0.0.7"}))
    with pytest.raises(SettingsConflict, match=r"nucbatch: 0\.0\.7 → "):
        Ledger(folder, SETTINGS, "p")
    folder.ledger.write_bytes(line_of(header | {"format": 99}))
    with pytest.raises(StoreError, match="format 99, this version of nucbatch reads format 4"):
        Ledger(folder, SETTINGS, "p")


def test_invalid_settings_in_the_first_line_count_as_damage(folder: RunFolder) -> None:
    with Ledger(folder, SETTINGS, "p"):
        pass
    header = json.loads(folder.ledger.read_text())
    folder.ledger.write_bytes(line_of(header | {"settings_sha256": "", "settings": {"sharpness": 11}}))
    with pytest.raises(StoreError, match="damaged in line 1"):
        Ledger(folder, SETTINGS, "p")


@settings(max_examples=40, deadline=None)  # each example waits for the disk
@given(st.data())
def test_a_ledger_truncated_at_any_byte_keeps_its_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    folder.create()
    wanted = [_receipt(f"B/3/{site}") for site in range(1, 4)]
    with Ledger(folder, SETTINGS, "p") as ledger:
        ledger.append(*wanted)
    content = folder.ledger.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    folder.ledger.write_bytes(content[:cut])
    kept = wanted[: max(content[:cut].count(b"\n") - 1, 0)]
    assert list(receipts(folder)) == kept
    with Ledger(folder, SETTINGS, "p") as ledger:
        ledger.append(_receipt("C/1/1"))
    assert list(receipts(folder)) == [*kept, _receipt("C/1/1")]


@pytest.mark.parametrize("damage", ["{", "[]", "\x00\x00", '{"field": "B/3/1"}'])
@pytest.mark.parametrize("number", [2, 3, 4])
def test_damage_is_reported_with_its_line(folder: RunFolder, damage: str, number: int) -> None:
    with Ledger(folder, SETTINGS, "p") as ledger:
        ledger.append(*(_receipt(f"B/3/{site}") for site in range(1, 4)))
    lines = folder.ledger.read_text().splitlines()
    lines[number - 1] = damage
    folder.ledger.write_text("\n".join(lines) + "\n")
    with pytest.raises(StoreError, match=f"damaged in line {number}.*same command again"):
        list(receipts(folder))


_WRITER = """
import sys
from pathlib import Path
from nucbatch.core.settings import RunSettings
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.held_receipts import HeldReceipts
from nucbatch.store.ledger import Ledger
from nucbatch.store.receipt import Receipt
with Ledger(RunFolder(Path(sys.argv[1])), RunSettings(), "p") as ledger:
    for number in range(100_000):
        ledger.append(Receipt(f"A/1/{number}", "done", "x" * 200, number, "", {}, {}, "w"))
        print(number, flush=True)
"""


def test_a_killed_driver_loses_no_committed_field(folder: RunFolder) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(folder.path)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        reported = 20 + writer.stdout.read().count(b"\n")
    assert writer.returncode == -signal.SIGKILL
    found = [receipt.nuclei for receipt in receipts(folder)]
    assert found == list(range(len(found)))
    assert reported <= len(found) < 100_000
    with Ledger(folder, RunSettings(), "p") as ledger:
        ledger.append(_receipt("B/3/1"))
    assert len(list(receipts(folder))) == len(found) + 1


def test_a_ledger_that_cannot_be_opened_is_an_error(folder: RunFolder) -> None:
    folder.ledger.mkdir()
    with pytest.raises(StoreError, match="can't be written"):
        Ledger(folder, SETTINGS, "p")


PLANE = Plane("a.tif", "DAPI", size_bytes=7, mtime_ns=1)
FIELD = Field("B03", 1, 0, "B/3/1", "x", (PLANE,), 4, 4, "uint8")
PLATE = Plate("P", "/here", "x", (Channel("DAPI", 0),), (FIELD,), ())


def test_the_plate_digest_covers_shared_properties_but_not_the_path() -> None:
    same = [PLATE, replace(PLATE, root="/there"), replace(PLATE, fields=(replace(FIELD, site=2),))]
    others = [
        replace(PLATE, name="Q"),
        replace(PLATE, layout="y"),
        replace(PLATE, is_plate=False),
        replace(PLATE, channels=(Channel("GFP", 0),)),
        replace(PLATE, fields=(replace(FIELD, planes=(replace(PLANE, level=1),)),)),
    ]
    assert len({plate_digest(plate) for plate in same}) == 1
    assert len({plate_digest(plate) for plate in [PLATE, *others]}) == 6


def test_the_field_digest_covers_every_attribute() -> None:
    planes = [
        replace(PLANE, **{name: value})
        for name, value in {
            "path": "b.tif", "channel": "GFP", "z": 1, "page": 1, "samples": 3,
            "size_bytes": 8, "mtime_ns": 2, "level": 1,
        }.items()
    ]  # fmt: skip
    others = [replace(FIELD, planes=(plane,)) for plane in planes]
    others += [replace(FIELD, planes=(PLANE, PLANE)), replace(FIELD, site=2), replace(FIELD, height_px=5)]
    assert len({field_digest(field) for field in [FIELD, *others]}) == 1 + len(others)
    assert field_digest(FIELD) == field_digest(replace(FIELD))


def _done(plate: Plate) -> list[Receipt]:
    return [replace(_receipt(field.key), source=field_digest(field)) for field in plate.fields]


def test_few_changed_fields_are_listed_and_another_input_is_rejected(folder: RunFolder) -> None:
    many = replace(
        PLATE, fields=tuple(replace(FIELD, group=f"B/3/{site}", site=site) for site in (1, 2, 3, 4))
    )
    held = HeldReceipts.of([*_done(many), replace(_receipt("B/3/9"), status="failed", source="")])
    assert changed_fields(folder, many, held) == []
    first, *rest = many.fields
    newer = replace(first, planes=(replace(PLANE, mtime_ns=2),))
    assert changed_fields(folder, replace(many, fields=(newer, *rest)), held) == ["B/3/1"]
    quarantined = replace(rest[0], problem="truncated")
    assert changed_fields(folder, replace(many, fields=(newer, quarantined, *rest[1:])), held) == [
        "B/3/1",
        "B/3/2",
    ]
    with pytest.raises(SettingsConflict, match="another input: of 4 finished fields, 3 are missing"):
        changed_fields(folder, replace(many, fields=(first,)), held)
    later = replace(FIELD, group="B/3/5", site=5)
    assert changed_fields(folder, replace(many, fields=(*many.fields, later)), held) == []
