"""The user's terminal, environment and folder do not break a run; on a real SLURM of two nodes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from nucbatch.schedulers.contract import Resources, scheduler
from nucbatch.store.ledger import latest_receipts
from nucbatch.store.run_folder import RunFolder
from nucbatch.synthetic import make_plate

pytestmark = pytest.mark.slurm

SMALL = Resources(process_bytes=200 * 2**20, block_bytes=50 * 2**20)

AS_FROM_A_TERMINAL = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # CI may have started us with it ignored
from nucbatch.cli.main import main
main()
"""


def test_ctrl_c_commits_what_is_under_way_and_ends_with_130(slurm, jobs, eventually, tmp_path) -> None:
    plate, out = tmp_path / "plate", RunFolder(tmp_path / "out")
    make_plate(plate, wells=("B02", "B03", "C02"), sites=8, size_px=512, empty_well="C02", truncated=False)
    options = ["--channel", "DAPI", "--scheduler", "slurm", "--partition", "cpu", "--max-jobs", "1"]
    command = [
        sys.executable,
        "-P",
        "-c",
        AS_FROM_A_TERMINAL,
        "run",
        str(plate),
        "-o",
        str(out.path),
        *options,
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as run:
        eventually(lambda: out.ledger.exists() and latest_receipts(out))
        run.send_signal(signal.SIGINT)
        _, said = run.communicate()
    assert run.returncode == 128 + signal.SIGINT, said
    assert "run the same command again to continue" in said
    done = latest_receipts(out)
    assert 0 < len(done) < 24
    assert not jobs() or all(state == "COMPLETING" for state in jobs().values())


def test_options_win_over_variables_that_sbatch_reads(session, jobs, monkeypatch) -> None:
    for name, value in {
        "SBATCH_PARTITION": "closed",
        "SBATCH_TIMELIMIT": "99-00:00:00",
        "SBATCH_ARRAY_INX": "1-3",
        "SBATCH_MEM_PER_NODE": "900G",
        "SBATCH_WAIT": "1",
        "SBATCH_REQUEUE": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with session(partition="cpu", walltime="0:10:00", memory="1GB"):
        (job,) = jobs()
        shown = subprocess.run(
            ["scontrol", "show", "job", job], capture_output=True, text=True, check=True
        ).stdout
    for said in ("Partition=cpu", "TimeLimit=00:10:00", "MinMemoryNode=953M", "Requeue=0"):
        assert said in shown, shown


def test_memory_requested_in_two_ways_is_refused_with_slurms_words_and_a_mend(slurm, place) -> None:
    both = place(directives=["--mem=900M", "--mem-per-gpu=1G"])
    shown = scheduler("slurm").preview(SMALL, both)
    assert "It can't be submitted: SLURM refuses" in shown
    assert "Give memory in one way" in shown
    assert "It can't be submitted" not in scheduler("slurm").preview(
        SMALL, place(job_directives_skip=["--mem"])
    )


def test_a_worker_job_imports_nothing_from_the_folder_of_the_command(
    slurm, place, tmp_path, monkeypatch
) -> None:
    traps = tmp_path / "traps"
    traps.mkdir()
    for name in ("multiprocessing", "distributed", "zarr", "numpy", "nucbatch", "click"):
        (traps / f"{name}.py").write_text(
            f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r} + ' ')\n"
        )
    monkeypatch.chdir(traps)
    monkeypatch.setenv("PYTHONPATH", f":{tmp_path}")

    def path() -> tuple[str, list[str]]:
        import sys

        import nucbatch.execution.preloaded  # noqa: F401

        return os.environ["PYTHONPATH"], sys.path

    with scheduler("slurm").connect(SMALL, place()) as cluster:
        pythonpath, found = cluster.client.submit(path, pure=False).result()
    assert not (tmp_path / "imported").exists(), (tmp_path / "imported").read_text()
    assert pythonpath == str(tmp_path)
    assert str(tmp_path) in found
    assert "" not in found
    assert str(traps) not in found


def test_driver_and_nodes_may_name_their_network_differently(slurm, place) -> None:
    with scheduler("slurm").connect(SMALL, place(interface="lo", driver_interface="lo")) as cluster:
        assert cluster.client.scheduler_info()["address"].startswith("tls://127.0.0.1:")
