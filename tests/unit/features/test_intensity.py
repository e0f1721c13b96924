"""Intensities equal scikit-image's; whole numbers are summed exactly, in any window."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import regionprops_table

from nucbatch.features.intensity import Intensity
from nucbatch.features.measured_objects import objects_of

SKIMAGE = {
    "IntegratedIntensity": None,
    "MeanIntensity": "intensity_mean",
    "StdIntensity": "intensity_std",
    "MinIntensity": "intensity_min",
    "MaxIntensity": "intensity_max",
    "MedianIntensity": "intensity_median",
}


def intensity(labels, plane):
    columns = Intensity().measure(objects_of(labels), plane[None], ("DNA",))
    return {name.removeprefix("Nuclei_Intensity_").removesuffix("_DNA"): v for name, v in columns.items()}


def squares(size=60, side=7, step=11):
    labels = np.zeros((size, size), np.int32)
    corners = [(y, x) for y in range(0, size - side, step) for x in range(0, size - side, step)]
    for number, (y, x) in enumerate(corners, start=1):
        labels[y : y + side - number % 2, x : x + side] = number
    return labels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_equal_to_scikit_image(dtype):
    labels = squares()
    plane = (np.random.default_rng(1).random(labels.shape) * 250).astype(dtype)
    ours = intensity(labels, plane)
    theirs = regionprops_table(
        labels, plane.astype(np.float64), properties=tuple(name for name in SKIMAGE.values() if name)
    )
    for name, its_name in SKIMAGE.items():
        if its_name is None:
            sums = [plane[labels == label].sum(dtype=np.float64) for label in range(1, labels.max() + 1)]
            np.testing.assert_allclose(ours[name], sums, rtol=1e-12)
        else:
            np.testing.assert_allclose(ours[name], theirs[its_name], rtol=1e-10, atol=1e-12, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 65535), min_size=1, max_size=40))
def test_any_values_of_one_object(values):
    plane = np.array([values], np.uint16)
    found = intensity(np.ones_like(plane), plane)
    assert found["IntegratedIntensity"][0] == sum(values)
    assert found["MinIntensity"][0] == min(values)
    assert found["MaxIntensity"][0] == max(values)
    assert found["MedianIntensity"][0] == np.median(values)
    assert found["StdIntensity"][0] == pytest.approx(np.std(values), rel=1e-9, abs=1e-9)


def test_a_constant_bright_object_does_not_vary():
    plane = np.full((200, 200), 65535, np.uint16)
    found = intensity(np.ones((200, 200), np.uint8), plane)
    assert found["StdIntensity"][0] == 0.0
    assert found["IntegratedIntensity"][0] == 65535 * 40000


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_the_same_bits_in_whatever_window_and_under_whatever_number(dtype):
    labels = np.pad(squares(), 1)  # the image's border is no edge of an object
    plane = (np.random.default_rng(2).random(labels.shape) * 60000).astype(dtype)
    whole = intensity(labels, plane)
    count = int(labels.max())
    mirrored = np.where(labels, count + 1 - labels, 0)
    seen = intensity(np.pad(mirrored, 3), np.pad(plane, 3))
    own = [name for name in whole if not name.startswith(("BackgroundCorrected", "Metadata_Nuclei_Location"))]
    assert len(own) == 15
    for name in own:
        values = whole[name]
        assert values[::-1].tobytes() == seen[name].tobytes(), name


def test_an_object_with_a_pixel_that_is_no_number_has_no_figures():
    labels = np.array([[1, 1, 0, 2]])
    plane = np.array([[1.0, np.nan, 5.0, 7.0]], np.float32)
    found = intensity(labels, plane)
    assert all(np.isnan(values[0]) for values in found.values())
    assert [found[name][1] for name in SKIMAGE] == [7, 7, 0, 7, 7, 7]
