"""The drawn fields: their truth is exact, their pixels follow from the seed, emptiness stays empty."""

import numpy as np
import pytest
from scipy import ndimage

from nucbatch.core.errors import InputError
from nucbatch.synthetic import draw_field, make_field


def drawn(seed=3, nuclei=45, size_px=320, **others):
    return draw_field(size_px, size_px, np.random.default_rng(seed), nuclei=nuclei, **others)


def test_equal_seeds_give_equal_pixels_and_others_do_not():
    images, labels = drawn(seed=3)
    again, labels_again = drawn(seed=3)
    other, _ = drawn(seed=4)
    assert np.array_equal(images, again)
    assert np.array_equal(labels, labels_again)
    assert not np.array_equal(images, other)


def test_labels_count_up_in_raster_order_of_their_first_pixel():
    _, labels = drawn()
    flat = labels.ravel()
    first_seen = list(dict.fromkeys(flat[flat > 0].tolist()))
    assert first_seen == list(range(1, labels.max() + 1))


def test_each_label_is_one_whole_piece():
    _, labels = drawn(nuclei=60)
    for label in range(1, int(labels.max()) + 1):
        assert ndimage.label(labels == label)[1] == 1


def test_nuclei_touch_when_asked_and_stand_apart_when_not():
    def contacts(labels):
        left, right = labels[:, :-1], labels[:, 1:]
        return int(((left > 0) & (right > 0) & (left != right)).sum())

    assert contacts(drawn(touching=0.6)[1]) > 20
    assert contacts(drawn(touching=0.0, nuclei=25)[1]) == 0


def test_nuclei_that_nothing_cuts_have_the_promised_diameters():
    _, labels = drawn(nuclei=40, touching=0.0, size_px=512)
    edge = set(np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])))
    areas = {
        label: int((labels == label).sum()) for label in range(1, int(labels.max()) + 1) if label not in edge
    }
    diameters = 2 * np.sqrt(np.array(list(areas.values())) / np.pi)
    assert len(diameters) > 20
    assert diameters.min() > 17
    assert diameters.max() < 35.5


def test_nuclei_are_brighter_than_what_lies_around_them():
    images, labels = drawn()
    inside, outside = images[0][labels > 0], images[0][labels == 0]
    assert np.median(inside) > 2 * np.median(outside)
    assert outside.std() > 1


def test_a_field_without_nuclei_is_noise_with_zero_labels():
    images, labels = drawn(nuclei=0)
    assert labels.max() == 0
    assert 0 < images[0].std() < 60
    assert images.shape == (2, 320, 320)
    assert images.dtype == labels.dtype == np.uint16


def test_a_full_field_holds_fewer_nuclei_than_asked_for():
    _, labels = make_field(96, np.random.default_rng(0), nuclei=200, channels=1)
    assert 5 < labels.max() < 40


@pytest.mark.parametrize(("size_px", "nuclei", "channels"), [(40, 5, 1), (128, -1, 1), (128, 5, 0)])
def test_impossible_fields_are_refused(size_px, nuclei, channels):
    with pytest.raises(InputError, match="synthetic field"):
        make_field(size_px, np.random.default_rng(0), nuclei=nuclei, channels=channels)
