"""The job script as text, and what is refused before there is one. No SLURM is needed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nucbatch.errors import InputError, MemoryRefused, SchedulerError
from nucbatch.schedulers.contract import Place, Resources, scheduler
from nucbatch.schedulers.slurm.script import BESIDE_BYTES, worker_spec

GIB = 2**30
NEEDED = Resources(process_bytes=GIB // 2, block_bytes=GIB // 4)


def script(folder: Path, **settings: object) -> str:
    """The preview's script."""
    place = Place(folder, "Plate 7 (é)\n$(x)", settings=settings)
    return scheduler("slurm").preview(NEEDED, place)


def test_a_cpu_jobs_script(tmp_path: Path) -> None:
    text = script(
        tmp_path,
        partition="night",
        account="lab",
        qos="low",
        constraint="avx512",
        walltime="1:30:00",
        memory="4GiB",
        cores=2,
        interface="ib0",
        local_directory="/scratch/my dir",
        python="apptainer exec x.sif python",
        prologue=["module load a", "source b"],
        directives=["--exclude=n9"],
    )
    for line in (
        "#SBATCH -J nucbatch-Plate-7-x-",
        "#SBATCH -p night",
        "#SBATCH -A lab",
        "#SBATCH --qos=low",
        "#SBATCH --constraint=avx512",
        "#SBATCH --exclude=n9",
        "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=2",
        "#SBATCH --mem=4096M",
        "#SBATCH -t 0-01:30:00",
        "#SBATCH --no-requeue",
        f'#SBATCH --output="{tmp_path}/logs/jobs/%j.log"',
        "module load a",
        "source b",
        "export OMP_NUM_THREADS=1",
        "export MALLOC_ARENA_MAX=1",
        "export DASK_DISTRIBUTED__WORKER__MEMORY__SPILL=False",
        "export NUCBATCH_JOB_END=$(( $(date +%s) + 5400 ))",
    ):
        assert line in text.splitlines(), text
    (worker,) = re.findall(
        r"^apptainer exec x.sif python -m distributed.cli.dask_worker .*$", text, re.MULTILINE
    )
    assert f"--memory-limit {4 * GIB - BESIDE_BYTES}B" in worker
    assert "--nthreads 2 " in worker
    assert "--interface ib0" in worker
    assert "--protocol tls --dashboard-address 127.0.0.1:0" in worker
    assert "--local-directory '/scratch/my dir'" in worker
    assert f"--tls-key {tmp_path}/keys/sitting.key" in worker
    assert "--lifetime" not in worker
    assert "GPU" not in worker
    assert not list(tmp_path.iterdir()), "a preview leaves nothing"


def test_the_users_lines_come_before_what_workers_must_have(tmp_path: Path) -> None:
    lines = script(tmp_path, prologue=["export OMP_NUM_THREADS=64"]).splitlines()
    assert lines.index("export OMP_NUM_THREADS=64") < lines.index("export OMP_NUM_THREADS=1")


def test_a_gpu_jobs_script_has_one_gpu_and_a_process_for_each_core(tmp_path: Path) -> None:
    text = script(tmp_path, partition="gpu", gres="gpu:a100:1", cores=8, memory="32GiB")
    for line in ("#SBATCH --gres=gpu:a100:1", "#SBATCH -n 1", "#SBATCH --cpus-per-task=8"):
        assert line in text.splitlines()
    (worker,) = re.findall(r"^\S+ -m distributed.cli.dask_worker .*$", text, re.MULTILINE)
    assert "--nworkers 8 " in worker
    assert "--resources GPU=1 " in worker
    assert "--nthreads 2 " in worker
    assert f"--memory-limit {(32 * GIB - BESIDE_BYTES) // 8}B" in worker
    assert "8 worker processes each: 8 cores, 32.0 GiB, one GPU, 16 blocks at once" in text


@pytest.mark.parametrize(
    ("settings", "processes"),
    [
        ({"cores": 32}, 13),  # 16 GB of a GPU, nine tenths of which hold 13 times 1 GiB
        ({"cores": 32, "gpu_memory": "80GB"}, 32),
        ({"cores": 32, "gpu_memory": "1GB"}, 1),
        ({"cores": 8, "memory": "3GiB"}, 3),  # each with one block
        ({}, 1),
    ],
)
def test_as_many_processes_share_a_gpu_as_there_are_cores_and_memory_for(
    tmp_path: Path, settings: dict[str, object], processes: int
) -> None:
    spec = worker_spec(NEEDED, Place(tmp_path, settings={"gpu": True} | settings))
    assert spec.processes == processes
    assert spec.worker_bytes >= NEEDED.process_bytes + NEEDED.block_bytes
    assert spec.worker_bytes * processes <= spec.memory_bytes - BESIDE_BYTES
    assert spec.job_of("run-3" if processes == 1 else "run-3-7") == "run-3"


def test_what_a_folder_is_called_does_not_become_part_of_the_script(tmp_path: Path) -> None:
    folder = tmp_path / "a $(touch b) 100%"
    text = script(folder)
    assert f"'{folder}/keys/sitting.key'" in text
    assert f'#SBATCH --output="{tmp_path}/a $(touch b) 100%%/logs/jobs/%j.log"' in text
    with pytest.raises(InputError, match="has a quote, backslash or line break"):
        script(tmp_path / 'a"b')


def test_memory_that_is_not_given_is_what_two_blocks_need(tmp_path: Path) -> None:
    spec = worker_spec(NEEDED, Place(tmp_path))
    assert spec.threads == 2
    assert spec.worker_bytes >= NEEDED.process_bytes + 2 * NEEDED.block_bytes


def test_a_block_that_fits_in_no_job_is_refused_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(MemoryRefused, match=r"needs 1.00 GiB in one job, which has 0.98 GiB: .*--memory"):
        script(tmp_path, memory="1000MiB")
    assert worker_spec(NEEDED, Place(tmp_path, settings={"memory": "1GiB"})).threads == 1


def test_more_cores_than_a_worker_can_use_are_told(tmp_path: Path) -> None:
    assert "A job's workers keep 2 cores busy: 16 are more than they can use." in script(tmp_path, cores=16)


def test_without_slurm_the_script_is_shown_and_nothing_can_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    text = script(tmp_path / "run")
    assert (
        "It can't be submitted: SLURM's sbatch and squeue and scancel can't be found on this machine" in text
    )
    with (
        pytest.raises(SchedulerError, match="on a login node of the cluster"),
        scheduler("slurm").connect(NEEDED, Place(tmp_path / "run")),
    ):
        pass
    assert not (tmp_path / "run").exists()


def test_the_users_dask_configuration_is_left_alone(tmp_path: Path) -> None:
    """dask-jobqueue's first import in a process writes a file there."""
    subprocess.run(
        [sys.executable, "-c", "import nucbatch.schedulers.slurm.jobs"],
        env={"DASK_CONFIG": str(tmp_path / "dask"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        check=True,
    )
    assert not list(tmp_path.rglob("jobqueue.yaml"))
