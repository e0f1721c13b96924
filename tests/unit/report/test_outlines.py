"""Outlines of labels: the contours, their SVG path, and their code for the page's script."""

import re
import string

import numpy as np

from nucbatch.report.outlines import outline_code, outline_path, trace

LETTERS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


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


def decoded(code):
    """(x, y) of the first corner and the steps of each contour of an outline code."""
    digits, contours = [LETTERS.index(letter) for letter in code], []
    while digits:
        x, y = digits[0] * 64 + digits[1], digits[2] * 64 + digits[3]
        length = digits[4] * 4096 + digits[5] * 64 + digits[6]
        end = 7 + (length + 2) // 3
        steps = [letter >> shift & 3 for letter in digits[7:end] for shift in (4, 2, 0)][:length]
        contours.append(((x, y), steps))
        digits = digits[end:]
    return contours


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


def test_contours_are_walked_clockwise_and_holes_the_other_way():
    labels = np.zeros((5, 5), np.uint8)
    labels[1:4, 1:4] = 1
    labels[2, 2] = 0
    starts, steps = trace(labels)
    assert starts.tolist() == [[1, 1, 12], [3, 2, 4]]
    assert steps.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 0, 3, 2, 1]


def test_every_edge_between_labels_is_in_one_contour():
    labels = np.random.default_rng(1).integers(0, 3, (30, 40))
    _, steps = trace(labels)
    padded = np.pad(labels, 1)
    edges = sum(
        int(((padded != np.roll(padded, shift, axis)) & (padded > 0)).sum())
        for axis in (0, 1)
        for shift in (1, -1)
    )
    assert len(steps) == edges


def test_pixels_that_touch_at_a_corner_have_a_contour_each():
    starts, _ = trace(np.eye(3, dtype=np.uint16))
    assert starts.tolist() == [[0, 0, 4], [1, 1, 4], [2, 2, 4]]


def test_a_code_has_all_contours_with_their_steps():
    labels = np.zeros((80, 300), np.uint16)
    labels[70:72, 200:203] = 1
    labels[2, 5] = 2
    assert decoded(outline_code(labels)) == [
        ((5, 2), [0, 1, 2, 3]),
        ((200, 70), [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]),
    ]
    assert outline_code(np.zeros((5, 5), np.uint16)) == ""
