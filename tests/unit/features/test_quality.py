"""Field quality: exact on pictures drawn by hand, and ordered as an eye would order them."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.ndimage import gaussian_filter, laplace

from nucbatch.core.errors import InputError
from nucbatch.core.grey_levels import GreyLevels
from nucbatch.core.tiles import Box
from nucbatch.features import field_quality
from nucbatch.features.quality import FLAGS, Edges, edges_of, figures_of, flags_of, meaning

PLANES = st.sampled_from([np.uint8, np.uint16]).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=2, max_dims=2, max_side=14))
)


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
        (65520, np.uint16, 0.25),
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
def test_arrays_that_are_no_plane_are_refused(plane):
    with pytest.raises(InputError, match="plane"):
        field_quality(plane)


@given(PLANES)
def test_integer_figures_are_their_definition_rounded_once(plane):
    found = field_quality(plane)
    whole = plane.astype(np.int64)
    laplacian = (
        whole[:-2, 1:-1] + whole[2:, 1:-1] + whole[1:-1, :-2] + whole[1:-1, 2:] - 4 * whole[1:-1, 1:-1]
        if min(plane.shape) > 2
        else np.zeros(0, np.int64)
    )
    spread = variance(whole)
    assert found["QC_Focus"] == (float(variance(laplacian) / spread) if spread and laplacian.size else 0.0)
    assert found["QC_Background"] == np.median(plane)
    assert found["QC_Mean"] == float(Fraction(int(whole.sum()), whole.size))
    full = plane.max() in (255, 1023, 4095, 16383, 65472, 65520, 65532, 65535)
    assert found["QC_Saturated"] == ((plane == plane.max()).sum() / plane.size if full else 0.0)


@given(PLANES, st.data())
def test_a_plane_seen_box_by_box_has_the_figures_of_the_whole(plane, data):
    boxes = data.draw(st.permutations(cut(plane.shape, data)))
    levels, edges = GreyLevels.none(plane.dtype), Edges()
    for box in boxes:
        levels += GreyLevels.of(plane[box.slices])
        edges += edges_of(*surrounded(plane, box))
    assert edges == edges_of(plane, Box(0, 0, *plane.shape))
    assert figures_of(levels, edges) == field_quality(plane)


def test_a_surround_is_seen_and_not_counted():
    plane = np.zeros((5, 5), np.uint8)
    plane[2, 2] = 10
    assert edges_of(plane, Box(2, 2, 3, 3)) == Edges(1, -40, 1600)
    assert edges_of(plane, Box(2, 1, 3, 2)) == Edges(1, 10, 100)
    assert edges_of(plane, Box(0, 0, 1, 5)) == edges_of(plane, Box(2, 2, 2, 2)) == Edges()
    assert edges_of(plane, Box(0, 0, 5, 5)) == Edges(9, 0, 2000)


@pytest.mark.parametrize(
    ("window", "core", "message"),
    [
        (np.zeros((3, 3), np.float32), Box(0, 0, 3, 3), "uint8 or uint16"),
        (np.zeros((3, 3, 3), np.uint8), Box(0, 0, 3, 3), "uint8 or uint16"),
        (np.zeros((3, 3), np.uint8), Box(0, 0, 3, 4), "window's coordinates"),
        (np.zeros((3, 3), np.uint8), Box(-1, 0, 3, 3), "window's coordinates"),
    ],
)
def test_a_window_that_can_not_be_is_refused(window, core, message):
    with pytest.raises(InputError, match=message):
        edges_of(window, core)


def test_no_pixels_have_no_figures():
    with pytest.raises(InputError, match="at least one pixel"):
        figures_of(GreyLevels.none(np.uint8), Edges())


def variance(values):
    """Exactly, of integers; 0 for none."""
    n, numbers = values.size, values.ravel().tolist()
    return Fraction(n * sum(x * x for x in numbers) - sum(numbers) ** 2, n * n) if n else Fraction(0)


def cut(shape, data):
    """Boxes that cover an image once, some of them one pixel wide."""
    rows, columns = (
        [0, *sorted(data.draw(st.sets(st.integers(1, side - 1)) if side > 1 else st.just(set()))), side]
        for side in shape
    )
    return [Box(y0, x0, y1, x1) for y0, y1 in pairwise(rows) for x0, x1 in pairwise(columns)]


def surrounded(plane, box):
    """A box with one pixel around it where the image goes on, and where the box lies in that."""
    height, width = plane.shape
    outer = Box(max(box.y0 - 1, 0), max(box.x0 - 1, 0), min(box.y1 + 1, height), min(box.x1 + 1, width))
    rows, columns = box.within(outer)
    return plane[outer.slices], Box(rows.start, columns.start, rows.stop, columns.stop)


def test_a_field_that_lacks_pixels_is_flagged():
    assert flags_of({"QC_Absent": 0.25}) == ["absent-pixels"]
    assert flags_of({"QC_Absent": 0.0}) == flags_of({}) == []
    assert set(flags_of({"QC_Absent": 1.0})) <= set(FLAGS)
    assert meaning("missing-channel Alexa 488") == FLAGS["missing-channel"]
