"""A worker closes before its job ends; on a local cluster whose processes get an end time."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from time import time

import pytest
from distributed import Client, LocalCluster, Worker, wait

from nucbatch.schedulers.connected import connected_workers
from nucbatch.schedulers.walltime import JOB_END, WalltimePlugin, spare_s, stagger_s


@pytest.mark.parametrize(
    ("whole_s", "spare", "most"), [(60, 6, 6), (3600, 60, 360), (86400, 60, 600), (0, 0, 0)]
)
def test_time_is_kept_back_for_handing_over_and_not_the_same_for_all(
    whole_s: float, spare: float, most: float
) -> None:
    assert spare_s(whole_s) == spare
    early = [stagger_s(whole_s, f"worker-{number}") for number in range(200)]
    assert 0 <= min(early) <= max(early) <= most
    assert max(early) - min(early) >= 0.9 * most


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def until(gate: Path, starts: Path) -> list[str]:
    """Runs a task that records its start and ends when a file appears."""
    return ["sh", "-c", f"echo start >> '{starts}'; until [ -e '{gate}' ]; do sleep 0.05; done"]


def workers(client: Client) -> dict[str, dict[str, object]]:
    """Returns the scheduler's information on its workers, by address."""
    found: dict[str, dict[str, object]] = connected_workers(client)
    return found


@pytest.fixture
def two_workers() -> Iterator[tuple[Client, str, str]]:
    """One whose job has ended already, as it were, and one whose job has no end; their addresses."""
    with (
        LocalCluster(
            n_workers=0,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs="CRITICAL",
        ) as cluster,
        Client(cluster) as client,
    ):
        spec = cluster.new_worker_spec()
        (options,) = (one["options"] for one in spec.values())
        cluster.worker_spec["free"] = {"cls": cluster.new_spec["cls"], "options": options | {"env": {}}}
        cluster.worker_spec["bound"] = {
            "cls": cluster.new_spec["cls"],
            "options": options | {"env": {JOB_END: str(time() - 1)}},
        }
        cluster.sync(cluster._correct_state)
        addresses = {info["name"]: address for address, info in workers(client).items()}
        yield client, addresses["bound"], addresses["free"]


@pytest.mark.slow
@pytest.mark.parametrize("busy", [False, True])
def test_the_block_in_hand_is_finished_and_the_rest_goes_to_others(
    two_workers: tuple[Client, str, str],
    gate: Path,
    eventually: Callable[[Callable[[], object]], None],
    busy: bool,
) -> None:
    client, bound, free = two_workers

    def send_rarely(dask_worker: Worker) -> None:
        """The worker's messages on its tasks now wait for up to 2 s, as they do on a busy node."""
        dask_worker.batched_stream.interval = 2

    if busy:
        client.run(send_rarely, workers=[bound])
    starts = gate.with_name("starts")
    mine, held = (
        client.submit(
            subprocess.run, until(gate, starts), pure=False, workers=[address], allow_other_workers=True
        )
        for address in (bound, free)
    )
    eventually(lambda: starts.exists() and len(starts.read_text().split()) == 2)
    client.register_plugin(WalltimePlugin())
    others = client.map(pow, range(20), [2] * 20, pure=False)
    eventually(lambda: workers(client)[bound]["status"] == "closing_gracefully")
    assert mine.status == "pending", "it is not interrupted"
    gate.touch()
    wait([mine, held, *others], timeout=60)
    assert {future.status for future in (mine, held, *others)} == {"finished"}
    assert starts.read_text().split() == ["start"] * 2, "nothing was begun twice"
    eventually(lambda: bound not in workers(client))
    assert free in workers(client)
