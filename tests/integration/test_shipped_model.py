"""The weights in the wheel: their size, their card, what they find and above all what they don't."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.draw import ellipse
from skimage.measure import regionprops

import nucbatch
from nucbatch.core.errors import InputError, WeightsError
from nucbatch.core.settings import MAPS
from nucbatch.networks.checkpoint import read_card
from nucbatch.networks.locate import shipped
from nucbatch.scoring import ObjectCounts, object_counts, pixel_counts
from nucbatch.synthetic import make_field


def test_the_default_model_ships_is_small_and_says_how_it_was_made() -> None:
    path = shipped()["default"]
    assert path.stat().st_size <= 8_000_000
    card = read_card(path)
    assert card.data_sha256
    assert card.training["steps"] >= 1
    assert card.outputs == MAPS
    assert card.scores["val pixel F1"] >= 0.92
    assert card.scores["val object F1 at 0.5"] >= 0.88


def empty_fields() -> dict[str, NDArray[np.generic]]:
    rng = np.random.default_rng(12345)
    shape = (320, 320)
    noise = rng.normal(0, 1, shape)
    rows, columns = np.mgrid[-1:1:320j, -1:1:320j]
    vignette = 1 - 0.5 * (rows**2 + columns**2)
    return {
        "empty": np.zeros(shape, np.uint16),
        "constant": np.full(shape, 700, np.uint16),
        "saturated": np.full(shape, 65535, np.uint16),
        "saturated, 8 bits": np.full(shape, 255, np.uint8),
        "camera noise": np.rint(200 + 5 * noise).astype(np.uint16),
        "shot noise": rng.poisson(30, shape).astype(np.uint16),
        "shot noise, 8 bits": rng.poisson(2, shape).astype(np.uint8),
        "smoothed noise": np.rint(500 + 400 * gaussian_filter(noise, 0.8)).astype(np.uint16),
        "uneven light": np.rint(2000 * vignette + 20 * noise).astype(np.uint16),
        "haze": np.rint(800 + 3000 * gaussian_filter(noise, 60) * 60 + 15 * noise).clip(0).astype(np.uint16),
        "one hot pixel": np.pad(np.full((1, 1), 9000, np.uint16), (100, 219)),
        "RGB, white": np.full((*shape, 3), 255, np.uint8),
        "float noise": (0.1 + 0.01 * noise).astype(np.float32),
    }


@pytest.mark.parametrize("kind", sorted(empty_fields()))
def test_a_field_without_nuclei_has_none(kind: str) -> None:
    assert nucbatch.segment(empty_fields()[kind]).max() == 0


@pytest.mark.parametrize("sigma_px", [25, 40])
def test_nuclei_far_out_of_focus_are_not_counted(sigma_px: float) -> None:
    images, _ = make_field(384, np.random.default_rng(3), nuclei=40)  # about 25 px across
    haze = gaussian_filter(images[0].astype(np.float64), sigma_px)
    haze = 300 + 20_000 * (haze - haze.min()) / (haze.max() - haze.min())
    assert nucbatch.segment(haze.astype(np.uint16)).max() == 0
    seen = np.random.default_rng(0).poisson(haze / 20).astype(np.uint16)
    assert nucbatch.segment(seen).max() == 0


@pytest.mark.slow
@pytest.mark.parametrize(("diameter", "least"), [("auto", 0.93), (100.0, 0.93), ("none", 0.6)])
def test_large_nuclei_are_found_without_a_diameter(
    diameter: float | Literal["auto", "none"], least: float
) -> None:
    counts = ObjectCounts()
    for seed in range(6, 12):
        images, truth = make_field(192, np.random.default_rng(seed), nuclei=9)  # about 25 px across
        plane = images[0].repeat(4, axis=0).repeat(4, axis=1)
        large = gaussian_filter(plane.astype(np.float32), 2.5)
        expected = truth.repeat(4, axis=0).repeat(4, axis=1)
        labels = nucbatch.segment(large, diameter=diameter)
        assert labels.shape == expected.shape
        counts += object_counts(expected, labels)
    assert counts.f1(0.5) > least


def test_nuclei_of_the_sizes_that_the_model_knows_are_seen_as_they_are() -> None:
    for enlarged in (1, 2):
        images, _ = make_field(256, np.random.default_rng(2), nuclei=15)
        image = images[0].repeat(enlarged, axis=0).repeat(enlarged, axis=1)
        found = nucbatch.segment(image, micronuclei="count")
        np.testing.assert_array_equal(found, nucbatch.segment(image, diameter="none"))


def test_synthetic_nuclei_are_found() -> None:
    images, truth = make_field(384, np.random.default_rng(3), nuclei=40)
    labels = nucbatch.segment(images[0])
    assert labels.dtype == np.uint32
    assert labels.shape == truth.shape
    assert pixel_counts(truth, labels).f1 > 0.85
    assert object_counts(truth, labels).f1(0.5) > 0.8


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
def test_the_dim_bodies_of_cells_are_not_counted(share: float) -> None:
    """Where two bodies overlap, a patch of the size of a nucleus is twice as bright as one of them."""
    found, expected, counts = 0, 0, ObjectCounts()
    for seed in (3, 4, 5):
        rng = np.random.default_rng(seed)
        images, truth = make_field(384, rng, nuclei=40)
        image = images[0].astype(np.float64)
        contrast = np.median(image[truth > 0]) - np.median(image[truth == 0])
        bodies = np.zeros(image.shape)
        for nucleus in regionprops(truth):
            diameter = nucleus.equivalent_diameter_area
            y, x = nucleus.centroid + rng.normal(0, 0.2 * diameter, 2)
            radii = 0.8 * diameter, 1.6 * diameter
            body = ellipse(y, x, *radii, shape=image.shape, rotation=rng.uniform(0, np.pi))
            bodies[body] += share * contrast
        lit = image + gaussian_filter(bodies, 1.0)
        labels = nucbatch.segment(lit.clip(0, np.iinfo(images[0].dtype).max).astype(images[0].dtype))
        found, expected = found + int(labels.max()), expected + int(truth.max())
        counts += object_counts(truth, labels)
    assert abs(found - expected) <= 0.05 * expected
    assert counts.f1(0.5) > 0.85


def test_a_brighter_or_offset_camera_changes_nothing() -> None:
    images, _ = make_field(256, np.random.default_rng(4), nuclei=15)
    plane = images[0].astype(np.uint16) // 4
    np.testing.assert_array_equal(nucbatch.segment(plane), nucbatch.segment(plane * 2 + 300))


def test_an_image_larger_than_one_tile_is_segmented_without_a_seam() -> None:
    images, _ = make_field(256, np.random.default_rng(5), nuclei=14)
    wide = np.tile(images[0], (1, 9))  # 2304 px: more than one tile
    labels = nucbatch.segment(wide)
    counts = [len(np.unique(labels[:, start : start + 256])) for start in range(256, 2048, 256)]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((2, 3, 4, 5), np.uint8), "shape"),
        (np.zeros((0, 5), np.uint8), "shape"),
        (np.zeros((5, 5, 4), np.uint8), "shape"),
        (np.zeros((5, 5), bool), "bool"),
        (np.zeros((5, 5), complex), "complex"),
        (np.full((5, 5), np.nan), "NaN"),
    ],
)
def test_files_that_are_no_image_are_refused_with_the_supported_formats(
    image: NDArray[np.generic], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        nucbatch.segment(image)


def test_a_model_that_is_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"\x80\x04N.")
    with pytest.raises(WeightsError, match="pickle"):
        nucbatch.segment(np.zeros((8, 8), np.uint8), model=str(path))
