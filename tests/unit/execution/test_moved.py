"""A renamed plate with the same files keeps the name that the run started with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nucbatch.core.errors import SettingsConflict
from nucbatch.core.plate import Channel, Field, Plane, Plate
from nucbatch.core.settings import RunSettings
from nucbatch.execution.moved_plate import about, as_begun
from nucbatch.planning.plan import Plan
from nucbatch.store.ledger import Ledger, latest_receipts, plate_digest
from nucbatch.store.receipt import Receipt, field_digest
from nucbatch.store.run_folder import RunFolder

FIELDS = tuple(
    Field(
        "", site, 0, f"x{site}", f"x{site}", (Plane(f"{site}.tif", "DAPI", 0, 0, 1, 7, site),), 4, 4, "uint8"
    )
    for site in range(1, 5)
)
PLATE = Plate("monday", "/there", "folder", (Channel("DAPI", 0),), FIELDS, (), is_plate=False)
PLAN = Plan(PLATE, RunSettings(channel="DAPI"))


def _renamed(*fields: Field) -> Plan:
    return replace(PLAN, plate=replace(PLATE, name="tuesday", root="/here", fields=fields or FIELDS))


def _begun(out: Path, done: int) -> RunFolder:
    folder = RunFolder(out)
    folder.create()
    with Ledger(folder, PLAN.settings, plate_digest(PLATE), about=about(PLATE)) as ledger:
        for field in FIELDS[:done]:
            ledger.append(Receipt(field.key, "done", "", 0, "", {}, {}, "w", field_digest(field)))
    return folder


def _changed(field: Field) -> Field:
    (plane,) = field.planes
    return replace(field, planes=(replace(plane, mtime_ns=99),))


@pytest.mark.parametrize("done", [0, 1, 4])
def test_the_same_files_under_another_name_go_on(tmp_path: Path, done: int) -> None:
    folder = _begun(tmp_path, done)
    plan, said = as_begun(_renamed(), folder, latest_receipts(folder))
    assert plan.plate == replace(PLATE, root="/here")
    assert said.startswith("tuesday has the files of monday")
    with Ledger(folder, plan.settings, plate_digest(plan.plate)):
        pass
    assert as_begun(PLAN, folder, latest_receipts(folder)) == (PLAN, "")


def test_one_changed_field_of_those_that_are_done_is_still_the_same_plate(tmp_path: Path) -> None:
    folder = _begun(tmp_path, 3)
    plan, said = as_begun(_renamed(_changed(FIELDS[0]), *FIELDS[1:]), folder, latest_receipts(folder))
    assert (plan.plate.name, bool(said)) == ("monday", True)


@pytest.mark.parametrize("done", [0, 3])
def test_other_files_under_another_name_are_another_plate(tmp_path: Path, done: int) -> None:
    folder = _begun(tmp_path, done)
    plan, said = as_begun(_renamed(*map(_changed, FIELDS)), folder, latest_receipts(folder))
    assert (plan.plate.name, said) == ("tuesday", "")
    with pytest.raises(SettingsConflict, match="the input: its name"):
        Ledger(folder, plan.settings, plate_digest(plan.plate))


def test_a_new_folder_knows_no_other_name(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.create()
    assert as_begun(PLAN, folder, {}) == (PLAN, "")
