"""The note of a worker that ran out of memory, as the driver reads it."""

import subprocess
import sys
from pathlib import Path

import pytest

from nucbatch.execution.worker import ran_out_of_memory
from nucbatch.store.run_folder import RunFolder

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


TOGETHER = """
import sys, threading
from pathlib import Path
from distributed import Client, LocalCluster
from nucbatch.execution.worker import perform
from nucbatch.store.run_folder import RunFolder

BEGUN = set()

class Counting:
    folder = RunFolder(Path("."))

    def __init__(self, number):
        self.key = str(number)

    def run(self):
        BEGUN.add(self.key)
        while len(BEGUN) < 4:
            threading.Event().wait(0.01)
        return sum(thread.name == "nucbatch-memory" for thread in threading.enumerate())

if __name__ == "__main__":
    settings = {"threads_per_worker": 4, "memory_limit": "2GiB", "dashboard_address": ":0"}
    with LocalCluster(n_workers=1, **settings) as cluster:
        with Client(cluster) as client:
            works = [[Counting(number)] for number in range(4)]
            print(*(made[0][0] for made in client.gather(client.map(perform, works, pure=False))))
"""


@pytest.mark.slow
def test_tasks_that_begin_together_share_one_watch_over_the_memory(tmp_path: Path) -> None:
    """Each task counts the memory guard's threads, after all four have started."""
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    command = [sys.executable, str(script)]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    assert said.stdout.split() == ["1"] * 4
