"""What is left of a worker that ran out of memory, as the driver reads it."""

import threading
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from nucbatch.execution.worker import perform, ran_out_of_memory
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


class Counting:
    """Says how many threads of its process watch the memory, once others have begun as well."""

    def __init__(self, folder: RunFolder, number: int, at_once: int) -> None:
        self.folder, self.key, self._at_once = folder, str(number), at_once

    def run(self) -> int:
        _BEGUN.add(self.key)
        while len(_BEGUN) < self._at_once:
            threading.Event().wait(0.01)
        return sum(thread.name == "nucbatch-memory" for thread in threading.enumerate())


_BEGUN: set[str] = set()


@pytest.mark.slow
def test_tasks_that_begin_together_share_one_watch_over_the_memory(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=4, memory_limit="2GiB", dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        works = [Counting(folder, number, 4) for number in range(4)]
        assert client.gather(client.map(perform, works, pure=False)) == [1] * 4
