"""Greys and sizes of pictures for a browser."""

import base64

import imagecodecs
import numpy as np
import pytest

from nucbatch.report import field_images
from nucbatch.report.field_images import _shrunk, contrast_limits, picture_within, stretch


def decoded(uri):
    head, _, data = uri.partition(",")
    assert head == "data:image/webp;base64"
    return imagecodecs.webp_decode(base64.b64decode(data))[..., 0]


def test_stretch_is_monotone_and_reaches_both_ends():
    grey = stretch(np.array([[0, 100, 400, 1000, 5000]], np.uint16), 100, 1000)
    assert grey[0, 0] == grey[0, 1] == 0
    assert 0 < grey[0, 2] < 255
    assert grey[0, 3] == grey[0, 4] == 255


def test_a_constant_plane_is_black():
    assert stretch(np.full((4, 4), 7, np.uint16), 7.0, 7.0).max() == 0


def test_a_picture_keeps_its_size_when_it_fits_and_shrinks_when_not():
    plane = np.random.default_rng(0).integers(0, 1000, (120, 90)).astype(np.uint16)
    assert decoded(picture_within(plane, 0, 1000, 100_000)).shape == (120, 90)
    small = decoded(picture_within(plane, 0, 1000, 3_000))
    assert small.shape[0] < 90
    assert abs(small.shape[0] / small.shape[1] - 120 / 90) < 0.05


def test_shrinking_takes_means():
    plane = np.kron(np.array([[0, 900], [900, 0]], np.uint16), np.ones((50, 50), np.uint16))
    small = decoded(picture_within(plane, 0, 900, 80))
    assert max(small[0, 0], small[-1, -1]) < 20
    assert min(small[0, -1], small[-1, 0]) > 235


def test_a_picture_of_which_the_most_tells_nothing_is_shrunk_until_it_fits():
    """Rows that are tried are empty, those between them are noise."""
    plane = np.zeros((480, 200), np.uint16)
    plane[40:180] = np.random.default_rng(0).integers(0, 1000, (140, 200))
    png = picture_within(plane, 0, 1000, 5_000)
    assert len(base64.b64decode(png.partition(",")[2])) <= 5_000
    assert decoded(png).shape[0] < 480


def test_a_reduced_plane_holds_the_means_of_rectangles():
    plane = np.random.default_rng(0).integers(0, 65535, (7, 9)).astype(np.uint16)
    reduced = _shrunk(plane, 3, 4)
    rows, columns = [0, 2, 4, 7], [0, 2, 4, 6, 9]
    for row in range(3):
        for column in range(4):
            part = plane[rows[row] : rows[row + 1], columns[column] : columns[column + 1]]
            assert reduced[row, column] == np.float32(part.mean())


def test_a_picture_of_smooth_nuclei_is_encoded_at_most_twice(monkeypatch):
    """Its size falls with its side, not with its area; once measured, that is taken into account."""
    y, x = np.mgrid[:640, :640]
    plane = np.zeros((640, 640), np.uint16)
    for top, left in np.random.default_rng(0).integers(10, 630, (250, 2)):
        plane[(y - top) ** 2 + (x - left) ** 2 < 80] = 1000
    sides = []
    encoded = field_images._encoded
    monkeypatch.setattr(field_images, "_encoded", lambda grey: sides.append(grey.shape) or encoded(grey))
    for most_bytes in (10_000, 5_000, 2_000):
        picture = picture_within(plane, 0, 1000, most_bytes)
        assert 0.6 * most_bytes < len(base64.b64decode(picture.partition(",")[2])) <= most_bytes
        assert len(sides) <= 3  # the rows that are tried first among them
        sides.clear()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_contrast_limits_are_percentiles(dtype):
    plane = (np.random.default_rng(0).gamma(2, 30, (61, 47))).astype(dtype)
    assert contrast_limits(plane) == pytest.approx(np.percentile(plane, [0.5, 99.8]), rel=1e-12)
