"""What options reach which scheduler; the SLURM ones as far as that goes without a SLURM."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result

from nucbatch.cli.cluster_options import cluster_options
from nucbatch.cli.main import nucbatch
from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.schedulers.contract import Scheduling
from nucbatch.schedulers.slurm.slurm_settings import SlurmSettings


@click.command()
@cluster_options
def shown(**values: object) -> None:
    click.echo(repr(sorted(values.items())))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", np.eye(40, dtype=np.uint8))
    return folder


def dry_run(pictures: Path, *options: str) -> Result:
    arguments = ["run", str(pictures), "-o", str(pictures.parent / "out"), "--dry-run", *options]
    return CliRunner().invoke(nucbatch, arguments)


def test_only_given_options_are_settings() -> None:
    assert CliRunner().invoke(shown, []).output == f"{[('block_px', None), ('scheduling', Scheduling())]!r}\n"
    given = ["--scheduler", "slurm", "--prologue", "a", "--prologue", "b c", "--min-jobs", "2"]
    wanted = Scheduling("slurm", {"prologue": ("a", "b c"), "min_jobs": 2}, insecure=True, workers=3)
    assert CliRunner().invoke(shown, [*given, "--insecure", "--workers", "3"]).output == (
        f"{[('block_px', None), ('scheduling', wanted)]!r}\n"
    )


def test_every_slurm_option_is_a_setting_that_slurm_knows() -> None:
    options = {parameter.name for parameter in shown.params} - {
        "scheduler_name",
        "workers",
        "block_px",
        "insecure",
        "profile",
    }
    ours = {name for name in options if name and not name.startswith("tls_")}
    assert ours <= set(SlurmSettings.model_fields)
    assert {"partition", "account", "qos", "gres", "constraint", "walltime", "memory", "cores"} <= ours


def test_a_dry_run_shows_the_script_with_what_was_given(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(pictures))  # where no SLURM is
    given = [
        "--gres",
        "gpu:1",
        "--directive",
        "--exclude=n1",
        "--scratch",
        "/scratch",
        "--walltime",
        "2:00:00",
    ]
    ended = dry_run(pictures, "--scheduler", "slurm", *given)
    assert ended.exit_code == 0, ended.output
    for line in (
        "#SBATCH --gres=gpu:1",
        "#SBATCH --exclude=n1",
        "#SBATCH -t 0-02:00:00",
        "#SBATCH --no-requeue",
    ):
        assert line in ended.output.splitlines()
    assert "mktemp -d /scratch/nucbatch-XXXXXXXX" in ended.output
    assert "It can't be submitted" in ended.output
    assert "worker processes on this machine" in dry_run(pictures).output


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (["--partition", "x"], InputError, "--scheduler local has no setting 'partition'"),
        (["--scheduler", "tcp://10.0.0.1:8786"], InputError, "--insecure"),
        (["--scheduler", "tls://10.0.0.1:8786"], InputError, "--tls-ca"),
        (["--scheduler", "gone.json"], InputNotFound, "the scheduler file gone.json does not exist"),
        (["--scheduler", "slurm", "--walltime", "soon"], InputError, "walltime = 'soon'"),
        (
            ["--scheduler", "slurm", "--profile", "gone.toml"],
            InputNotFound,
            "the SLURM profile gone.toml does not exist",
        ),
        (["--scheduler", "pbs"], InputError, "unknown scheduler 'pbs': use cuda or local or"),
    ],
)
def test_invalid_settings_are_refused_by_their_scheduler(
    pictures: Path, options: list[str], error: type[Exception], said: str
) -> None:
    ended = dry_run(pictures, *options)
    assert isinstance(ended.exception, error)
    assert said in str(ended.exception)
