import tracemalloc
from pathlib import Path

import pytest

from nucbatch.core.errors import StoreError
from nucbatch.core.settings import RunSettings
from nucbatch.store.held_receipts import HeldReceipts
from nucbatch.store.ledger import Ledger, latest_receipts
from nucbatch.store.receipt import Receipt
from nucbatch.store.run_folder import RunFolder


def receipt(field: str, nuclei: int = 3, status: str = "done", reason: str = "") -> Receipt:
    figures = {f"QC_{number}": number / 7 for number in range(12)}
    return Receipt(field, status, reason, nuclei, "0" * 64, figures, {"read": 0.5}, "tls://1.2.3.4:5", "ab12")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "out")
    made.create()
    return made


def test_the_last_receipt_of_a_field_counts_and_is_parsed_when_asked_for(folder: RunFolder) -> None:
    odd = receipt('A/"1"\\/é', 7)
    failed = receipt("A/1/2", 0, "failed", 'no "status":"done","nuclei":9,"source":"ff"')
    with Ledger(folder, RunSettings(), "input") as ledger:
        ledger.append(receipt("A/1/1", 1), odd, receipt("A/1/2"), failed)
        ledger.append(receipt("A/1/1", 5))
        held = latest_receipts(folder)
        ledger.append(receipt("A/1/1", 6))
    assert held == {"A/1/1": receipt("A/1/1", 5), odd.field: odd, "A/1/2": failed}
    assert list(held.done()) == ["A/1/1", odd.field]
    keys = "A/1/1", odd.field, "A/1/2", "none"
    assert [held.nuclei_of_done(key) for key in keys] == [5, 7, None, None]
    assert [held.source_of_done(key) for key in keys] == ["ab12", "ab12", None, None]
    assert not held.is_done("A/1/2")
    assert not held.is_done("none")
    held.forget(["A/1/1", "none"])
    assert set(held) == {odd.field, "A/1/2"}
    assert HeldReceipts.of([odd, failed]) == held


def test_a_line_that_is_cut_short_is_skipped_and_a_damaged_one_named(folder: RunFolder) -> None:
    assert latest_receipts(folder) == {}
    with Ledger(folder, RunSettings(), "input") as ledger:
        ledger.append(receipt("A/1/1"), receipt("A/1/2"))
    whole = folder.ledger.read_bytes()
    folder.ledger.write_bytes(whole[:-5])
    assert set(latest_receipts(folder)) == {"A/1/1"}
    folder.ledger.write_bytes(whole.replace(b'"nuclei":3', b'"nuclei":4', 1))
    with pytest.raises(StoreError, match="damaged in line 2"):
        latest_receipts(folder)


def test_a_receipt_that_is_not_asked_for_takes_less_than_120_bytes(folder: RunFolder) -> None:
    """Parsed it takes 2,000: those of a million finished fields would not fit into the driver's gigabyte."""
    with Ledger(folder, RunSettings(), "input") as ledger:
        ledger.append(*(receipt(f"A/{column}/{site}") for column in range(20) for site in range(100)))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        held = latest_receipts(folder)
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(held) == 2_000
    assert kept < 120 * 2_000
