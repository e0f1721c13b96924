"""Pyramid levels: sizes, means and labels."""

import numpy as np
import pytest

from nucbatch.core.errors import InputError
from nucbatch.store.pyramid import halved_mean, image_pyramid, label_pyramid, level_count


@pytest.mark.parametrize(
    ("shape", "levels"),
    [((1, 1), 2), ((320, 320), 2), ((640, 10), 2), ((641, 10), 3), ((1080, 1080), 3), ((2160, 2160), 4)],
)
def test_the_last_level_fits_320_and_there_are_always_two(shape: tuple[int, int], levels: int) -> None:
    assert level_count(*shape) == levels
    images = image_pyramid(np.zeros((2, *shape), np.uint8))
    labels = label_pyramid(np.zeros(shape, np.uint32))
    assert [level.shape[1:] for level in images] == [level.shape for level in labels]
    assert len(images) == levels
    assert max(images[-1].shape) <= 320


def test_the_mean_rounds_halves_up_and_keeps_the_dtype() -> None:
    image = np.array([[0, 1, 255, 255], [0, 1, 255, 254]], np.uint8)
    assert halved_mean(image).tolist() == [[1, 255]]
    assert halved_mean(image).dtype == np.uint8


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int8, np.int16, np.int32])
def test_extreme_pixels_do_not_overflow(dtype: type[np.integer]) -> None:
    for value in (np.iinfo(dtype).max, np.iinfo(dtype).min):
        image = np.full((1, 4, 4), value, dtype)
        assert (halved_mean(image) == value).all()


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_the_mean_equals_exact_arithmetic(dtype: type[np.integer]) -> None:
    info = np.iinfo(dtype)
    image = np.random.default_rng(0).integers(info.min, info.max, (3, 8, 6), dtype, endpoint=True)
    exact = np.floor(image.astype(np.float64).reshape(3, 4, 2, 3, 2).sum(axis=(2, 4)) / 4 + 0.5)
    assert (halved_mean(image) == exact).all()


def test_the_last_pixels_of_odd_sides_average_existing_pixels() -> None:
    assert halved_mean(np.array([[2, 2, 9], [4, 4, 5], [7, 9, 3]], np.uint8)).tolist() == [[3, 7], [8, 3]]


def test_floats_keep_their_fractions() -> None:
    assert halved_mean(np.array([[0.5, 1.0], [0.25, 0.25]], np.float32)).tolist() == [[0.5]]


def test_big_endian_pixels_are_downsampled() -> None:
    assert halved_mean(np.array([[256, 256], [256, 256]], ">u2")).tolist() == [[256]]


def test_unsupported_dtypes_are_rejected() -> None:
    with pytest.raises(InputError, match="complex64 can't be downsampled: they must be one of uint8"):
        halved_mean(np.zeros((2, 2), np.complex64))


def test_lower_levels_contain_only_labels_of_the_image() -> None:
    labels = np.random.default_rng(0).integers(0, 2**32, (300, 301), np.uint32)
    lower = label_pyramid(labels)[1]
    assert (lower == labels[::2, ::2]).all()
    assert lower.dtype == np.uint32
