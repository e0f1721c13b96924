import os
import signal
from pathlib import Path

import pytest

from nucbatch.core.errors import InputError
from nucbatch.schedulers.contract import Place, Resources, scheduler
from nucbatch.schedulers.local import Local, fitting_workers
from nucbatch.schedulers.workers import fitting_threads


@pytest.mark.parametrize(
    ("cores", "memory", "block", "workers"), [(8, 100, 10, 8), (8, 40, 10, 4), (8, 5, 10, 1), (1, 100, 1, 1)]
)
def test_workers_fit_cores_and_memory(cores: int, memory: int, block: int, workers: int) -> None:
    assert fitting_workers(cores, memory, block) == workers


@pytest.mark.parametrize(("memory", "threads"), [(1000, 2), (130, 2), (129, 1), (20, 1)])
def test_a_worker_takes_two_blocks_at_once_only_if_both_fit(memory: int, threads: int) -> None:
    assert fitting_threads(memory, Resources(process_bytes=30, block_bytes=50)) == threads


def test_no_worker_is_no_cluster() -> None:
    with pytest.raises(InputError, match="at least 1 worker, not"):
        Resources(workers=0)


def test_an_unknown_scheduler_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"unknown scheduler 'pbs': use .*local"):
        scheduler("pbs")


@pytest.mark.slow
def test_ctrl_c_reaches_no_worker_nor_one_that_is_just_being_started(tmp_path: Path) -> None:
    with Local().connect(Resources(workers=1), Place(tmp_path)) as cluster:
        (before,) = cluster.client.run(os.getpid).values()
        os.kill(before, signal.SIGINT)
        assert cluster.client.submit(os.getpid, pure=False).result() == before
        os.kill(before, signal.SIGKILL)
        cluster.client.submit(os.getpid, pure=False).result()  # by the one that was started instead
        held_back = cluster.client.run(signal.pthread_sigmask, signal.SIG_BLOCK, set())
        assert [signal.SIGINT in signals for signals in held_back.values()] == [True]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())
