"""The job script as text, and requests refused before one is written. Needs no SLURM."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nucbatch.core.errors import InputError, MemoryRefused, SchedulerError
from nucbatch.schedulers.contract import Place, Resources, scheduler
from nucbatch.schedulers.slurm.commands import submission
from nucbatch.schedulers.slurm.script import OVERHEAD_BYTES, worker_spec

GIB = 2**30
NEEDED = Resources(process_bytes=GIB // 2, block_bytes=GIB // 4)


def script(folder: Path, **settings: object) -> str:
    """Returns the preview of a job script with these settings."""
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
        driver_interface="lo",
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
        "export PYTHONSAFEPATH=1",
        "NUCBATCH_SCRATCH=$(mkdir -p '/scratch/my dir'/ && mktemp -d '/scratch/my dir'/nucbatch-XXXXXXXX) "
        "|| exit 1",
        "export MALLOC_ARENA_MAX=1",
        "export DASK_DISTRIBUTED__WORKER__MEMORY__SPILL=False",
        "export NUCBATCH_JOB_END=$(( $(date +%s) + 5400 ))",
    ):
        assert line in text.splitlines(), text
    (worker,) = re.findall(
        r"^apptainer exec x.sif python -P -m distributed.cli.dask_worker .*$", text, re.MULTILINE
    )
    assert f"--memory-limit {4 * GIB - OVERHEAD_BYTES}B" in worker
    assert "--nthreads 2 " in worker
    assert "--interface ib0" in worker
    assert "--protocol tls --dashboard-address 127.0.0.1:0" in worker
    assert '--local-directory "$NUCBATCH_SCRATCH"' in worker
    assert f"--tls-key {tmp_path}/keys/session.key" in worker
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
    (worker,) = re.findall(r"^\S+ -P -m distributed.cli.dask_worker .*$", text, re.MULTILINE)
    assert "--nworkers 8 " in worker
    assert "--resources GPU=1 " in worker
    assert "--nthreads 2 " in worker
    assert f"--memory-limit {(32 * GIB - OVERHEAD_BYTES) // 8}B" in worker
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
    assert spec.worker_bytes * processes <= spec.memory_bytes - OVERHEAD_BYTES
    assert spec.job_of("run-3" if processes == 1 else "run-3-7") == "run-3"


def test_a_folders_name_is_never_executed_by_the_script(tmp_path: Path) -> None:
    folder = tmp_path / "a $(touch b) 100%"
    text = script(folder)
    assert f"'{folder}/keys/session.key'" in text
    assert f'#SBATCH --output="{tmp_path}/a $(touch b) 100%%/logs/jobs/%j.log"' in text
    with pytest.raises(InputError, match="has a quote, backslash or line break"):
        script(tmp_path / 'a"b')


def test_memory_that_is_not_given_is_what_two_blocks_need(tmp_path: Path) -> None:
    spec = worker_spec(NEEDED, Place(tmp_path))
    assert spec.threads == 2
    assert spec.worker_bytes >= NEEDED.process_bytes + 2 * NEEDED.block_bytes


def test_a_block_that_fits_in_no_job_is_refused_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(MemoryRefused, match=r"needs 1.00 GiB, but a job has 0.98 GiB: .*--memory"):
        script(tmp_path, memory="1000MiB")
    assert worker_spec(NEEDED, Place(tmp_path, settings={"memory": "1GiB"})).threads == 1


def test_more_cores_than_a_worker_can_use_are_reported(tmp_path: Path) -> None:
    assert "A job's workers use 2 cores at most, fewer than the 16 requested." in script(tmp_path, cores=16)


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
    """dask-jobqueue would write a file there on its first import in a process."""
    subprocess.run(
        [sys.executable, "-c", "import nucbatch.schedulers.slurm.jobs"],
        env={"DASK_CONFIG": str(tmp_path / "dask"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        check=True,
    )
    assert not list(tmp_path.rglob("jobqueue.yaml"))


@pytest.mark.parametrize(
    ("pythonpath", "cleaned"),
    [(None, ""), ("", ""), (":", ""), (":/a", "/a"), ("/a::/b c:", "/a:/b c"), ("/a:/b", "/a:/b")],
)
def test_a_job_leaves_the_current_folder_out_of_pythonpath(
    tmp_path: Path, pythonpath: str | None, cleaned: str
) -> None:
    (line,) = (line for line in script(tmp_path).splitlines() if "PYTHONPATH=" in line)
    environment = {"PATH": os.environ["PATH"]} | ({} if pythonpath is None else {"PYTHONPATH": pythonpath})
    said = subprocess.run(
        ["bash", "-uc", f'{line}\nprintf %s "$PYTHONPATH"'], env=environment, capture_output=True, check=True
    )
    assert said.stdout.decode() == cleaned


def test_a_jobs_scratch_is_the_users_alone_and_goes_with_the_job(tmp_path: Path) -> None:
    for given in (None, str(tmp_path / "made here")):
        text = script(tmp_path / "run", local_directory=given).splitlines()
        lines = [line for line in text if line.startswith(("NUCBATCH_SCRATCH=", "trap "))]
        asked = "\n".join([*lines, 'stat -c "%a %n" "$NUCBATCH_SCRATCH"'])
        environment = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)}
        said = subprocess.run(
            ["sh", "-c", asked], env=environment, capture_output=True, text=True, check=True
        )
        mode, _, folder = said.stdout.strip().partition(" ")
        assert mode == "700"
        assert folder.startswith(given or f"{tmp_path}/nucbatch-")
        assert not Path(folder).exists()


def test_memory_is_asked_for_in_one_way_or_not_at_all(tmp_path: Path) -> None:
    assert "#SBATCH --mem=" in script(tmp_path)
    for settings in (
        {"job_directives_skip": ["--mem"]},
        {"directives": ["--mem-per-gpu=40G"]},
        {"directives": ["--mem-per-cpu 4G"]},
    ):
        text = script(tmp_path, memory="8GB", **settings)
        assert "--mem=" not in text
        assert "--memory-limit" in text, "the worker has its limit all the same"


def test_the_command_line_has_the_scripts_options_where_they_win_over_variables(tmp_path: Path) -> None:
    text = script(
        tmp_path / "a $(b) %", partition="night", walltime="1:30:00", directives=["--exclude 'n 9'"]
    )
    command = submission(text)
    assert command[: command.index("sbatch") + 1] == [
        *("env", "-u", "SBATCH_ARRAY_INX", "-u", "SBATCH_WAIT", "sbatch")
    ]
    for words in (["-p", "night"], ["-t", "0-01:30:00"], ["--exclude", "n 9"], ["--no-requeue"]):
        at = command.index(words[0])
        assert command[at : at + len(words)] == words
    assert f"--output={tmp_path}/a $(b) %%/logs/jobs/%j.log" in command


def test_a_network_that_is_not_there_is_a_sentence_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"'ib0' does not exist on this machine, which has .*lo \(127.0.0.1\)"
    ):
        script(tmp_path, interface="ib0")
    with pytest.raises(InputError, match=r"'ib1' does not exist .*--driver-interface"):
        script(tmp_path, interface="lo", driver_interface="ib1")


def test_importing_dask_jobqueue_installs_no_handler_for_ctrl_c_and_works_in_any_thread() -> None:
    asked = (
        "import signal, threading\n"
        "before = signal.getsignal(signal.SIGINT)\n"
        "thread = threading.Thread(target=lambda: print(__import__('nucbatch.schedulers.slurm.jobs')))\n"
        "thread.start(); thread.join()\n"
        "assert signal.getsignal(signal.SIGINT) is before\n"
        "signal.signal(signal.SIGUSR1, signal.SIG_IGN)\n"
        "assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "<module 'nucbatch'" in done.stdout


def test_a_job_script_holds_no_credentials_of_object_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AZURE_STORAGE_ACCOUNT_KEY",
    ):
        monkeypatch.setenv(name, "not-for-scripts")
    assert "not-for-scripts" not in script(tmp_path)
