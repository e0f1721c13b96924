"""Shape measurements equal scikit-image's, whole-number ones exactly, and don't depend on the window."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter
from skimage.measure import label as connected
from skimage.measure import regionprops_table

from nucbatch.features.measured_objects import objects_of
from nucbatch.features.shape import Shape

NO_IMAGE = np.zeros((0, 1, 1))
SKIMAGE = {
    "Area": "area",
    "Center_X": "centroid-1",
    "Center_Y": "centroid-0",
    "BoundingBoxMinimum_X": "bbox-1",
    "BoundingBoxMinimum_Y": "bbox-0",
    "BoundingBoxMaximum_X": "bbox-3",
    "BoundingBoxMaximum_Y": "bbox-2",
    "MajorAxisLength": "axis_major_length",
    "MinorAxisLength": "axis_minor_length",
    "Eccentricity": "eccentricity",
    "Perimeter": "perimeter",
    "EquivalentDiameter": "equivalent_diameter_area",
    "Extent": "extent",
    "Orientation": "orientation",
    "ConvexArea": "area_convex",
    "Solidity": "solidity",
}


def shape(labels, origin_px=(0, 0)):
    columns = Shape().measure(objects_of(labels, origin_px), NO_IMAGE, ())
    prefixes = "Metadata_Nuclei_", "Nuclei_AreaShape_"
    return {
        name.removeprefix(prefixes[0]).removeprefix(prefixes[1]).removeprefix("Location_"): values
        for name, values in columns.items()
    }


def blobs(seed, size=160):
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), 4)
    return connected(noise > 0.05)


def disc(radius, size):
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return (y * y + x * x <= radius * radius).astype(np.uint8)


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_scikit_image_on_random_blobs(seed):
    labels = blobs(seed)
    ours = shape(labels)
    theirs = regionprops_table(
        labels, properties=tuple({name.split("-")[0]: None for name in SKIMAGE.values()})
    )
    assert len(ours["Area"]) > 20
    for name, its_name in SKIMAGE.items():
        expected = theirs[its_name]
        if name == "Orientation":
            # An axis has no direction: -90 and 90 degrees are one. Round objects have no axis at all.
            turned = np.abs(np.sin(np.radians(ours[name]) - expected))
            assert turned[ours["Eccentricity"] > 0.1].max() < 1e-9
        elif ours[name].dtype == np.int64:
            np.testing.assert_array_equal(ours[name], expected)
        else:
            np.testing.assert_allclose(ours[name], expected, rtol=1e-9, atol=1e-6, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, (6, 7), elements=st.integers(0, 1)))
def test_perimeter_equals_scikit_image_on_any_small_mask(mask):
    labels = connected(mask, connectivity=2)
    theirs = regionprops_table(labels, properties=("perimeter",))["perimeter"]
    np.testing.assert_allclose(shape(labels)["Perimeter"], theirs, rtol=1e-12)


def test_a_rectangle_by_hand():
    labels = np.zeros((9, 12), np.int32)
    labels[2:5, 3:10] = 1
    row = {name: values[0].item() for name, values in shape(labels).items()}
    assert row["Area"] == 21
    assert (row["Center_X"], row["Center_Y"]) == (6.0, 3.0)
    assert (row["BoundingBoxMinimum_X"], row["BoundingBoxMinimum_Y"]) == (3, 2)
    assert (row["BoundingBoxMaximum_X"], row["BoundingBoxMaximum_Y"]) == (10, 5)
    assert row["MajorAxisLength"] == pytest.approx(4 * np.sqrt((7**2 - 1) / 12))
    assert row["MinorAxisLength"] == pytest.approx(4 * np.sqrt((3**2 - 1) / 12))
    assert abs(row["Orientation"]) == 90.0
    assert row["Extent"] == 1.0
    assert row["Perimeter"] == 2 * (7 - 1) + 2 * (3 - 1)


def test_orientation_leans_with_the_object():
    falling = shape(np.eye(9, dtype=int))
    rising = shape(np.eye(9, dtype=int)[::-1])
    assert (falling["Orientation"][0], rising["Orientation"][0]) == (45.0, -45.0)
    assert falling["Eccentricity"][0] == pytest.approx(1.0)
    assert falling["MinorAxisLength"][0] == 0.0


@pytest.mark.parametrize("radius", [10, 20, 40])
def test_a_disc_against_the_circle(radius):
    row = {name: values[0] for name, values in shape(disc(radius, 2 * radius + 5)).items()}
    assert row["Eccentricity"] == 0.0
    assert row["MajorAxisLength"] == pytest.approx(2 * radius, rel=0.01)
    assert row["EquivalentDiameter"] == pytest.approx(2 * radius, rel=0.01)
    assert row["Perimeter"] == pytest.approx(2 * np.pi * radius, rel=0.05)
    assert row["FormFactor"] == pytest.approx(1, rel=0.1)


def test_a_single_pixel_has_no_form_factor():
    row = {name: values[0] for name, values in shape(np.ones((1, 1), int)).items()}
    assert (row["Area"], row["Perimeter"], row["MajorAxisLength"], row["Eccentricity"]) == (1, 0, 0, 0)
    assert np.isnan(row["FormFactor"])


def test_the_same_bits_in_whatever_window_and_under_whatever_number():
    labels = blobs(5)
    whole = shape(labels)
    top, left = 13, 29
    window = labels[top:, left:]
    inside = np.setdiff1d(
        np.unique(window), np.unique(np.r_[labels[: top + 1].ravel(), labels[:, : left + 1].ravel(), 0])
    )
    assert len(inside) > 5
    del whole["TouchesBorder"]  # of the image; the window is taken for one here
    renumbered = np.zeros_like(window)
    for number, old in enumerate(inside[::-1], start=1):
        renumbered[window == old] = number
    seen = shape(renumbered, origin_px=(top, left))
    for name, values in whole.items():
        assert values[inside[::-1] - 1].tobytes() == seen[name].tobytes(), name


def test_diameters_and_hull_by_hand():
    cross = np.zeros((7, 7), int)
    cross[3, 1:6] = cross[1:6, 3] = 1
    row = {name: values[0].item() for name, values in shape(cross).items()}
    assert (row["MaxFeretDiameter"], row["MinFeretDiameter"]) == (4.0, pytest.approx(np.sqrt(8)))
    assert (row["Area"], row["ConvexArea"], row["Solidity"]) == (9, 13, 9 / 13)
    line = {name: values[0] for name, values in shape(np.ones((1, 5), int)).items()}
    assert (line["MaxFeretDiameter"], line["MinFeretDiameter"], line["Solidity"]) == (4, 0, 1)


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, (9, 8), elements=st.integers(0, 1)))
def test_the_hull_equals_scikit_image_on_any_small_mask(mask):
    labels = connected(mask, connectivity=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of hulls of single lines
        theirs = regionprops_table(labels, properties=("area_convex",))["area_convex"]
    np.testing.assert_array_equal(shape(labels)["ConvexArea"], theirs)


def test_nuclei_at_the_border_of_the_image_not_of_the_window_are_marked():
    labels = np.zeros((6, 8), int)
    labels[0, 2], labels[2:4, 2:4], labels[3, 7] = 1, 2, 3
    assert shape(labels)["TouchesBorder"].tolist() == [True, False, True]
    window = objects_of(np.array([[1, 1], [1, 1]]), (2, 2), whole_px=(6, 8))
    assert Shape().measure(window, NO_IMAGE, ())["Metadata_Nuclei_TouchesBorder"].tolist() == [False]
