"""A preempted job: the real command, a real signal, and the same command again."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from nucbatch.synthetic import make_field

pytestmark = pytest.mark.slow


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number in range(4):
        images, labels = make_field(80, np.random.default_rng(number), nuclei=4)
        imagecodecs.imwrite(str(folder / "images" / f"f{number}.png"), images[0])
        imagecodecs.imwrite(str(folder / "labels" / f"f{number}.png"), labels.astype(np.uint16))
    return folder


def test_a_job_that_gets_sigterm_leaves_with_143_and_resumes_to_the_same_bytes(
    data: Path, tmp_path: Path
) -> None:
    def command(out: str, *more: str) -> list[str]:
        options = ["--preset", "paper", "--width", "1", "--epochs", "8"]
        return [
            sys.executable,
            "-m",
            "nucbatch",
            "train",
            str(data),
            "-o",
            str(tmp_path / out),
            *options,
            *more,
        ]

    subprocess.run(command("straight"), check=True, capture_output=True)
    with subprocess.Popen(command("halting"), stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        for line in job.stdout:
            if line.startswith("epoch 1"):
                job.send_signal(signal.SIGTERM)
                break
        rest = job.stdout.read()
    assert job.returncode == 143
    assert re.search(r"Stopped by SIGTERM after \d+ steps", rest)
    assert "--resume" in rest
    assert not (tmp_path / "halting" / "weights.safetensors").exists()
    resumed = subprocess.run(command("halting", "--resume"), check=True, capture_output=True, text=True)
    assert "of 8 steps are done already" in resumed.stdout
    for name in ("weights.safetensors", "best.safetensors", "history.csv"):
        assert (tmp_path / "halting" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
