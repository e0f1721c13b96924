import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from nucbatch.core.errors import InputError
from nucbatch.core.rle import runs_of
from nucbatch.core.settings import ObjectSettings
from nucbatch.masks.fill import LARGEST_HOLE_PX, fill_holes
from nucbatch.masks.objects import find_nuclei, in_raster_order, quantised

SETTINGS = ObjectSettings(foreground=0.5, interior=0.5, peak=0, min_area_px=4, min_marker_px=1)


def disc(shape: tuple[int, int], y: float, x: float, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)


def interior_of(*nuclei: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """What a perfect network predicts: each nucleus' distance to its outline, relative to its largest."""
    total = np.zeros(nuclei[0].shape)
    for nucleus in nuclei:
        distance = distance_transform_edt(nucleus)
        total = np.maximum(total, distance / distance.max())
    return np.rint(total * 255).astype(np.uint8)


def filled_holes(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    filled = labels.copy()
    fill_holes(filled, runs_of(labels != 0), np.zeros(int(labels.max()) + 1, np.bool_))
    return filled


def drawn_maps(rng: np.random.Generator, shape: tuple[int, int], blur: float) -> NDArray[np.uint8]:
    """Four maps (4, Y, X) of shapes that no nucleus has."""
    fields = gaussian_filter(rng.normal(size=(3, *shape)), (0, blur, blur))
    fields /= fields.std(axis=(1, 2), keepdims=True) + 1e-9
    fields = fields[[0, 0, 1, 2]]
    return np.clip(128 + np.array([90, 90, 30, 30])[:, None, None] * fields, 0, 255).astype(np.uint8)


def test_other_numbers_of_maps_are_refused() -> None:
    with pytest.raises(InputError, match="3 maps"):
        find_nuclei(np.zeros((3, 4, 4), np.uint8), SETTINGS)


def test_a_network_with_one_map_has_its_touching_nuclei_split_by_their_shape() -> None:
    left, right = disc((40, 70), 20, 20, 12), disc((40, 70), 20, 41, 12)
    settings_ = SETTINGS.model_copy(update={"interior": 0.6})
    labels = find_nuclei(((left | right).astype(np.uint8) * 255)[np.newaxis], settings_)
    assert labels.max() == 2
    assert labels[20, 10] != labels[20, 50]


def test_two_touching_nuclei_are_split_and_share_all_their_pixels() -> None:
    left, right = disc((40, 60), 20, 18, 12), disc((40, 60), 20, 40, 12)
    foreground = (left | right).astype(np.uint8) * 255
    labels = find_nuclei(np.stack([foreground, interior_of(left, right & ~left)]), SETTINGS)
    assert labels.max() == 2
    np.testing.assert_array_equal(labels > 0, foreground > 0)
    assert labels[20, 10] != labels[20, 48]
    assert (labels[right & ~left] == labels[20, 48]).mean() > 0.97


def test_a_nucleus_with_one_interior_or_none_stays_whole() -> None:
    nucleus = disc((30, 30), 15, 15, 10)
    foreground = nucleus.astype(np.uint8) * 255
    for interior in (interior_of(nucleus), np.zeros_like(foreground)):
        labels = find_nuclei(np.stack([foreground, interior]), SETTINGS)
        np.testing.assert_array_equal(labels, nucleus)


def test_a_hole_in_a_nucleus_is_filled_but_not_the_ground_inside_a_ring_of_nuclei() -> None:
    ring = disc((30, 30), 15, 15, 10) & ~disc((30, 30), 15, 15, 4)
    filled = filled_holes(ring.astype(np.uint32))
    np.testing.assert_array_equal(filled, disc((30, 30), 15, 15, 10))
    halves = ring.astype(np.uint32)
    halves[:, 15:] *= 2
    np.testing.assert_array_equal(filled_holes(halves), halves)


@pytest.mark.parametrize(("side", "filled"), [(LARGEST_HOLE_PX, True), (LARGEST_HOLE_PX + 1, False)])
@pytest.mark.parametrize("turned", [False, True])
def test_holes_wider_than_any_in_a_nucleus_are_background(side: int, filled: bool, turned: bool) -> None:
    labels = np.ones((12, side + 6), np.uint32)
    labels[3:6, 3 : 3 + side] = 0
    frame = np.pad(labels.T if turned else labels, 2)
    assert (filled_holes(frame)[5, 5] == 1) == filled


def test_an_island_in_a_ring_is_not_swallowed_and_a_bay_at_the_border_is_no_hole() -> None:
    labels = (disc((31, 31), 15, 15, 12) & ~disc((31, 31), 15, 15, 8)).astype(np.uint32)
    labels[disc((31, 31), 15, 15, 3)] = 2
    np.testing.assert_array_equal(filled_holes(labels), labels)
    bay = np.ones((9, 9), np.uint32)
    bay[0:5, 4] = 0
    np.testing.assert_array_equal(filled_holes(bay), bay)


def test_a_hole_is_filled_whatever_lies_along_an_odd_border() -> None:
    """cc3d 4.1's 8-connected labelling of a bool image numbers a pixel outside of it here."""
    labels = np.ones((8, 3), np.uint32)
    labels[1, 1:] = labels[4, 1] = labels[6, 1] = 0
    expected = np.ones((8, 3), np.uint32)
    expected[1, 1:] = 0
    np.testing.assert_array_equal(filled_holes(labels), expected)


def test_specks_are_dropped_at_exactly_the_smallest_area() -> None:
    foreground = np.zeros((10, 20), np.uint8)
    foreground[1:3, 1:3] = 255  # 4 px
    foreground[1, 8:11] = 255  # 3 px
    labels = find_nuclei(np.stack([foreground] * 2), SETTINGS)
    assert labels.max() == 1
    assert (labels > 0).sum() == 4


def test_an_object_whose_interior_stays_below_the_peak_is_debris() -> None:
    settings_ = SETTINGS.model_copy(update={"peak": 0.6})
    foreground = np.zeros((12, 30), np.uint8)
    foreground[2:10, 2:10] = foreground[2:10, 14:22] = 255
    interior = np.zeros_like(foreground)
    interior[5, 5], interior[5, 17] = quantised(0.6), quantised(0.6) - 1
    labels = find_nuclei(np.stack([foreground, interior]), settings_)
    np.testing.assert_array_equal(labels > 0, (foreground > 0) & (np.arange(30) < 12))


@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_nothing_in_nothing_out(outputs: int) -> None:
    empty = np.zeros((5, 7), np.uint8)
    labels = find_nuclei(np.stack([empty] * outputs), SETTINGS)
    assert labels.shape == (5, 7)
    assert labels.dtype == np.uint32
    assert not labels.any()


@pytest.mark.parametrize(("threshold", "value"), [(0.5, 128), (1 / 255, 1), (200 / 255, 200)])
def test_a_threshold_is_the_smallest_value_that_reaches_it(threshold: float, value: int) -> None:
    assert quantised(threshold) == value


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 4), st.sampled_from([1, 2, 4]))
def test_labels_are_1_to_n_in_raster_order_connected_and_without_holes_of_their_own(
    seed: int, blur: float, outputs: int
) -> None:
    maps = drawn_maps(np.random.default_rng(seed), (48, 56), blur)[:outputs]
    chosen = ObjectSettings(interior=0.7, min_area_px=5)
    labels = find_nuclei(maps, chosen)
    numbers, first = np.unique(labels[labels > 0], return_index=True)
    np.testing.assert_array_equal(numbers, np.arange(1, len(numbers) + 1))
    assert (np.diff(first) > 0).all()
    np.testing.assert_array_equal(labels, in_raster_order(labels))
    np.testing.assert_array_equal(filled_holes(labels), labels)
    np.testing.assert_array_equal(labels, find_nuclei(maps, chosen))
    areas = np.bincount(labels.ravel())[1:]
    assert (areas >= 5).all()
    for number in numbers:
        assert cc3d.connected_components(labels == number, connectivity=4).max() == 1


@pytest.mark.parametrize("outputs", [1, 2, 4])
@pytest.mark.parametrize("seed", range(6))
def test_the_result_of_a_component_does_not_depend_on_the_others(outputs: int, seed: int) -> None:
    maps = drawn_maps(np.random.default_rng(seed), (80, 80), 3)[:outputs]
    maps[0, 38:42] = 0  # two halves that share nothing
    settings_ = ObjectSettings(interior=0.75, min_area_px=5)
    whole = find_nuclei(maps, settings_)
    upper = find_nuclei(maps[:, :42], settings_)
    np.testing.assert_array_equal(whole[:42] > 0, upper > 0)
    np.testing.assert_array_equal(in_raster_order(whole[:42].copy()), upper)
