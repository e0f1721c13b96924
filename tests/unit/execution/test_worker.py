"""What is left of a worker that ran out of memory, as the driver reads it."""

from pathlib import Path

from nucbatch.execution.worker import ran_out_of_memory
from nucbatch.store.folder import RunFolder

WHOLE = '{"work": ["A/1/1"], "used_bytes": 2147483648, "limit_bytes": 3221225472, "pid": 7}\n'


def test_the_work_that_a_worker_had_in_hand_is_found_and_no_other(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.create()
    assert ran_out_of_memory(folder, "A/1/1") == ""
    (folder.logs / "memory.jsonl").write_text(WHOLE)
    assert ran_out_of_memory(folder, "A/1/1") == "2.0 of 3.0 GiB"
    assert ran_out_of_memory(folder, "A/1/2") == ""


def test_a_line_that_a_full_disk_cut_short_is_no_note(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.create()
    (folder.logs / "memory.jsonl").write_text(WHOLE + WHOLE.replace("A/1/1", "B/2/1")[:30])
    assert ran_out_of_memory(folder, "A/1/1") == "2.0 of 3.0 GiB"
    assert ran_out_of_memory(folder, "B/2/1") == ""
