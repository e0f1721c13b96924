"""Field quality: exact on pictures drawn by hand, and ordered as an eye would order them."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, laplace

from nucbatch.errors import InputError
from nucbatch.features import field_quality


def textured(seed=0, size=96):
    return (gaussian_filter(np.random.default_rng(seed).random((size, size)), 1) * 200).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integer_figures_equal_numpys(dtype):
    plane = np.random.default_rng(3).integers(0, np.iinfo(dtype).max, (41, 33), dtype=dtype)
    found = field_quality(plane)
    assert found["QC_Mean"] == pytest.approx(plane.mean(), rel=1e-14)
    assert found["QC_Background"] == np.median(plane)
    sharp = laplace(plane.astype(np.float64))[1:-1, 1:-1].var() / plane.var(dtype=np.float64)
    assert found["QC_Focus"] == pytest.approx(sharp, rel=1e-12)


def test_the_median_of_an_even_number_of_pixels():
    assert field_quality(np.array([[0, 0], [7, 9]], np.uint8))["QC_Background"] == 3.5


def test_blur_lowers_focus_and_gain_and_offset_do_not():
    plane = textured()
    focus = field_quality(plane)["QC_Focus"]
    assert field_quality(gaussian_filter(plane, 2))["QC_Focus"] < focus / 2
    brighter = plane.astype(np.uint16) * 100 + 500
    assert field_quality(brighter)["QC_Focus"] == pytest.approx(focus, rel=1e-12)


def test_white_noise_is_near_twenty():
    noise = np.random.default_rng(0).integers(0, 4096, (256, 256)).astype(np.uint16)
    assert field_quality(noise)["QC_Focus"] == pytest.approx(20, rel=0.05)


@pytest.mark.parametrize(
    ("top", "dtype", "expected"),
    [
        (255, np.uint8, 0.25),
        (4095, np.uint16, 0.25),
        (65535, np.uint16, 0.25),
        (254, np.uint8, 0.0),
        (3000, np.uint16, 0.0),
    ],
)
def test_saturation_is_at_a_cameras_full_scale(top, dtype, expected):
    plane = np.zeros((8, 8), dtype)
    plane[:4, :4] = top
    assert field_quality(plane)["QC_Saturated"] == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_constant_field(dtype):
    assert field_quality(np.full((5, 5), 9, dtype)) == {
        "QC_Saturated": 0.0,
        "QC_Focus": 0.0,
        "QC_Background": 9.0,
        "QC_Mean": 9.0,
    }


def test_a_strip_too_narrow_for_a_laplacian_has_no_focus():
    assert field_quality(np.arange(10, dtype=np.uint8).reshape(2, 5))["QC_Focus"] == 0.0


def test_floats_agree_with_integers():
    plane = textured(4)
    whole, floats = field_quality(plane), field_quality(plane.astype(np.float32))
    for name in ("QC_Focus", "QC_Background", "QC_Mean"):
        assert floats[name] == pytest.approx(whole[name], rel=1e-10)


@pytest.mark.parametrize(
    "plane",
    [
        np.zeros((2, 3, 3), np.uint8),
        np.zeros((0, 3), np.uint8),
        np.zeros((3, 3), bool),
        np.full((3, 3), np.nan),
    ],
)
def test_what_is_no_plane_is_refused(plane):
    with pytest.raises(InputError, match="plane"):
        field_quality(plane)
