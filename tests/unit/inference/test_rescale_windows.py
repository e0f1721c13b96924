"""Rescaled windows of images and maps have the same bits as the rescaled whole; both agree with torch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from nucbatch.core.errors import InputError
from nucbatch.core.tiles import Box, scaled_shape
from nucbatch.inference.rescale import (
    maps_at,
    maps_box,
    maps_window_at,
    scaled_image,
    scaled_window,
    source_box,
)

SIDES = st.integers(1, 90)
ZOOMS = st.floats(0.3, 4.0)
SEEDS = st.integers(0, 2**32 - 1)


def any_window(draw: st.DataObject, shape: tuple[int, int]) -> Box:
    y0, x0 = (draw.draw(st.integers(0, side - 1)) for side in shape)
    y1, x1 = (draw.draw(st.integers(begin + 1, side)) for begin, side in zip((y0, x0), shape, strict=True))
    return Box(y0, x0, y1, x1)


def widened(draw: st.DataObject, box: Box, shape: tuple[int, int]) -> Box:
    """Draws a window larger than required, as from callers that read whole chunks."""
    more = draw.draw(st.integers(0, 5))
    return Box(
        max(0, box.y0 - more),
        max(0, box.x0 - more),
        min(shape[0], box.y1 + more),
        min(shape[1], box.x1 + more),
    )


@settings(deadline=None)  # the first example compiles the kernel
@given(st.data(), SIDES, SIDES, ZOOMS, SEEDS)
def test_a_window_of_the_scaled_image_has_the_bits_of_the_whole(
    draw: st.DataObject, height: int, width: int, zoom: float, seed: int
) -> None:
    shape = height, width
    image = np.random.default_rng(seed).normal(size=(2, *shape)).astype(np.float32)
    whole = scaled_image(image, zoom)
    box = any_window(draw, whole.shape[1:])
    held = widened(draw, source_box(box, shape, zoom), shape)
    window = scaled_window(image[:, *held.slices], held, box, shape, zoom)
    assert window.dtype == np.float32
    np.testing.assert_array_equal(window, whole[:, *box.slices])


@settings(deadline=None)
@given(st.data(), SIDES, SIDES, ZOOMS, st.sampled_from([2, 4]), SEEDS)
def test_a_window_of_the_maps_brought_back_has_the_bits_of_the_whole(
    draw: st.DataObject, height: int, width: int, zoom: float, outputs: int, seed: int
) -> None:
    shape = height, width
    seen = scaled_shape(shape, zoom)
    maps = np.random.default_rng(seed).integers(0, 256, (outputs, *seen), np.uint8)
    whole = maps_at(maps, shape, zoom)
    assert whole.shape == (outputs, *shape)
    box = any_window(draw, shape)
    held = widened(draw, maps_box(box, shape, zoom), seen)
    window = maps_window_at(maps[:, *held.slices], held, box, shape, zoom)
    assert window.dtype == np.uint8
    np.testing.assert_array_equal(window, whole[:, *box.slices])


@given(st.data(), st.integers(1, 2_000_000), ZOOMS)
def test_the_pixel_nearest_to_a_centre_is_always_among_those_asked_for(
    draw: st.DataObject, side: int, zoom: float
) -> None:
    seen, _ = scaled_shape((side, 1), zoom)
    y = draw.draw(st.integers(0, side - 1))
    box = maps_box(Box(y, 0, y + 1, 1), (side, 1), zoom)
    nearest = min((2 * y + 1) * seen // (2 * side), seen - 1)
    assert box.y0 <= nearest < box.y1


@pytest.mark.parametrize("zoom", [0.37, 1.9])
def test_windows_agree_at_the_far_end_of_an_image_no_memory_holds(zoom: float) -> None:
    shape = 1_000_003, 2_000_029
    far_y, far_x = (side - 70 for side in scaled_shape(shape, zoom))

    def pixels(held: Box) -> np.ndarray:
        rows, columns = np.ogrid[held.y0 : held.y1, held.x0 : held.x1]
        return ((rows * 7919 + columns * 104_729) % 251).astype(np.float32)[np.newaxis]

    def window(box: Box) -> np.ndarray:
        held = source_box(box, shape, zoom)
        return scaled_window(pixels(held), held, box, shape, zoom)

    outer, inner = (
        Box(far_y, far_x, far_y + 70, far_x + 70),
        Box(far_y + 13, far_x + 21, far_y + 70, far_x + 38),
    )
    np.testing.assert_array_equal(window(inner), window(outer)[:, *inner.within(outer)])


# torch holds in_size / out_size in an image's own type; in float32 a centre at pixel 1000 is 1e-4 px astray.
@pytest.mark.parametrize("zoom", [0.05, 0.3, 0.5, 0.77, 1.0, 1.3, 2.0, 3.7])
@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (127, 64), (601, 350)])
def test_an_image_is_scaled_as_torch_would_in_double_precision(shape: tuple[int, int], zoom: float) -> None:
    image = np.random.default_rng(3).random((3, *shape), np.float32)
    doubled = torch.from_numpy(image.astype(np.float64))[np.newaxis]
    reference = interpolate(doubled, size=scaled_shape(shape, zoom), mode="bilinear", antialias=True)[0]
    np.testing.assert_allclose(scaled_image(image, zoom), reference.numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("zoom", [0.4, 0.5, 1.7, 3.0])
def test_probabilities_come_back_as_torch_would_bring_them(zoom: float) -> None:
    shape = 121, 87
    maps = np.random.default_rng(4).integers(0, 256, (2, *scaled_shape(shape, zoom)), np.uint8)
    doubled = torch.from_numpy(maps.astype(np.float64))[np.newaxis]
    reference = interpolate(doubled, size=shape, mode="bilinear", antialias=True)[0].numpy()
    assert np.abs(maps_at(maps, shape, zoom) - reference).max() <= 0.5 + 1e-4


def test_zoom_one_changes_nothing() -> None:
    image = np.random.default_rng(5).normal(size=(1, 33, 47)).astype(np.float32)
    np.testing.assert_array_equal(scaled_image(image, 1.0), image)


def test_no_side_vanishes() -> None:
    assert scaled_shape((1, 300), 0.3) == (1, 90)


def test_the_pixels_asked_for_are_those_under_the_filter() -> None:
    # Halved: output pixel 5 is centred on the edge between pixels 10 and 11, two pixels to either side.
    assert source_box(Box(5, 0, 6, 1), (100, 100), 0.5) == Box(9, 0, 13, 3)
    # Doubled: output pixels 10 and 11 lie inside pixel 5 and lean on its neighbours.
    assert source_box(Box(10, 11, 11, 12), (100, 100), 2.0) == Box(4, 5, 6, 7)


def test_a_window_that_is_too_small_is_refused_with_the_needed_one() -> None:
    shape, pixels = (40, 40), np.zeros((1, 10, 10), np.float32)
    with pytest.raises(InputError, match="not a window of 20 × 20 px"):
        source_box(Box(0, 0, 21, 5), shape, 0.5)
    with pytest.raises(InputError, match="is not a window"):
        maps_box(Box(3, 3, 3, 5), shape, 0.5)
    with pytest.raises(InputError, match=r"give at least Box\(y0=0, x0=0, y1=11, x1=9\)"):
        scaled_window(pixels, Box(0, 0, 10, 10), Box(0, 0, 5, 4), shape, 0.5)
    with pytest.raises(InputError, match="not those of"):
        scaled_window(pixels, Box(0, 0, 10, 12), Box(0, 0, 4, 4), shape, 0.5)
    with pytest.raises(InputError, match="is too small: give at least"):
        maps_window_at(np.zeros((2, 3, 3), np.uint8), Box(0, 0, 3, 3), Box(0, 0, 10, 10), shape, 0.5)
    with pytest.raises(InputError, match=r"give maps of \(20, 20\) px"):
        maps_at(np.zeros((2, 19, 20), np.uint8), shape, 0.5)
