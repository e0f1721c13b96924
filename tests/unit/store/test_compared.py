from dataclasses import replace
from pathlib import Path

from nucbatch.core.plate import Channel, Plate
from nucbatch.core.settings import RunSettings
from nucbatch.store.compared import input_digest, record_compared, were_compared
from nucbatch.store.run_folder import RunFolder

PLATE = Plate("p", "/plate", "folder", (Channel("DAPI", 0),), (), (), listed="f" * 64)


def test_an_input_is_known_until_another_one_was_compared(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out")
    folder.create()
    folder.ledger.write_bytes(b"first line\n")
    first = input_digest(PLATE, RunSettings())
    assert not were_compared(folder, first)
    record_compared(folder, first)
    folder.ledger.write_bytes(b"first line\nsecond line\n")
    assert were_compared(folder, first)
    second = input_digest(replace(PLATE, listed="e" * 64), RunSettings())
    assert not were_compared(folder, second)
    record_compared(folder, second)
    assert not were_compared(folder, first)
    record_compared(folder, "")  # fields that are done have changed
    assert not were_compared(folder, second)
    assert not were_compared(folder, "")
    record_compared(folder, first)
    folder.ledger.write_bytes(b"another\n")  # shorter than the ledger that was compared
    assert not were_compared(folder, first)


def test_settings_and_name_count_and_an_input_without_a_listing_is_never_known() -> None:
    digests = {
        input_digest(PLATE, RunSettings()),
        input_digest(PLATE, RunSettings(channel="DAPI")),
        input_digest(replace(PLATE, name="q"), RunSettings()),
        input_digest(replace(PLATE, root="/elsewhere"), RunSettings()),
    }
    assert len(digests) == 3
    assert input_digest(replace(PLATE, listed=""), RunSettings()) == ""
