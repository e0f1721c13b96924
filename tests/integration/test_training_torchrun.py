"""Several processes on one training, started the way torchrun starts them; on CPUs they talk by gloo."""

import json
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from nucbatch.networks.checkpoint import load_weights
from nucbatch.synthetic import make_field
from nucbatch.training.history import read_history

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


def torchrun(*arguments: str) -> str:
    """What two processes print, once both have ended well."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*launcher, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_gradients_are_those_of_one_process_and_disagreement_is_seen(tmp_path: Path) -> None:
    torchrun(str(Path(__file__).with_name("two_processes.py")), str(tmp_path))
    for rank in range(2):
        assert json.loads((tmp_path / f"rank{rank}.json").read_text()) == {
            "gradient": True,
            "mean": 0.5,
            "highest": 1.0,
            "disagreement": f"rank {rank} holds other weights than the other processes",
            "rank": rank,
        }


def test_two_processes_learn_what_one_learns(data: Path, tmp_path: Path) -> None:
    def arguments(out: str) -> list[str]:
        options = ["--preset", "paper", "--width", "1", "--epochs", "3"]
        return ["-m", "nucbatch", "train", str(data), "-o", str(tmp_path / out), *options]

    printed = torchrun(*arguments("two"))
    assert printed.count("epoch 1:") == 1  # one process prints and writes
    assert json.loads((tmp_path / "two" / "train.json").read_text())["processes"] == 2

    subprocess.run([sys.executable, *arguments("one")], check=True, capture_output=True)
    one, two = (read_history(tmp_path / name / "history.csv", 99) for name in ("one", "two"))
    assert [record["step"] for record in one] == [record["step"] for record in two] == [0, 1, 2, 3]
    for single, shared in zip(one[1:], two[1:], strict=True):  # the line before the first step has no loss
        # not equal: on CPUs each process normalises by its own half of the batch
        assert shared["loss"] == pytest.approx(single["loss"], rel=0.05)
    networks = [load_weights(tmp_path / name / "weights.safetensors")[0] for name in ("one", "two")]
    for first, second in zip(*(network.parameters() for network in networks), strict=True):
        np.testing.assert_allclose(
            first.detach(), second.detach(), atol=7e-3
        )  # three steps of 1e-3, both ways
