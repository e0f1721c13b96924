"""A data set small enough to train on in a test."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from nucbatch.synthetic import make_field


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
