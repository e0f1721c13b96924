"""Colours and contrast windows for viewers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nucbatch.core.errors import InputError
from nucbatch.core.grey_levels import GreyLevels
from nucbatch.store.display import colours, limits, limits_of, window, window_of


def test_a_single_channel_is_white_and_stains_have_their_colours() -> None:
    assert colours(["DAPI"]) == ["FFFFFF"]
    assert colours(["GFP", "Hoechst 33342", "w3"]) == ["00FF00", "0000FF", "00FFFF"]


def test_unknown_channels_all_have_a_colour() -> None:
    assert len(colours([str(index) for index in range(30)])) == 30


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_the_window_spans_nearly_all_pixels(dtype: type[np.generic]) -> None:
    plane = np.arange(10_000).reshape(100, 100) % 200
    start, end = window(plane.astype(dtype))
    assert start == pytest.approx(0, abs=1)
    assert end == pytest.approx(199, abs=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_constant_plane_has_a_window(dtype: type[np.generic]) -> None:
    assert window(np.full((5, 5), 7, dtype)) == (7.0, 8.0)


def test_nan_is_ignored() -> None:
    assert window(np.array([[np.nan, 3.0]])) == (3.0, 4.0)
    assert window(np.full((2, 2), np.nan)) == (0.0, 1.0)
    assert limits(np.array([[np.nan, 3.0, 5.0]])) == (3.0, 5.0)


def test_limits_are_the_pixel_types() -> None:
    assert limits(np.zeros((2, 2), np.uint16)) == limits_of(np.uint16) == (0.0, 65535.0)
    assert limits_of(np.int8) == (-128.0, 127.0)
    with pytest.raises(InputError, match="float32 has no fixed limits"):
        limits_of(np.float32)


@given(
    st.sampled_from([np.uint8, np.uint16]).flatmap(
        lambda dtype: arrays.arrays(dtype, st.tuples(st.integers(1, 60), st.integers(1, 60)))
    ),
    st.integers(0, 60),
)
def test_a_window_does_not_depend_on_how_pixels_were_counted(plane: np.ndarray, row: int) -> None:
    parts = GreyLevels.of(plane[row:]) + GreyLevels.of(plane[:row])
    cumulated = np.cumsum(np.bincount(plane.ravel()))
    start, end = np.searchsorted(cumulated, np.array([0.5, 99.9]) / 100 * plane.size).tolist()
    assert window_of(parts) == window(plane) == (start, max(end, start + 1))


def test_an_empty_plane_has_a_window() -> None:
    assert window_of(GreyLevels.none(np.uint8)) == window(np.zeros((0, 3), np.uint8)) == (0.0, 1.0)
