"""Methods without weights: they need no training, and run like any model."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.draw import disk
from skimage.filters import threshold_otsu

from nucbatch import segment
from nucbatch.core.settings import NormaliseSettings
from nucbatch.core.tiles import TileGrid
from nucbatch.inference.normalise import find_constants, normalise
from nucbatch.inference.predict import forward, predict_image, prepared
from nucbatch.networks.checkpoint import load_weights, read_card
from nucbatch.networks.classical import KMeansWatershed
from nucbatch.networks.locate import shipped
from nucbatch.synthetic import make_field

METHODS = ("otsu-watershed", "kmeans-watershed")
ALL = (*METHODS, "lab-kmeans-watershed")
SCRIPT = Path(__file__).parents[3] / "trainings" / "methods.py"


def image_of_discs(*centres: tuple[int, int], radius: int = 10) -> np.ndarray:
    image = np.full((96, 128), 100, np.uint16)
    for centre in centres:
        image[disk(centre, radius, shape=image.shape)] = 900
    return image


def test_the_shipped_files_are_those_that_the_script_writes(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("methods", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.write(tmp_path)
    for name in ALL:
        assert (tmp_path / f"{name}.safetensors").read_bytes() == shipped()[name].read_bytes()


def test_otsus_threshold_becomes_one_half() -> None:
    rng = np.random.default_rng(0)
    levels = np.concatenate([rng.normal(60, 9, 4000), rng.normal(170, 20, 1000)])
    image = np.clip(levels, 0, 255).astype(np.uint8).reshape(50, 100)
    constants = find_constants(image, NormaliseSettings(method="otsu"))
    middle = (constants.low + constants.high) / 2
    assert middle == pytest.approx(threshold_otsu(image), abs=2)
    assert find_constants(image.astype(np.float32), NormaliseSettings(method="otsu")) == constants


def test_clusters_of_grey_levels_part_the_darkest_from_both_others() -> None:
    image = np.repeat(np.array([10, 12, 90, 94, 200, 206], np.uint8), [500, 500, 60, 60, 60, 60])
    constants = find_constants(image, NormaliseSettings(method="kmeans"))
    assert 12 < (constants.low + constants.high) / 2 < 90


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["otsu", "kmeans"])
def test_an_image_of_one_level_is_blank(method: str, kind: str) -> None:
    flat = np.full((40, 40), 7, np.uint8)
    assert find_constants(flat, NormaliseSettings.model_validate({"method": kind})).blank
    assert not segment(flat, model=method).any()


@pytest.mark.parametrize("method", METHODS)
def test_two_discs_that_touch_are_two_nuclei_and_one_alone_is_one(method: str) -> None:
    touching = image_of_discs((30, 30), (30, 48), (70, 90))
    assert segment(touching, model=method).max() in ((3,) if method == "otsu-watershed" else (2, 3))
    assert segment(image_of_discs((40, 60)), model=method).max() == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_drawn_field_has_about_its_number_of_nuclei(method: str) -> None:
    images, truth = make_field(300, np.random.default_rng(2), nuclei=30, channels=1)
    found = int(segment(images[0], model=method).max())
    assert 0.5 * truth.max() <= found <= 1.2 * truth.max()  # neither separates nuclei as a network does


@pytest.mark.parametrize("method", METHODS)
def test_tiles_do_not_change_the_maps(method: str) -> None:
    network, card = load_weights(shipped()[method])
    image = make_field(200, np.random.default_rng(3), nuclei=20, channels=1)[0][0]
    ready = prepared(network)
    seen = normalise(image, find_constants(image, card.normalise))

    def maps(largest: int, whole: int) -> np.ndarray:
        grid = TileGrid(stride=1, halo=4, largest=largest, whole=whole)
        return predict_image(seen, grid, lambda tile: forward(ready, tile[np.newaxis])[0])

    assert np.abs(maps(64, 64).astype(int) - maps(512, 512)).max() <= 1


def test_the_interior_is_low_on_edges_and_high_in_flat_areas() -> None:
    step = torch.zeros(1, 3, 9, 20)
    step[..., 10:] = 0.8
    interior = torch.sigmoid(KMeansWatershed()(step))[0, 1, 4]
    assert interior[9:11].max() < 0.5
    assert interior[16:].min() > 0.95


def test_the_cards_say_that_nothing_was_learnt() -> None:
    for method in ALL:
        card = read_card(shipped()[method])
        assert card.data.startswith("none")
        assert card.scores == {}
        assert not card.has_weights
    assert read_card(shipped()["default"]).has_weights


@pytest.mark.slow
def test_opening_a_method_without_weights_does_not_load_the_compiler() -> None:
    program = (
        "import sys; from nucbatch.networks.checkpoint import load_weights; "
        "from nucbatch.networks.locate import locate; "
        f"[load_weights(locate(name)) for name in {ALL}]; sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
