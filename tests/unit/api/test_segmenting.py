"""``nb.segment`` takes any axes and the options of the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import nucbatch as nb
from nucbatch.core.errors import InputError
from nucbatch.synthetic import make_field


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint16]:
    """(C, Y, X)."""
    return make_field(128, np.random.default_rng(5), nuclei=5, channels=2)[0]


def test_a_stack_has_the_labels_of_its_images(image: NDArray[np.uint16]) -> None:
    stack = np.stack([image, image[:, ::-1]])
    labels = nb.segment(stack, axes="TCYX", channel=0)
    assert (labels.shape, labels.dtype) == ((2, 128, 128), np.uint32)
    for found, one in zip(labels, stack[:, 0], strict=True):
        np.testing.assert_array_equal(found, nb.segment(one))
    assert nb.segment(stack[:0], axes="TCYX", channel=0).shape == (0, 128, 128)


def test_a_diameter_in_micrometres_needs_the_pixel_size(image: NDArray[np.uint16]) -> None:
    in_px = nb.segment(image[0], diameter=30)
    np.testing.assert_array_equal(in_px, nb.segment(image[0], diameter="15um", pixel_size=0.5))
    assert (in_px != nb.segment(image[0], diameter=20)).any()
    with pytest.raises(InputError, match="diameter 15um needs the image's pixel size"):
        nb.segment(image[0], diameter="15um")


def test_thresholds_and_grey_levels_are_heeded(image: NDArray[np.uint16]) -> None:
    areas = np.bincount(nb.segment(image[0]).ravel())[1:]
    larger = nb.segment(image[0], min_area=int(np.median(areas)))
    assert 0 < larger.max() < len(areas)
    assert nb.segment(image[0], normalise=(60_000, 65_000)).max() == 0
    assert nb.segment(image[0], foreground=0.95).astype(bool).sum() < areas.sum()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"diameter": "large"}, "is no diameter"),
        ({"diameter": [20]}, "is no diameter"),
        ({"diameter": 0.5}, "diameter = 0.5 must be at least 4"),
        ({"pixel_size": -1}, "pixel_size = -1 must be above 0"),
        ({"normalise": (1, 2, 3)}, "two grey levels"),
        ({"normalise": 7}, "two grey levels"),
        ({"foreground": 2}, "foreground = 2 must be below 1"),
        ({"micronuclei": "eat"}, "micronuclei = 'eat' must be 'drop' or 'count'"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        nb.segment(np.zeros((64, 64), np.uint8), **options)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("picture.tif", "is a path: read the image first"),
        (Path("picture.tif"), "is a path"),
        (np.zeros((4, 5), bool), "bool"),
        (np.zeros((0, 5), np.uint8), "shape"),
        (np.full((40, 50), np.nan), "not finite|NaN"),
        (np.zeros((2, 40, 50), np.uint8), 'axes="CYX"'),
        (None, "shape"),
    ],
)
def test_what_is_no_image_is_refused(image: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        nb.segment(image)
