from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nucbatch.core.errors import InputError
from nucbatch.core.grey_levels import GreyLevels
from nucbatch.core.settings import NormaliseSettings, validated
from nucbatch.inference.normalise import Constants, constants_of, find_constants, normalise

SETTINGS = NormaliseSettings(method="percentiles", low_percent=10, high_percent=90)


def test_percentiles_are_nearest_rank_of_all_pixels() -> None:
    image = np.arange(1, 101, dtype=np.uint16).reshape(10, 10)
    assert find_constants(image, SETTINGS) == Constants(10, 90)
    assert find_constants(image.astype(np.float32), SETTINGS) == Constants(10, 90)


@given(
    st.lists(st.integers(0, 255), min_size=1, max_size=200),
    st.sampled_from([SETTINGS, NormaliseSettings(method="foreground")]),
)
def test_integers_and_floats_give_the_same_constants_in_any_order(
    values: list[int], settings: NormaliseSettings
) -> None:
    image = np.array(values, np.uint8)
    constants = find_constants(image, settings)
    assert constants == find_constants(image[::-1].astype(np.float64), settings)
    assert constants == find_constants(image.astype(np.uint16), settings)


@given(
    st.sampled_from([np.uint8, np.uint16]).flatmap(
        lambda dtype: arrays.arrays(dtype, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))
    ),
    st.integers(0, 9),
)
def test_an_rgb_image_counted_in_parts_has_the_constants_of_the_whole(image: np.ndarray, row: int) -> None:
    parts = GreyLevels.of(image[row:]) + GreyLevels.of(image[:row])
    ordered = np.sort(image, axis=None)
    low, high = (ordered[-(-percent * image.size // 100) - 1] for percent in (10, 90))
    expected = Constants(float(low), float(high if high > low else ordered[-1]))
    assert constants_of(parts, SETTINGS) == find_constants(image, SETTINGS) == expected
    by_foreground = NormaliseSettings(method="foreground")
    assert constants_of(parts, by_foreground) == find_constants(image, by_foreground)


@pytest.mark.parametrize("method", ["foreground", "percentiles"])
def test_no_pixels_have_no_constants(method: str) -> None:
    with pytest.raises(InputError, match="at least one pixel"):
        constants_of(GreyLevels.none(np.uint8), NormaliseSettings(method=method))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_fixed_constants_are_taken_as_they_are(dtype: type) -> None:
    image = np.arange(100, dtype=dtype).reshape(10, 10)
    assert find_constants(image, NormaliseSettings(method="fixed", low=-3, high=500)) == Constants(-3, 500)


@pytest.mark.parametrize(
    "values",
    [
        {"method": "fixed"},
        {"method": "fixed", "low": 5},
        {"method": "fixed", "low": 5, "high": 5},
        {"method": "fixed", "low": 0, "high": float("nan")},
        {"method": "foreground", "low": 5, "high": 9},
    ],
)
def test_constants_that_contradict_the_method_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"low|high"):
        validated({"normalise": values})


@pytest.mark.parametrize("method", ["foreground", "percentiles"])
def test_a_few_bright_pixels_on_an_even_ground_are_not_lost(method: str) -> None:
    image = np.full((100, 100), 7, np.uint8)
    image[0, 0] = 200
    assert find_constants(image, NormaliseSettings(method=method)) == Constants(7, 200)


@pytest.mark.parametrize("method", ["foreground", "percentiles"])
@pytest.mark.parametrize("value", [0, 65535])
def test_a_constant_image_is_blank_and_becomes_zeros(value: int, method: str) -> None:
    image = np.full((8, 8), value, np.uint16)
    constants = find_constants(image, NormaliseSettings(method=method))
    assert constants.blank
    assert not normalise(image, constants).any()


def test_grey_is_repeated_and_rgb_keeps_its_order() -> None:
    grey = np.array([[0, 5], [10, 20]], np.uint8)
    out = normalise(grey, Constants(0, 10))
    assert out.shape == (3, 2, 2)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out[0], [[0, 0.5], [1, 1]])
    np.testing.assert_array_equal(out[0], out[2])
    colour = np.stack([grey, grey // 2, grey * 0], axis=-1)
    np.testing.assert_array_equal(normalise(colour, Constants(0, 10))[:, 1, 0], [1, 0.5, 0])
