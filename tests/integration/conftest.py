"""What several tests of whole runs draw."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nucbatch.synthetic.field import make_field

CHANNELS = ("DAPI", "GFP", "RFP")


@pytest.fixture(scope="session")
def write_field() -> Callable[[Path, str, int, int], None]:
    """Writes a field of a few nuclei, one file a channel: (folder, stem, seed, side in px)."""

    def write(folder: Path, stem: str, seed: int, side: int) -> None:
        images, _ = make_field(side, np.random.default_rng(seed), nuclei=5, channels=len(CHANNELS))
        for name, pixels in zip(CHANNELS, images, strict=True):
            tifffile.imwrite(folder / f"{stem}_{name}.tif", pixels)

    return write
