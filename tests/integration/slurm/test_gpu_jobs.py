"""Jobs with a GPU that exists only in SLURM's configuration; processes, jobs and nodes are real."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from distributed import KilledWorker

from nucbatch.schedulers.contract import Resources, scheduler

pytestmark = pytest.mark.slurm


def test_a_gpu_job_gets_one_gpu_of_its_node(slurm, place, eventually, jobs, tmp_path) -> None:
    """The script as it is, but for a prologue that notes what there is and ends before the worker starts."""
    seen = tmp_path / "seen"
    here = place(
        partition="gpu",
        gres="gpu:1",
        prologue=[f"echo $SLURMD_NODENAME:$CUDA_VISIBLE_DEVICES >> '{seen}'; exit"],
    )
    preview = scheduler("slurm").preview(Resources(), here)
    assert "SLURM says: a job to start" in preview
    script = preview[preview.index("#!") : preview.index("\nSLURM says")]
    (here.folder / "logs" / "jobs").mkdir(parents=True)
    for _ in range(2):
        subprocess.run(["sbatch", "--wait"], input=script, text=True, check=True, capture_output=True)
    assert all(line.partition(":")[2] in ("0", "1") for line in seen.read_text().split())
    assert len(seen.read_text().split()) == 2


def test_processes_that_share_a_gpu_come_and_go_as_one_job(session, gated, jobs) -> None:
    with session(partition="gpu", gres="gpu:1", cores=3, memory="2GB", max_jobs=2) as here:
        here.look_until(lambda: len(here.workers()) == 3)
        assert len(jobs()) == 1
        seen = here.client.run(os.getenv, "CUDA_VISIBLE_DEVICES")
        assert len(set(seen.values())) == 1
        assert set(seen.values()) <= {"0", "1"}

        def pids() -> set[int]:
            return set(here.client.run(os.getpid, on_error="ignore").values())

        pid = next(iter(pids()))
        os.kill(pid, signal.SIGKILL)
        here.look_until(lambda: pid not in pids() and len(here.workers()) == 3)
        assert here.messages == [], "a process that is started again is no lost job"

        futures = gated.submit(here.client, 8)  # a job has six at once
        here.look_until(lambda: len(here.workers()) == 6)
        here.look_until(lambda: len(gated.starts()) >= 8)
        assert len({job for job, _ in gated.starts()}) == 2
        victim = gated.starts()[0][0]
        subprocess.run(["scancel", victim], check=True)
        here.look_until(lambda: here.was_reported(f"Job {victim} on"))
        here.look_until(lambda: len(here.workers()) == 6)
        gated.open()
        here.look_until(lambda: all(future.done() for future in futures))
        # One that went to another process of the same job was lost twice: the driver tries it alone.
        lost = [future for future in futures if future.status != "finished"]
        assert all(isinstance(future.exception(), KilledWorker) for future in lost)
        assert len(lost) <= 6
        here.look_until(lambda: len(here.workers()) == 3)
        here.eventually(lambda: len(jobs()) == 1)
