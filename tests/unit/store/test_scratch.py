import pytest

from nucbatch.core.tiles import TileGrid
from nucbatch.store.scratch import Scratch


@pytest.mark.parametrize("stride", [1, 16])
def test_probabilities_of_a_tile_are_a_few_files_at_any_length(tmp_path, stride):
    grid = TileGrid(largest=2048, halo=96, stride=stride, whole=2176)
    for length in range(2_177, 12_000, 13):
        step = grid.step(length)
        array = Scratch(tmp_path).maps(grid, (length, 3_000), 4)
        side = array.chunk_px[0]
        assert step % side == 0, length  # no file of two tiles
        assert 128 <= side <= 2048, length
