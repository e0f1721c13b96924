"""Greys and outlines of the contact sheet."""

import base64
import re

import imagecodecs
import numpy as np

from nucbatch.report.field_images import outline_path, png_within, stretch


def decoded(uri):
    head, _, data = uri.partition(",")
    assert head == "data:image/png;base64"
    return imagecodecs.png_decode(base64.b64decode(data))


def corners(path):
    """Absolute corners of each closed contour in the path data."""
    contours = []
    for x, y, moves in re.findall(r"M(-?\d+) (-?\d+)l([-\d ]+)z", path):
        numbers = [int(number) for number in moves.split()]
        points = [(int(x), int(y))]
        for dx, dy in zip(numbers[::2], numbers[1::2], strict=True):
            points.append((points[-1][0] + dx, points[-1][1] + dy))
        contours.append(points)
    return contours


def test_stretch_is_monotone_and_reaches_both_ends():
    grey = stretch(np.array([[0, 100, 400, 1000, 5000]], np.uint16), 100, 1000)
    assert grey[0, 0] == grey[0, 1] == 0
    assert 0 < grey[0, 2] < 255
    assert grey[0, 3] == grey[0, 4] == 255


def test_a_constant_plane_is_black():
    assert stretch(np.full((4, 4), 7, np.uint16), 7.0, 7.0).max() == 0


def test_a_png_keeps_its_size_when_it_fits_and_shrinks_when_not():
    plane = np.random.default_rng(0).integers(0, 1000, (120, 90)).astype(np.uint16)
    assert decoded(png_within(plane, 0, 1000, 100_000)).shape == (120, 90)
    small = decoded(png_within(plane, 0, 1000, 3_000))
    assert small.shape[0] < 70
    assert abs(small.shape[0] / small.shape[1] - 120 / 90) < 0.05


def test_shrinking_takes_means():
    plane = np.kron(np.array([[0, 900], [900, 0]], np.uint16), np.ones((50, 50), np.uint16))
    small = decoded(png_within(plane, 0, 900, 90))
    assert small[0, 0] == small[-1, -1] == 0
    assert small[0, -1] == small[-1, 0] == 255


def test_a_square_is_outlined_along_its_border_in_half_pixels():
    labels = np.zeros((10, 12), np.uint16)
    labels[2:5, 3:8] = 1
    (points,) = corners(outline_path(labels))
    assert min(x for x, _ in points) == 6
    assert max(x for x, _ in points) == 16
    assert min(y for _, y in points) == 4
    assert max(y for _, y in points) == 10
    assert len(points) == 8


def test_objects_at_the_border_and_touching_ones_are_outlined_each():
    labels = np.zeros((8, 8), np.uint32)
    labels[0:4, 0:4] = 1
    labels[0:4, 4:8] = 2
    contours = corners(outline_path(labels))
    assert len(contours) == 2
    assert all(0 <= x <= 16 and 0 <= y <= 8 for points in contours for x, y in points)


def test_no_objects_make_no_outline():
    assert outline_path(np.zeros((5, 5), np.uint16)) == ""


def test_a_picture_of_which_the_most_tells_nothing_is_shrunk_until_it_fits():
    """Rows that are tried are empty, those between them are noise."""
    plane = np.zeros((480, 200), np.uint16)
    plane[40:180] = np.random.default_rng(0).integers(0, 1000, (140, 200))
    png = png_within(plane, 0, 1000, 5_000)
    assert len(base64.b64decode(png.partition(",")[2])) <= 5_000
    assert decoded(png).shape[0] < 480
