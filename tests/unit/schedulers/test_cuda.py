"""The CUDA backend, and its error messages on a machine without a GPU."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from nucbatch.core.errors import InputError, SchedulerError
from nucbatch.schedulers.connected import connected_workers
from nucbatch.schedulers.contract import Place, Resources, scheduler
from nucbatch.schedulers.cuda import gpus, visible

NEEDED = Resources(process_bytes=2**30, block_bytes=2**30)


def test_a_setting_is_refused_before_a_gpu_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--scheduler cuda has no setting 'partition'"):
        scheduler("cuda").preview(NEEDED, Place(tmp_path, settings={"partition": "x"}))


def test_without_dask_cuda_it_is_reported_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dask_cuda", None)
    monkeypatch.setitem(sys.modules, "dask_cuda.utils", None)
    with pytest.raises(SchedulerError, match=r"pip install 'nucbatch\[cuda\]', or use --scheduler local"):
        scheduler("cuda").preview(NEEDED, Place(tmp_path))


def test_without_a_gpu_nvidias_error_is_a_sentence(tmp_path: Path) -> None:
    pytest.importorskip("dask_cuda", reason="the extra [cuda] is not installed")
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is a GPU here")
    with (
        pytest.raises(SchedulerError, match=r"no GPU can be used .*NVML.* or use --scheduler local\."),
        scheduler("cuda").connect(NEEDED, Place(tmp_path)),
    ):
        pass


@pytest.mark.parametrize(
    ("variable", "names"),
    [
        (None, ["0", "1"]),
        ("1", ["1"]),
        ("0, 1,2", ["0", "1"]),
        ("MIG-a,MIG-b,MIG-c", ["MIG-a", "MIG-b", "MIG-c"]),
        ("GPU-x", ["GPU-x"]),
        ("", []),
        ("-1", []),
    ],
)
def test_the_gpus_that_the_environment_shows_and_that_there_are(
    variable: str | None, names: list[str]
) -> None:
    assert visible(variable, count=2) == names


@pytest.mark.gpu
def test_processes_share_the_gpus_evenly_and_each_sees_one(tmp_path: Path) -> None:
    pytest.importorskip("dask_cuda", reason="the extra [cuda] is not installed")
    there = gpus()
    asked = replace(NEEDED, workers=2 * len(there) + 1)
    with scheduler("cuda").connect(asked, Place(tmp_path)) as cluster:
        workers = connected_workers(cluster.client)
        assert len(workers) == cluster.workers == 2 * len(there) + 1
        assert all(worker["resources"] == {"GPU": 1} for worker in workers.values())
        seen = cluster.client.run(os.getenv, "CUDA_VISIBLE_DEVICES")
        assert sorted(Counter(seen.values())) == sorted(there)
        assert sorted(Counter(seen.values()).values()) == [2] * (len(there) - 1) + [3]
    with pytest.raises(InputError, match=r"999 workers don't fit: each needs 1\.0 GiB of GPU memory"):
        scheduler("cuda").preview(replace(NEEDED, workers=999), Place(tmp_path))
    assert "which share" in scheduler("cuda").preview(NEEDED, Place(tmp_path))
