"""Validation of SLURM settings, and which source overrides which."""

from __future__ import annotations

from pathlib import Path

import pytest

from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.schedulers.slurm.slurm_settings import slurm_settings, walltime_s, walltime_text

PROFILES = sorted((Path(__file__).parents[3] / "cluster" / "slurm").glob("*.toml"))


@pytest.fixture(autouse=True)
def dask_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Redirects the user's Dask configuration to an empty folder."""
    import dask.config

    folder = tmp_path / "dask"
    folder.mkdir()
    monkeypatch.setattr(dask.config, "paths", [str(folder)])
    return folder


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "profile.toml"
    path.write_text('partition = "night"\ncores = 4\nmax_jobs = 5\n')
    return path


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30", 1800),
        (30, 1800),
        ("1:30", 90),
        ("2:00:00", 7200),
        ("1-12", 129600),
        ("1-0:30", 88200),
        ("1-00:00:01", 86401),
    ],
)
def test_a_walltime_is_read_as_slurm_reads_it(written: object, seconds: int) -> None:
    assert walltime_s(written) == seconds
    assert walltime_s(walltime_text(seconds)) == seconds


@pytest.mark.parametrize("written", ["2h", "", "1:2:3:4", "-5", "0", "0:00", True])
def test_an_invalid_walltime_is_refused_with_the_notation(written: object) -> None:
    with pytest.raises(InputError, match=r"walltime = .*(HH:MM:SS|at least a minute)"):
        slurm_settings({"walltime": written})


def test_an_option_wins_over_the_profile_and_that_over_jobqueue_yaml(
    profile: Path, dask_folder: Path
) -> None:
    (dask_folder / "jobqueue.yaml").write_text(
        "jobqueue:\n  slurm:\n    queue: day\n    account: lab\n    cores: 2\n    walltime: '00:20:00'\n"
        "    job-extra-directives: ['--exclude=n9']\n"
    )
    settings = slurm_settings({"profile": profile, "cores": 8})
    assert (settings.cores, settings.partition, settings.account) == (8, "night", "lab")
    assert (settings.walltime, settings.max_jobs) == (1200, 5)
    assert settings.directives == ("--exclude=n9",)


def test_workers_is_the_most_jobs_unless_an_option_says_so(profile: Path) -> None:
    assert slurm_settings({"profile": profile}, workers=3).max_jobs == 3
    assert slurm_settings({"profile": profile, "max_jobs": 4}, workers=3).max_jobs == 4


def test_fewer_jobs_at_most_than_a_profile_keeps_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text("min_jobs = 4\nmax_jobs = 9")
    assert slurm_settings({"profile": path, "max_jobs": 2}).min_jobs == 2
    with pytest.raises(InputError, match="min_jobs = 4 is more than max_jobs = 2"):
        slurm_settings({"min_jobs": 4, "max_jobs": 2})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"partitoin": "x"}, r"unknown setting 'partitoin'; allowed are partition, account"),
        ({"partition": "two words"}, "partition = 'two words'"),
        ({"memory": "8"}, r"memory = '8': add the unit"),
        ({"memory": "much"}, "memory = 'much'"),
        ({"cores": 0}, "cores = 0"),
        ({"processes": 2}, r"processes = 2: .*never replaced .*distributed#9102"),
        ({"directives": ["exclusive"]}, r"directives.0 = 'exclusive': a directive must be one option"),
        ({"directives": ["--x\n#SBATCH --y"]}, "a directive must be one option"),
        ({"directives": ["--array=1-4"]}, "nucbatch sets this option for each worker job"),
        ({"max_jobs": 0}, "max_jobs = 0"),
    ],
)
def test_invalid_settings_are_refused_with_the_allowed_values(given: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        slurm_settings(given)


def test_a_mistake_in_a_file_is_reported_with_the_file(tmp_path: Path, dask_folder: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("walltime = '1 hour'")
    with pytest.raises(InputError, match=r"walltime = '1 hour' \(in .*mine.toml\)"):
        slurm_settings({"profile": path})
    path.write_text("walltime = ")
    with pytest.raises(InputError, match=r"mine.toml can't be read as a SLURM profile \(TOML\)"):
        slurm_settings({"profile": path})
    with pytest.raises(InputNotFound, match=r"the SLURM profile .*gone.toml does not exist"):
        slurm_settings({"profile": tmp_path / "gone.toml"})
    (dask_folder / "jobqueue.yaml").write_text("jobqueue: {slurm: {processes: 4}}")
    with pytest.raises(InputError, match=r"processes = 4 \(in jobqueue.yaml\): a job of several"):
        slurm_settings({})


@pytest.mark.parametrize("gres", ["gpu:1", "gpu:a100:1"])
def test_a_job_has_a_gpu_if_gres_asks_for_one_or_it_is_said(gres: str) -> None:
    assert slurm_settings({"gres": gres}).with_gpu
    assert not slurm_settings({"gres": "disk:1"}).with_gpu
    assert slurm_settings({"gpu": True}).with_gpu


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_the_profiles_that_ship_can_be_used_and_say_what_they_are(path: Path) -> None:
    settings = slurm_settings({"profile": path})
    assert settings.partition
    assert settings.max_jobs > settings.min_jobs
    assert settings.with_gpu == (path.stem == "gpu")
    assert path.read_text(encoding="utf-8").startswith("#")


def test_there_are_three_profiles() -> None:
    assert [path.stem for path in PROFILES] == ["cpu", "gpu", "preemptible"]
