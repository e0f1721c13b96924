"""Flat-field correction: the polynomial, its mean, rounding, and that no box changes a pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucbatch.core.flat_field import FlatField
from nucbatch.core.tiles import Box

WIDE, HIGH = 90, 70
FLAT = FlatField(
    ((1.1,), (0.3, -0.2), (-1.0, 0.4, -0.7), (0.1, 0.2, 0.3, -0.4)),
    (WIDE, HIGH),
    (44.5, 34.5),
    (1 / 90, 1 / 70),
)
WHOLE = Box(0, 0, HIGH, WIDE)


def image(dtype: str) -> np.ndarray:
    top = 255 if dtype == "uint8" else 4000
    return np.random.default_rng(7).integers(0, top, (HIGH, WIDE)).astype(dtype)


def term_by_term() -> np.ndarray:
    y, x = np.mgrid[0:HIGH, 0:WIDE].astype(float)
    x, y = (x - 44.5) / 90, (y - 34.5) / 70
    illumination = sum(
        value * x ** (n - m) * y**m for n, row in enumerate(FLAT.coefficients) for m, value in enumerate(row)
    )
    return illumination / illumination.mean()


def test_the_gain_is_the_polynomial_over_its_mean():
    np.testing.assert_allclose(FLAT.gain(WHOLE), term_by_term(), rtol=1e-12)
    assert FLAT.gain(WHOLE).mean() == pytest.approx(1, abs=1e-12)
    assert FLAT.least_gain() == FLAT.gain(WHOLE).min()


def test_an_illuminated_picture_becomes_flat():
    pixels = np.rint(1000 * term_by_term()).astype(np.uint16)
    FLAT.correct(pixels, WHOLE)
    assert set(np.unique(pixels)) <= {999, 1000, 1001}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@given(st.data())
def test_no_box_changes_a_pixel(dtype, data):
    expected = image(dtype)
    FLAT.correct(expected, WHOLE)
    y0, x0 = data.draw(st.integers(0, HIGH - 1)), data.draw(st.integers(0, WIDE - 1))
    y1, x1 = data.draw(st.integers(y0 + 1, HIGH)), data.draw(st.integers(x0 + 1, WIDE))
    part = image(dtype)[y0:y1, x0:x1].copy()
    FLAT.correct(part, Box(y0, x0, y1, x1))
    np.testing.assert_array_equal(part, expected[y0:y1, x0:x1])


def test_stripes_of_a_wide_image_join():
    flat = FlatField(((1.0,), (0.5, 0.25)), (70_000, 3), (0.0, 0.0), (1e-5, 0.1))
    pixels = np.full((3, 70_000), 1000, np.uint16)
    flat.correct(pixels, Box(0, 0, 3, 70_000))
    np.testing.assert_array_equal(pixels, np.rint(1000 / flat.gain(Box(0, 0, 3, 70_000))).astype(np.uint16))


def test_values_are_rounded_to_even_clipped_and_saturated_ones_stay():
    flat = FlatField(((0.5,), (1.5, 0.0)), (2, 1), (0.0, 0.0), (1.0, 1.0))  # 0.4 and 1.6 of the mean
    pixels = np.array([[255, 255], [1, 4], [110, 110], [0, 0]], np.uint8)
    flat.correct(pixels, Box(0, 0, 4, 2))
    assert pixels.tolist() == [[255, 255], [2, 2], [255, 69], [0, 0]]


def test_values_identify_it_and_build_it_again():
    again = FlatField.of(
        [[list(row) for row in FLAT.coefficients], [WIDE, HIGH], [44.5, 34.5], [1 / 90, 1 / 70]]
    )
    assert again == FLAT
    assert again.digest() == FLAT.digest()
    other = FlatField(FLAT.coefficients, FLAT.size_px, FLAT.origin_px, (1 / 90, 1 / 71))
    assert other.digest() != FLAT.digest()


def test_a_mean_that_is_not_positive_has_no_gain():
    assert np.isnan(FlatField(((0.0,),), (4, 4), (0.0, 0.0), (1.0, 1.0)).least_gain())
    assert np.isnan(FlatField(((-1.0,),), (4, 4), (0.0, 0.0), (1.0, 1.0)).least_gain())
