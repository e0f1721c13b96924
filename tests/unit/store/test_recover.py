"""A damaged or missing ledger is rebuilt from its intact lines and the table fragments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nucbatch.core.errors import SettingsConflict
from nucbatch.core.plate import Field
from nucbatch.core.settings import RunSettings
from nucbatch.store.fragments import write_fragment
from nucbatch.store.ledger import Ledger, latest_receipts, make_header
from nucbatch.store.receipt import Receipt, fragment_note
from nucbatch.store.recover import recover
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stamps import stamp_of
from nucbatch.store.tables import identity_columns
from nucbatch.store.verify_files import file_problems, places_of

SETTINGS = RunSettings(channel="DAPI")
FIELDS = [Field("B03", site, 0, f"B/3/{site}", f"x{site}", (), 4, 4, "uint8") for site in range(1, 6)]
MADE_OF = "what it is made of"
WANTED = [(field, MADE_OF) for field in FIELDS]


def header() -> dict[str, object]:
    return make_header(SETTINGS, "p")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Five fields, the last of which failed."""
    folder = RunFolder(tmp_path)
    folder.create()
    with Ledger(folder, SETTINGS, "p") as ledger:
        for field in FIELDS:
            receipt = Receipt(field.key, "done", "", 2, "ab", {"QC_Mean": 0.1}, {"read": 1.0}, "w", "source")
            if field == FIELDS[-1]:
                ledger.append(replace(receipt, status="failed", reason="cut short", nuclei=0))
                continue
            path = folder.fragment(field.key)
            write_fragment(path, identity_columns("P", field, 2), fragment_note(receipt, MADE_OF))
            ledger.append(receipt.with_table(*stamp_of(path)))
    return folder


def _remembered(receipt: Receipt) -> Receipt:
    """The part of a receipt that a fragment stores."""
    return replace(receipt, seconds={}, worker="", committed_ns=0)


def test_an_intact_ledger_and_a_new_folder_are_unchanged(folder: RunFolder, tmp_path: Path) -> None:
    before = folder.ledger.read_bytes()
    assert recover(folder, header, WANTED) == ""
    folder.ledger.write_bytes(before + b'{"field":"B/3/')  # cut short by a kill
    assert recover(folder, header, WANTED) == ""
    other = RunFolder(tmp_path / "new")
    other.create()
    assert recover(other, header, WANTED) == ""
    assert not other.ledger.exists()


@pytest.mark.parametrize("lines", [[2], [3, 5], [2, 3, 4, 5]])
def test_damaged_lines_are_rebuilt_from_fragments(folder: RunFolder, lines: list[int]) -> None:
    before = dict(latest_receipts(folder))
    content = folder.ledger.read_bytes().split(b"\n")
    for number in lines:
        content[number - 1] = bytes(len(content[number - 1]))
    folder.ledger.write_bytes(b"\n".join(content))
    said = recover(folder, header, WANTED)
    assert f"damaged in {len(lines)} line" in said
    assert f"{len(lines)} field" in said
    lost = {f"B/3/{number - 1}" for number in lines}
    assert latest_receipts(folder) == {
        key: _remembered(receipt) if key in lost else receipt for key, receipt in before.items()
    }
    with Ledger(folder, SETTINGS, "p"):
        assert recover(folder, header, WANTED) == ""


def test_lines_overwritten_with_zeros_are_rebuilt(folder: RunFolder) -> None:
    content = bytearray(folder.ledger.read_bytes())
    begin = content.index(b"\n") + 100
    content[begin : begin + 700] = bytes(700)
    folder.ledger.write_bytes(content)
    assert "damaged in 1 line" in recover(folder, header, WANTED)
    assert set(latest_receipts(folder)) == {field.key for field in FIELDS}


@pytest.mark.parametrize("what", ["gone", "empty", "zeros", "its first line", "one letter of it"])
def test_a_missing_first_line_rebuilds_everything_from_fragments(folder: RunFolder, what: str) -> None:
    before = dict(latest_receipts(folder))
    content = folder.ledger.read_bytes()
    first = content.index(b"\n")
    match what:
        case "gone":
            folder.ledger.unlink()
        case "empty":
            folder.ledger.write_bytes(b"")
        case "zeros":
            folder.ledger.write_bytes(bytes(len(content)))
        case "its first line":
            folder.ledger.write_bytes(bytes(first) + content[first:])
        case _:
            folder.ledger.write_bytes(content.replace(b"DAPI", b"DAPJ", 1))
    assert "4 fields" in recover(folder, header, WANTED)
    assert latest_receipts(folder) == {field.key: _remembered(before[field.key]) for field in FIELDS[:-1]}
    with Ledger(folder, SETTINGS, "p") as ledger:
        ledger.append(before["B/3/5"])


def test_recovered_fields_are_read_before_they_count(folder: RunFolder) -> None:
    folder.ledger.unlink()
    recover(folder, header, WANTED)
    receipt, places = latest_receipts(folder)["B/3/1"], places_of(folder, True, FIELDS[0])
    assert file_problems(places, receipt) == {}
    content = bytearray(places.table.read_bytes())
    content[len(content) // 2] ^= 1
    places.table.write_bytes(content)
    assert file_problems(places, receipt) == {"@table": "has other bytes than were written"}


def test_fragments_of_other_settings_are_rejected(folder: RunFolder) -> None:
    folder.ledger.unlink()
    with pytest.raises(SettingsConflict, match=r"no ledger, and none of them was made from this input"):
        recover(folder, header, [(field, "something else") for field in FIELDS])
    assert not folder.ledger.exists()
    mixed = [(field, MADE_OF if field.site == 2 else "something else") for field in FIELDS]
    assert "1 field recovered" in recover(folder, header, mixed)
    assert set(latest_receipts(folder)) == {"B/3/2"}


@pytest.mark.parametrize("damage", [b"", b"no table", None])
def test_a_damaged_fragment_is_computed_again(folder: RunFolder, damage: bytes | None) -> None:
    folder.ledger.unlink()
    path = folder.fragment("B/3/3")
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    assert "3 fields recovered" in recover(folder, header, WANTED)
    assert set(latest_receipts(folder)) == {"B/3/1", "B/3/2", "B/3/4"}
