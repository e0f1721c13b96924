"""Colours of stained tissue are clustered by direction in L*a*b*, from counts that add up over parts."""

import numpy as np
import pytest
from skimage.color import rgb2lab
from skimage.draw import disk

from nucbatch import segment
from nucbatch.core.errors import InputError
from nucbatch.core.grey_levels import GreyLevels
from nucbatch.core.settings import NormaliseSettings
from nucbatch.inference.colour_clusters import clusters, directions_of, in_first_cluster
from nucbatch.inference.normalise import find_constants

GLASS, EOSIN, HAEMATOXYLIN = (242, 240, 243), (228, 165, 200), (110, 80, 160)


def tissue(side: int = 160, noise: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """A drawn section (Y, X, 3) uint8: glass, a pink half, and five blue discs; and where these are."""
    image = np.full((side, side, 3), GLASS, float)
    image[:, side // 4 :] = EOSIN
    blue = np.zeros((side, side), bool)
    for centre in ((30, 60), (30, 110), (80, 80), (120, 60), (120, 120)):
        blue[disk(centre, 9)] = True
    image[blue] = HAEMATOXYLIN
    image += np.random.default_rng(1).normal(0, noise, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), blue


def centres_of(image: np.ndarray) -> tuple[tuple[float, float, float], ...]:
    return clusters(GreyLevels.of(directions_of(image)))


def test_cells_hold_the_direction_in_lab() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    light, a, b = np.moveaxis(rgb2lab(image), -1, 0)
    chroma = np.hypot(a, b)
    scale = np.arctan2(chroma, light) / np.maximum(chroma, 1e-9) * 254 / np.pi
    row, column = np.divmod(directions_of(image).astype(int), 256)
    assert np.abs(row - 127 - b * scale).max() < 0.51
    assert np.abs(column - 127 - a * scale).max() < 0.51


def test_grey_of_any_level_is_one_cell() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3)
    assert set(directions_of(grey).ravel().tolist()) == {127 * 256 + 127}


def test_16_bits_are_the_same_colours_as_8() -> None:
    image = tissue()[0]
    assert np.array_equal(directions_of(image), directions_of(image.astype(np.uint16) * 257))


def test_the_first_cluster_is_the_blue_of_nuclei() -> None:
    image, blue = tissue()
    assert np.array_equal(in_first_cluster(image, centres_of(image)) == 1, blue)


def test_parts_in_any_order_have_the_clusters_of_the_whole() -> None:
    image = tissue()[0]
    parts = [GreyLevels.of(directions_of(part)) for part in (image[90:], image[:37], image[37:90])]
    assert clusters(sum(parts, GreyLevels.none("uint16"))) == centres_of(image)


@pytest.mark.parametrize("noise", [0, 2, 6])
def test_glass_alone_has_no_nuclei(noise: float) -> None:
    image = np.random.default_rng(3).normal(GLASS, noise, (120, 120, 3)).clip(0, 255).astype(np.uint8)
    assert find_constants(image, NormaliseSettings(method="lab-kmeans")).blank
    assert not segment(image, model="lab-kmeans-watershed").any()


def test_each_stained_nucleus_is_found() -> None:
    image, blue = tissue()
    labels = segment(image, model="lab-kmeans-watershed")
    assert labels.max() == 5
    assert ((labels > 0) & blue).sum() / ((labels > 0) | blue).sum() > 0.9


@pytest.mark.parametrize("image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3), np.float32)])
def test_what_has_no_colours_to_count_is_refused(image: np.ndarray) -> None:
    with pytest.raises(InputError, match="RGB image"):
        segment(image, model="lab-kmeans-watershed")


def test_one_normalisation_for_a_plate_is_refused() -> None:
    with pytest.raises(ValueError, match="of each field"):
        NormaliseSettings(method="lab-kmeans", over="plate")
