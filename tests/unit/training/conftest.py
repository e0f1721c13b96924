"""A data set small enough to train on in a test, and a training on it."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from tiny_training import ODD, TINY

from nucbatch.networks.checkpoint import load_weights, save_weights
from nucbatch.synthetic import make_field
from nucbatch.training.data import DataSet, find_data
from nucbatch.training.loop import train


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six synthetic fields of 96 px with labels, the last one for validation."""
    folder = tmp_path_factory.mktemp("data")
    for part in ("images", "labels"):
        (folder / part).mkdir()
    rows = ["id,split,modality"]
    for number in range(6):
        images, labels = make_field(96, np.random.default_rng(number), nuclei=6)
        imagecodecs.imwrite(str(folder / "images" / f"f{number}.png"), images[0])
        imagecodecs.imwrite(str(folder / "labels" / f"f{number}.png"), labels.astype(np.uint16))
        rows.append(f"f{number},{'val' if number == 5 else 'train'},fluorescence")
    (folder / "split.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def data(small_data: Path) -> DataSet:
    return find_data(small_data)


@pytest.fixture(scope="session")
def straight(data: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    train(data, folder, TINY)
    return folder


@pytest.fixture
def odd_start(straight: Path, tmp_path: Path) -> Path:
    """Weights to begin with whose card carries odd thresholds."""
    network, card = load_weights(straight / "weights.safetensors")
    start = tmp_path / "start.safetensors"
    save_weights(start, network, card.model_copy(update={"objects": ODD}))
    return start
