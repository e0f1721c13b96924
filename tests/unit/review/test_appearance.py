"""What distinguishes fields: brightness, detail, and the nuclei in them."""

import numpy as np

from nucbatch.inference.normalise import Constants
from nucbatch.review.appearance import FEATURES, appearance
from nucbatch.synthetic import make_field

CONSTANTS = Constants(0, 65535)


def field(seed: int, nuclei: int) -> tuple[np.ndarray, np.ndarray]:
    images, labels = make_field(128, np.random.default_rng(seed), nuclei=nuclei)
    return images[0], labels


def test_fields_of_one_kind_are_nearer_than_those_of_another() -> None:
    image, labels = field(0, 10)
    constants = Constants(float(np.percentile(image, 1)), float(image.max()))
    one = appearance(image, constants, labels)
    like, found = field(1, 10)
    same = appearance(like, constants, found)
    coarse = np.kron(image[::4, ::4], np.ones((4, 4), image.dtype))
    other = appearance(coarse, constants, np.kron(labels[::4, ::4], np.ones((4, 4), labels.dtype)))
    assert one.shape == (FEATURES,)
    assert np.abs(one - same).sum() < np.abs(one - other).sum()


def test_blank_and_tiny_fields_have_a_description() -> None:
    blank = appearance(np.zeros((9, 9), np.uint8), Constants(0, 0), np.zeros((9, 9), np.uint32))
    tiny = appearance(np.ones((1, 3), np.uint16), CONSTANTS, np.ones((1, 3), np.uint32))
    assert blank.tolist() == [0] * FEATURES
    assert np.isfinite(tiny).all()


def test_a_colour_image_is_described() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert np.isfinite(appearance(image, Constants(0, 255), np.zeros((32, 32), np.uint32))).all()
