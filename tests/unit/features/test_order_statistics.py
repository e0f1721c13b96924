"""Quartiles and median absolute deviation equal NumPy's, counted or selected."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucbatch.features.order_statistics import order_statistics


def by_numpy(values):
    values = np.asarray(values, np.float64)
    quartiles = np.percentile(values, (25, 50, 75))
    return [*quartiles, np.median(np.abs(values - quartiles[1]))]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(
        st.lists(st.integers(0, 255) | st.sampled_from([3, 250]), min_size=1, max_size=30),
        min_size=1,
        max_size=4,
    ),
    scale=st.sampled_from([1, 17, 257]),
)
def test_any_values(dtype, values, scale):
    scale = 1 if dtype == np.uint8 else scale  # 257: more levels than are counted
    grouped = (np.concatenate(values) * scale).astype(dtype)
    begins = np.cumsum([0, *map(len, values)])
    expected = [by_numpy(np.array(own) * scale) for own in values]
    np.testing.assert_allclose(order_statistics(grouped, begins), expected, rtol=1e-12)


def test_objects_without_pixels_have_none():
    found = order_statistics(np.array([5], np.uint8), np.array([0, 0, 1]))
    np.testing.assert_array_equal(found, [[np.nan] * 4, [5, 5, 5, 0]])
