import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucbatch.core.errors import InputError
from nucbatch.core.tiles import Box, TileGrid

GRID = TileGrid(stride=16, halo=112, largest=512, whole=560)


def test_an_image_that_fits_one_window_is_one_tile_padded_to_the_stride() -> None:
    (tile,) = GRID.tiles(500, 20)
    assert tile.core == Box(0, 0, 500, 20)
    assert tile.window == Box(0, 0, 512, 32)


def test_a_side_just_longer_than_the_tiles_is_not_cut() -> None:
    assert [tile.window for tile in GRID.tiles(560, 550)] == [Box(0, 0, 560, 560)]
    assert {tile.window.shape for tile in GRID.tiles(561, 560)} == {(512, 560)}


def test_a_larger_image_is_cut_into_few_and_even_tiles() -> None:
    tiles = GRID.tiles(600, 100)
    assert [tile.core for tile in tiles] == [
        Box(0, 0, 208, 100),
        Box(208, 0, 416, 100),
        Box(416, 0, 600, 100),
    ]
    assert [tile.window.y0 for tile in tiles] == [-112, 96, 304]
    assert {tile.window.shape for tile in tiles} == {(432, 112)}


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_cores_cover_every_pixel_once_and_windows_have_their_halo(height: int, width: int) -> None:
    seen = np.zeros((height, width), np.uint8)
    for tile in GRID.tiles(height, width):
        seen[tile.core.slices] += 1
        assert tile.window.shape == (GRID.window_px(height), GRID.window_px(width))
        for length, side in zip((height, width), tile.window.shape, strict=True):
            assert side % GRID.stride == 0
            assert side <= (GRID.whole if length <= GRID.whole else GRID.largest)
        assert tile.window.y0 % GRID.stride == 0
        assert tile.core.y0 == 0 or tile.core.y0 - tile.window.y0 >= GRID.halo
        assert tile.core.y1 == height or tile.window.y1 - tile.core.y1 >= GRID.halo
        assert tile.core.x1 == width or tile.window.x1 - tile.core.x1 >= GRID.halo
    assert (seen == 1).all()


@pytest.mark.parametrize(
    ("halo", "largest", "whole"),
    [(100, 512, 512), (112, 500, 512), (112, 224, 512), (112, 512, 520), (112, 512, 496)],
)
def test_an_unaligned_grid_is_rejected(halo: int, largest: int, whole: int) -> None:
    with pytest.raises(InputError, match="multiples of the stride"):
        TileGrid(16, halo, largest, whole)


def test_an_image_without_pixels_is_rejected() -> None:
    with pytest.raises(InputError, match="at least 1 px"):
        GRID.tiles(0, 10)


BOXES = st.tuples(*[st.integers(0, 9)] * 4).map(lambda at: Box(at[0], at[1], at[0] + at[2], at[1] + at[3]))


@given(BOXES, BOXES)
def test_clipping_gives_the_intersection(one: Box, other: Box) -> None:
    images = np.zeros((2, 20, 20), np.bool_)
    images[0, *one.slices] = images[1, *other.slices] = True
    clipped = np.zeros((20, 20), np.bool_)
    clipped[one.clipped(other).slices] = True
    np.testing.assert_array_equal(clipped, images.all(axis=0))
