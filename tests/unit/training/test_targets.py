import numpy as np
from scipy.ndimage import distance_transform_edt

from nucbatch.training.targets import (
    GAP_WEIGHT,
    border_weight,
    geometry_of,
    interior,
    typical_diameter,
    weight,
)


def test_interior_is_one_in_the_middle_of_small_and_large_alike_and_falls_where_two_touch() -> None:
    labels = np.zeros((21, 40), np.uint16)
    labels[5:16, 5:16] = 1
    labels[5:16, 16:27] = 2
    labels[2:5, 33:36] = 3
    target = interior(labels)
    assert target[10, 10] == target[10, 21] == target[3, 34] == 1
    assert target[10, 15] < 0.25
    assert target[10, 16] < 0.25
    assert not target[labels == 0].any()
    alone = distance_transform_edt(labels == 1)
    np.testing.assert_allclose(target[labels == 1], (alone / alone.max())[labels == 1], rtol=1e-6)


def test_the_images_border_is_no_outline() -> None:
    labels = np.zeros((20, 20), np.uint16)
    labels[:8] = 1
    assert interior(labels)[0].min() == 1


def test_nothing_and_everything_have_a_target_too() -> None:
    assert not interior(np.zeros((5, 5), np.uint16)).any()
    assert (interior(np.ones((5, 5), np.uint16)) == 1).all()


def test_weight_rises_only_between_two_close_nuclei() -> None:
    labels = np.zeros((20, 30), np.uint16)
    labels[8:12, 2:8] = 1
    labels[8:12, 10:16] = 2
    found = weight(labels)
    assert found[10, 8] == found[10, 9] == 1 + GAP_WEIGHT
    assert found[10, 2] == found[10, 20] == found[0, 0] == 1
    assert (weight(np.zeros((4, 4), np.uint16)) == 1).all()


def test_the_typical_diameter_is_the_median_circles() -> None:
    labels = np.zeros((50, 50), np.uint16)
    labels[0:10, 0:10] = 1
    assert np.isclose(typical_diameter(labels), 2 * np.sqrt(100 / np.pi))
    assert np.isnan(typical_diameter(np.zeros((3, 3), np.uint16)))


def test_the_middle_of_a_nucleus_lies_inside_it_even_if_its_centre_of_mass_does_not() -> None:
    labels = np.zeros((30, 30), np.uint16)
    labels[2:28, 2:28] = 2
    labels[8:28, 8:22] = 0  # a horseshoe
    labels[15:18, 12:17] = 1
    nuclei = geometry_of(labels)
    np.testing.assert_allclose(nuclei.centre_px[1], [16, 14])
    y, x = nuclei.centre_px[2].astype(int)
    assert labels[y, x] == 2
    np.testing.assert_allclose(nuclei.radius_px[1], np.sqrt(15 / np.pi))
    assert nuclei.depth_px[1] == 2


def test_a_part_of_a_nucleus_is_as_deep_as_the_whole() -> None:
    labels = np.zeros((40, 40), np.uint16)
    labels[10:30, 10:30] = 1
    whole = interior(labels)
    deepest = geometry_of(labels).depth_px
    np.testing.assert_allclose(interior(labels[:, :18], deepest)[15:25, 10:14], whole[15:25, 10:14])


def test_the_border_weight_is_largest_between_touching_nuclei() -> None:
    """Ronneberger et al. 2015, equation 2, by its definition."""
    labels = np.zeros((40, 60), np.int32)
    labels[10:30, 10:20], labels[10:30, 22:32], labels[10:30, 45:55] = 1, 2, 3
    rows, columns = np.indices(labels.shape)
    away = []
    for label in (1, 2, 3):
        ys, xs = np.nonzero(labels == label)
        away.append(np.hypot(rows[..., None] - ys, columns[..., None] - xs).min(axis=-1))
    first, second = np.sort(away, axis=0)[:2]
    expected = np.where(labels == 0, 1 + 10 * np.exp(-((first + second) ** 2) / 50), 1)
    found = border_weight(labels)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 0.05  # what lies beyond the reach of 20 px
    assert found[20, 20] == found.max()
    assert found[20, 15] == 1


def test_the_border_weight_of_an_image_without_nuclei_is_one() -> None:
    assert (border_weight(np.zeros((8, 8), np.int32)) == 1).all()
