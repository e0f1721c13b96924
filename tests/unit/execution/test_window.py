"""The rolling window on a real cluster with one worker."""

from dataclasses import dataclass
from pathlib import Path

import dask
import pytest
from distributed import Client, LocalCluster

from nucbatch.core.plate import Field
from nucbatch.execution.check import CheckResult, CheckTask
from nucbatch.execution.window import Window, WorkResult
from nucbatch.schedulers.contract import Cluster
from nucbatch.schedulers.supervisor import SUPERVISOR_CONFIG, WorkerSupervisor
from nucbatch.schedulers.workers import CLUSTER_CONFIG
from nucbatch.store.receipt import Receipt
from nucbatch.store.run_folder import RunFolder

pytestmark = pytest.mark.slow


def test_a_result_that_is_lost_before_it_is_fetched_is_made_again_by_a_worker_that_watching_brings(
    tmp_path: Path,
) -> None:
    field = Field("", 1, 0, "a", "a", (), 4, 4, "uint8")
    receipt = Receipt("a", "done", "", 0, "", {}, {}, "")
    work = CheckTask(RunFolder(tmp_path), is_plate=False, committed=((field, receipt),))
    with (
        dask.config.set(CLUSTER_CONFIG | dict.fromkeys(SUPERVISOR_CONFIG, "100ms")),
        LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0") as local,
        Client(local) as client,
    ):
        window: Window[CheckTask] = Window(
            Cluster(client, 1, 1, 2**30, WorkerSupervisor(local, workers=1).watch)
        )
        window.submit([work])
        while not window._finished.has_ready():
            client.run_on_scheduler(int)
        local.sync(next(iter(local.workers.values())).close)
        results: list[WorkResult[CheckTask]] = []
        while not results:
            results = window.next_batch()
        assert [(one.work, one.outcome, one.error) for one in results] == [
            (work, CheckResult(wrong={}, files=0, stored_bytes=0), None)
        ]
        assert len(window) == 0


def test_a_full_window_is_collected_a_quarter_at_a_time(tmp_path: Path) -> None:
    works = [
        CheckTask(RunFolder(tmp_path / str(number)), is_plate=False, committed=()) for number in range(8)
    ]
    with (
        dask.config.set(CLUSTER_CONFIG),
        LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0") as local,
        Client(local) as client,
    ):
        window: Window[CheckTask] = Window(Cluster(client, 4, 1, 2**30, lambda: None))
        assert window.room == 8
        window.submit(works)
        sizes = [len(window.next_batch())]
        while len(window):
            sizes.append(len(window.next_batch()))
        assert sizes[0] >= 2
        assert sum(sizes) == 8


@dataclass(frozen=True)
class Named:
    """Returns its key, or raises an error if it is to fail."""

    key: str
    folder: RunFolder
    fails: bool = False

    def run(self) -> str:
        if self.fails:
            raise ValueError(self.key)
        return self.key


def test_pieces_share_a_task_and_an_error_concerns_its_own_piece_alone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.create()
    works = [Named(name, folder, fails=name in "bg") for name in "abcdefg"]
    with (
        dask.config.set(CLUSTER_CONFIG),
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as local,
        Client(local) as client,
    ):
        window: Window[Named] = Window(Cluster(client, 4, 1, 2**30, lambda: None))
        window.submit(works, together=3)
        assert len(window) == 3
        results: list[WorkResult[Named]] = []
        while len(window):
            results += window.next_batch()
    expected = {name: None if name in "bg" else name for name in "abcdefg"}
    assert {one.work.key: one.outcome for one in results} == expected
    failed = {one.work.key: one for one in results if one.error is not None}
    assert {key: str(one.error) for key, one in failed.items()} == {"b": "b", "g": "g"}
    assert all(one.trace is not None for one in failed.values())
    assert all((one.seconds > 0) == (one.error is None) for one in results)
