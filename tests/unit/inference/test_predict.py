import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nucbatch.core.tiles import TileGrid
from nucbatch.inference.predict import folded, forward, grid_of, predict_image, prepared
from nucbatch.networks.unet import UNet


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 300), st.integers(1, 300))
def test_tiles_are_put_back_where_they_came_from(height: int, width: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (3, height, width)).astype(np.float32)
    grid = TileGrid(stride=16, halo=16, largest=96, whole=96)
    maps = predict_image(image, grid, lambda tile: tile[:2].astype(np.uint8))
    np.testing.assert_array_equal(maps, image[:2].astype(np.uint8))


def test_an_image_cut_into_tiles_gets_the_same_maps_as_in_one_window() -> None:
    torch.manual_seed(1)
    network = UNet(width=2, outputs=2, depth=2)
    network(torch.rand(4, 3, 64, 64))
    ready = prepared(network)
    image = np.random.default_rng(1).random((3, 208, 160), np.float32)
    predict = lambda tile: forward(ready, tile[np.newaxis])[0]  # noqa: E731 (used twice below)
    whole = predict_image(image, grid_of(network, 256, 256), predict)
    cut = predict_image(image, grid_of(network, 96, 96), predict)
    inner = np.s_[:, 32:-32, 32:-32]  # at the image's border the padding differs: zeros against reflection
    assert np.abs(whole[inner].astype(int) - cut[inner].astype(int)).max() <= 1


def test_a_tile_grid_covers_the_receptive_field() -> None:
    grid = grid_of(UNet(width=1, depth=4))
    assert (grid.stride, grid.halo) == (16, 112)


@pytest.mark.parametrize("side_px", [512, 1080, 2048, 2160])
def test_a_field_of_a_usual_camera_is_one_tile(side_px: int) -> None:
    assert len(grid_of(UNet(width=1, depth=4)).tiles(side_px, side_px)) == 1


def test_a_pixel_outside_a_tiles_window_changes_nothing_in_its_core() -> None:
    torch.manual_seed(2)
    network = UNet(width=2, outputs=2, depth=2)
    network(torch.rand(4, 3, 64, 64))
    ready, grid = prepared(network), grid_of(network, 96, 96)
    image = np.random.default_rng(2).random((3, 256, 256), np.float32)
    tile = next(tile for tile in grid.tiles(256, 256) if tile.window.y0 > 0 and tile.window.x0 > 0)
    moved = image.copy()
    moved[:, tile.window.y0 - 1, tile.window.x0 :] += 1
    moved[:, tile.window.y0 :, tile.window.x1] -= 1
    before, after = (forward(ready, one[np.newaxis])[0] for one in (image, moved))  # both seen whole
    assert (before != after).any()
    np.testing.assert_array_equal(before[:, *tile.core.slices], after[:, *tile.core.slices])


def test_bfloat16_moves_probabilities_little() -> None:
    torch.manual_seed(3)
    network = UNet(width=4, outputs=2, depth=2)
    network(torch.rand(4, 3, 64, 64))
    tile = np.random.default_rng(3).random((1, 3, 64, 64), np.float32)
    exact, rough = forward(prepared(network), tile), forward(prepared(network, "bf16"), tile)
    assert 0 < np.abs(exact.astype(int) - rough).max() <= 8


def test_folding_the_normalisation_leaves_the_function():
    torch.manual_seed(0)
    network = UNet(width=4, depth=2)
    network(torch.rand(4, 3, 32, 32))  # moves the running statistics away from 0 and 1
    network.eval()
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(folded(network)(image), network(image), rtol=1e-4, atol=1e-5)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded(network).modules())
