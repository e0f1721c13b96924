"""Neighbours equal their definition, on any labels."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.measure import label as connected

from nucbatch.features import measure
from nucbatch.features.neighbors import CLOSEST, Neighbors, closest_distance

COUNT = "Nuclei_Neighbors_NumberOfNeighbors_10"


def count_of(labels):
    return measure(labels, np.zeros((0, *labels.shape)), (), families=[Neighbors()])[COUNT]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_a_neighbour_has_a_pixel_within_ten(seed):
    labels = connected(gaussian_filter(np.random.default_rng(seed).normal(size=(70, 70)), 3) > 0.11)
    pixels = [np.argwhere(labels == number) for number in range(1, labels.max() + 1)]
    expected = [
        sum(
            ((one[:, None] - other[None]) ** 2).sum(axis=2).min() <= 100
            for other in pixels
            if other is not one
        )
        for one in pixels
    ]
    assert count_of(labels).tolist() == expected


def test_exactly_ten_pixels_are_near_enough():
    labels = np.zeros((1, 23), int)
    labels[0, 0], labels[0, 10], labels[0, 21] = 1, 2, 3
    assert count_of(labels).tolist() == [1, 1, 0]


def test_the_closest_centroid_and_none_beyond_the_limit():
    centers = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 600.0]])
    np.testing.assert_array_equal(closest_distance(centers, centers), [5.0, 5.0, np.nan])
    assert np.isnan(closest_distance(centers[:1], centers[:1])).all()
    assert measure(np.array([[1, 0, 2]]), np.zeros((0, 1, 3)), ())[CLOSEST].tolist() == [2.0, 2.0]
