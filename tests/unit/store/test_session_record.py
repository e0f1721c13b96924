"""Duration of a run over several sessions."""

from pathlib import Path

import pytest

from nucbatch.store.run_folder import RunFolder
from nucbatch.store.session_record import SessionRecord, earlier_work, write_session


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A ledger whose first line has ten bytes, and three fields."""
    folder = RunFolder(tmp_path)
    folder.create()
    folder.ledger.write_bytes(b"123456789\n" + b"field\n" * 3)
    return folder


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ({"left": 1060.0, "ended": 1070.0}, (70.0 + 5.0, 3 + 2)),  # finished
        ({"left": 1060.0}, (60.0 + 5.0, 3 + 2)),  # stopped by a signal
        ({}, (40.0 + 5.0, 3 + 2)),  # killed: its last heartbeat counts
        ({"ended": 1003.0}, (5.0, 2)),  # nothing was left to do
    ],
)
def test_sessions_that_worked_add_up(
    folder: RunFolder, ends: dict[str, float], expected: tuple[float, int]
) -> None:
    write_session(folder, SessionRecord(1000.0, 3, 0, 0, 10, earlier_s=5.0, earlier_fields=2, **ends))
    assert earlier_work(folder, 1040.0) == expected


def test_a_first_session_has_no_earlier_work(folder: RunFolder) -> None:
    assert earlier_work(folder, None) == (0.0, 0)
