"""Samples of an image: exact, the same in parts as in one piece; white noise has one power in all bands."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucbatch.core.tiles import Box, Grid
from nucbatch.features.quality_sample import (
    MARGIN_PX,
    Sample,
    grid_of,
    in_cells,
    joined,
    labels_at_corners,
    sample_of,
)
from nucbatch.masks.block import around


def whole_of(image: np.ndarray) -> Sample:
    box = Box(0, 0, *image.shape)
    return sample_of(image, box, box, image.shape)


def random(shape: tuple[int, int], dtype: type = np.uint16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@given(st.integers(1, 150), st.integers(1, 150), st.integers(20, 90), st.integers(20, 90))
@settings(deadline=None, max_examples=30)
def test_parts_join_to_the_whole(high: int, wide: int, part_y: int, part_x: int) -> None:
    image = random((high, wide))
    grid = Grid(high, wide, part_y, part_x)
    parts = []
    for row in range(grid.shape[0]):
        for column in range(grid.shape[1]):
            core = grid.box(row, column)
            window = around(core, MARGIN_PX, image.shape)
            part = sample_of(image[window.y0 : window.y1, window.x0 : window.x1], window, core, image.shape)
            parts.append(Sample.from_bytes(part.to_bytes()))
    found, expected = joined(parts[::-1], image.shape), whole_of(image)
    np.testing.assert_array_equal(found.cells, expected.cells)
    assert found.powers == expected.powers


def test_cells_are_sums_of_8_by_8_pixels_and_bands_second_differences() -> None:
    image = random((70, 100), np.uint8)
    found = whole_of(image)
    bins = image[:64, :96].astype(np.int64)
    for power in found.powers:
        along = bins[:, ::4] - bins[:, 1::4] - bins[:, 2::4] + bins[:, 3::4]
        down = bins[::4] - bins[1::4] - bins[2::4] + bins[3::4]
        assert power == (along**2).sum() + (down**2).sum()
        cells = bins
        bins = bins[::2, ::2] + bins[::2, 1::2] + bins[1::2, ::2] + bins[1::2, 1::2]
    np.testing.assert_array_equal(found.cells, cells)


def test_floats_give_the_figures_of_integers() -> None:
    image = random((64, 96), np.uint8)
    whole, floats = whole_of(image), whole_of(image.astype(np.float32))
    np.testing.assert_array_equal(whole.cells, floats.cells)
    assert floats.powers == pytest.approx(whole.powers, rel=1e-12)


def test_white_noise_has_its_variance_in_all_bands() -> None:
    noise = np.random.default_rng(1).normal(1000, 20, (1024, 1024)).astype(np.uint16)
    assert whole_of(noise).band_powers() == pytest.approx([400] * 4, rel=0.05)


def test_the_brightest_pixels_do_not_overflow() -> None:
    image = np.zeros((32, 8192), np.uint16)
    image[:, 8:24] = image[:, 40:56] = 65535
    image[8:24] = 65535 - image[8:24]
    assert min(whole_of(image).band_powers()) >= 0
    stripes = np.zeros((32, 8192), np.uint16)
    stripes.reshape(32, -1, 32)[..., 8:24] = 65535
    assert whole_of(stripes).powers[3] == (65535 * 64 * 2) ** 2 * 4 * 256


def test_large_images_are_sampled_on_a_coarser_grid() -> None:
    assert grid_of((8192, 8192)) == (256, 256, 32)
    assert grid_of((8193, 100))[2] == 64
    assert max(grid_of((300_000, 200_000))[:2]) <= 256
    image = np.zeros((40, 8300), np.uint8)
    image[:, 64:96] = 7  # the second block of a stride of 64
    assert whole_of(image).cells[:, :8].tolist() == [[0] * 4 + [448] * 4] * 4


def test_a_cell_belongs_to_the_nucleus_at_one_of_its_corners() -> None:
    labels = np.zeros((64, 64), np.uint32)
    labels[16:33, 8:17] = 5
    labels[63, 63] = 9
    found = in_cells(labels_at_corners(labels))
    assert found.shape == (8, 8)
    assert sorted(zip(*map(np.ndarray.tolist, np.nonzero(found == 5)), strict=True)) == [
        (row, column) for row in range(1, 5) for column in range(3)
    ]
    assert not (found == 9).any()
