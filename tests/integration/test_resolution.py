"""A pyramid through the command line: a lower level is segmented, and everything is in its pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner, Result

from nucbatch.cli.main import nucbatch
from nucbatch.core.errors import SettingsConflict
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stored_images import read_labels
from nucbatch.synthetic.field import draw_field

pytestmark = pytest.mark.slow

SIDE_PX = 600
"""Of the lower level; the full resolution has twice as many."""


def run(source: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(nucbatch, ["run", str(source), "-o", str(out), "--workers", "1", *options])


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """The lower level and its truth."""
    images, labels = draw_field(SIDE_PX, SIDE_PX, np.random.default_rng(5), nuclei=60, channels=1)
    return images[0], labels


@pytest.fixture(scope="module")
def pyramid(drawn: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "slide.ome.tif"
    tiles = {"tile": (256, 256), "compression": "zstd"}
    with tifffile.TiffWriter(path, ome=True) as writer:
        full = drawn[0].repeat(2, axis=0).repeat(2, axis=1)
        writer.write(full, subifds=1, metadata={"axes": "YX", "PhysicalSizeX": 0.25}, **tiles)
        writer.write(drawn[0], subfiletype=1, metadata=None, **tiles)
    return path


@pytest.fixture(scope="module")
def finished(pyramid: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("run") / "out")
    result = run(pyramid, folder.path, "--resolution", "0.5", "--labels", "both")
    assert result.exit_code == 0, result.output
    return folder


def scale(folder: RunFolder, group: str) -> list[float]:
    """Of the image's first level in the run's own OME-Zarr: (C, Y, X)."""
    attributes = json.loads((folder.images_zarr / group / "zarr.json").read_text())["attributes"]["ome"]
    (first, *_) = attributes["multiscales"][0]["datasets"]
    return first["coordinateTransformations"][0]["scale"]


def test_nuclei_are_found_in_the_lower_level_and_labels_have_its_size(
    finished: RunFolder, drawn: tuple[np.ndarray, np.ndarray]
) -> None:
    labels = read_labels(finished, "slide.ome")
    assert labels.shape == (SIDE_PX, SIDE_PX)
    assert tifffile.imread(finished.label_tiff("slide.ome")).shape == (SIDE_PX, SIDE_PX)
    count = int(drawn[1].max())
    assert abs(int(labels.max()) - count) <= 0.2 * count
    found, true = labels > 0, drawn[1] > 0
    assert (found & true).sum() > 0.8 * (found | true).sum()
    nuclei = pd.read_parquet(finished.nuclei)
    np.testing.assert_array_equal(nuclei["Nuclei_AreaShape_Area"], np.bincount(labels.ravel())[1:])
    assert scale(finished, "slide.ome") == [1.0, 0.5, 0.5]


def test_in_blocks_and_by_a_pixel_size_given_it_is_the_same(
    finished: RunFolder, pyramid: Path, tmp_path: Path
) -> None:
    other = RunFolder(tmp_path / "out")
    sizes = ["--pixel-size", "0.1", "--resolution", "0.2"]
    result = run(pyramid, other.path, *sizes, "--block-size", "512", "--labels", "both")
    assert result.exit_code == 0, result.output
    assert "1 image cut into 4 blocks" in result.output
    np.testing.assert_array_equal(read_labels(other, "slide.ome"), read_labels(finished, "slide.ome"))
    size = "Metadata_PixelSize_um"
    mine, theirs = pd.read_parquet(other.nuclei), pd.read_parquet(finished.nuclei)
    in_um = [name for name in mine if name == size or name.endswith(("_um", "_um2"))]
    pd.testing.assert_frame_equal(mine.drop(columns=in_um), theirs.drop(columns=in_um), check_exact=True)
    area = "Nuclei_AreaShape_Area_um2"
    np.testing.assert_allclose(mine[area], theirs[area] * (0.2 / 0.5) ** 2)
    assert (set(mine[size]), set(theirs[size])) == ({0.2}, {0.5})
    assert pd.read_parquet(other.fields)["PixelSize_um"].tolist() == [0.2]
    assert scale(other, "slide.ome") == [1.0, 0.2, 0.2]


@pytest.mark.parametrize("options", [[], ["--resolution", "0.25"]])
def test_another_resolution_on_the_same_folder_is_refused(
    finished: RunFolder, pyramid: Path, options: list[str]
) -> None:
    refused = run(pyramid, finished.path, *options, "--labels", "both")
    assert isinstance(refused.exception, SettingsConflict)
    assert "channels or resolution have changed" in str(refused.exception)


def test_one_that_chooses_the_same_level_goes_on(finished: RunFolder, pyramid: Path) -> None:
    again = run(pyramid, finished.path, "--resolution", "0.55", "--labels", "both")
    assert again.exit_code == 0, again.output
    assert "1 of 1 fields are done already" in again.output
