import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nucbatch.inference.predict import forward, grid_of, predict_image, prepared, reflected
from nucbatch.networks.unet import UNet
from nucbatch.tiles import TileGrid


@given(st.integers(1, 9), st.integers(-30, 0), st.integers(1, 30))
def test_reflection_is_numpys(length: int, begin: int, beyond: int) -> None:
    line = np.arange(length)
    expected = (
        np.pad(line, (-begin, beyond), mode="reflect") if length > 1 else np.zeros(length + beyond - begin)
    )
    np.testing.assert_array_equal(line[reflected(begin, length + beyond, length)], expected)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 300), st.integers(1, 300))
def test_tiles_are_put_back_where_they_came_from(height: int, width: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (3, height, width)).astype(np.float32)
    grid = TileGrid(stride=16, halo=16, largest=96)
    maps = predict_image(image, grid, lambda tile: tile[:2].astype(np.uint8))
    np.testing.assert_array_equal(maps, image[:2].astype(np.uint8))


def test_an_image_cut_into_tiles_gets_the_same_maps_as_in_one_window() -> None:
    torch.manual_seed(1)
    network = UNet(width=2, outputs=2, depth=2)
    network(torch.rand(4, 3, 64, 64))
    ready = prepared(network)
    image = np.random.default_rng(1).random((3, 208, 160), np.float32)
    predict = lambda tile: forward(ready, tile[np.newaxis])[0]  # noqa: E731 (used twice below)
    whole = predict_image(image, grid_of(network, 256), predict)
    cut = predict_image(image, grid_of(network, 96), predict)
    inner = np.s_[:, 32:-32, 32:-32]  # at the image's border the padding differs: zeros against reflection
    assert np.abs(whole[inner].astype(int) - cut[inner].astype(int)).max() <= 1


def test_a_tile_grid_covers_the_receptive_field() -> None:
    grid = grid_of(UNet(width=1, depth=4))
    assert (grid.stride, grid.halo) == (16, 112)
