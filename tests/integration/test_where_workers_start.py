"""Where no workers can be had, that is said soon and with the mend; nothing is waited for without an end."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

from nucbatch.core.errors import SchedulerError
from nucbatch.schedulers.contract import Place
from nucbatch.schedulers.environment import LOCAL_ENVIRONMENT
from nucbatch.schedulers.machine import cluster_here
from nucbatch.synthetic import make_plate

pytestmark = pytest.mark.slow

IN_A_DAEMON = """
import multiprocessing, sys
import nucbatch, nucbatch.core.errors

def attempt(plate, out):
    try:
        nucbatch.run(plate, out)
    except nucbatch.core.errors.SchedulerError as error:
        return str(error)

if __name__ == "__main__":
    how, *where = sys.argv[1:]
    if how == "dask":
        from distributed import Client, LocalCluster
        with LocalCluster(n_workers=1, dashboard_address=":0") as cluster, Client(cluster) as client:
            print(client.submit(attempt, *where).result())
    else:
        with multiprocessing.get_context(how).Pool(1) as pool:
            print(pool.apply(attempt, where))
"""

UNGUARDED = """
import sys
import nucbatch

nucbatch.run(sys.argv[1], sys.argv[2], channel="DAPI", workers=1)
"""


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    folder = tmp_path / "plate"
    make_plate(folder, wells=("B02", "B03"), sites=1, size_px=96, empty_well="B03", truncated=False)
    return folder


def script(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(text)
    command = [sys.executable, str(folder / "script.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("how", ["spawn", "fork", "dask"])
def test_a_daemonic_process_is_refused_because_it_can_have_no_workers(
    plate: Path, tmp_path: Path, how: str
) -> None:
    done = script(tmp_path, IN_A_DAEMON, how, str(plate), str(tmp_path / "out"))
    assert "is a daemonic process" in done.stdout, done.stderr
    assert "concurrent.futures.ProcessPoolExecutor" in done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("guard", ["", "# there is no __name__ == '__main__' in it\n"])
def test_a_script_without_a_guard_is_shown_the_lines_to_write(
    plate: Path, tmp_path: Path, guard: str
) -> None:
    done = script(tmp_path, guard + UNGUARDED, str(plate), str(tmp_path / "out"))
    assert done.returncode == 1
    assert 'if __name__ == "__main__":\n        nucbatch.run(...)' in done.stderr
    assert done.stderr.count("Traceback") <= 3, done.stderr


def test_workers_that_never_come_up_are_not_waited_for_without_an_end(tmp_path: Path) -> None:
    waits = threading.Event()

    def hang(**options: Any) -> LocalCluster:
        waits.wait()
        raise OSError

    sizes = (1, 1, 2**30)
    try:
        with (
            pytest.raises(SchedulerError, match="1 workers did not start: they did not come up within 1 s"),
            cluster_here(hang, sizes, LOCAL_ENVIRONMENT, Place(tmp_path), start_s=1),
        ):
            pass
    finally:
        waits.set()
