import numpy as np
import pytest

from nucbatch.core.settings import ObjectSettings
from nucbatch.core.tiles import TileGrid
from nucbatch.inference.normalise import Constants
from nucbatch.inference.rescale import maps_at, scaled_image
from nucbatch.inference.scale import Scale
from nucbatch.inference.segment import segment_image
from nucbatch.masks.flows import REACH_PX, encoded

SHAPE = (120, 150)


def two_touching(scale: float) -> np.ndarray:
    """Draws labels of two touching nuclei of radius 14·scale in an image of SHAPE·scale."""
    rows, columns = np.ogrid[: round(SHAPE[0] * scale), : round(SHAPE[1] * scale)]
    labels = np.zeros((rows.size, columns.size), np.uint32)
    for number, x in ((1, 50), (2, 78)):
        labels[(rows - 60 * scale) ** 2 + (columns - x * scale) ** 2 <= (14 * scale) ** 2] = number
    return labels


def perfect_maps(labels: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(labels.shape)
    way = np.zeros((2, *labels.shape))
    for number in (1, 2):
        own = labels == number
        way[0][own], way[1][own] = rows[own].mean() - rows[own], columns[own].mean() - columns[own]
    inside = (labels > 0).astype(np.float32)
    return np.rint(np.stack([inside, inside, *encoded(way)]) * 255).astype(np.uint8)


@pytest.mark.parametrize("zoom", [0.4, 0.5, 1.7, 3.0])
def test_a_network_that_sees_another_scale_gives_the_nuclei_of_the_image_itself(zoom: float) -> None:
    truth = two_touching(1)
    image = (truth > 0).astype(np.uint8) * 200

    def network(tile: np.ndarray) -> np.ndarray:
        maps = np.full((4, *tile.shape[1:]), 128, np.uint8)
        drawn = perfect_maps(two_touching(zoom))
        maps[:, : drawn.shape[1], : drawn.shape[2]] = drawn
        maps[:2, drawn.shape[1] :] = maps[:2, :, drawn.shape[2] :] = 0
        return maps

    grid = TileGrid(stride=16, halo=16, largest=2048, whole=2048)
    labels = segment_image(image, Constants(0, 200), grid, network, ObjectSettings(), Scale(zoom)).labels
    assert labels.shape == SHAPE
    assert labels.max() == 2
    for number in (1, 2):
        both = ((labels == number) & (truth == number)).sum()
        assert both / ((labels == number) | (truth == number)).sum() > 0.9


def test_offsets_come_back_in_the_images_own_pixels_and_never_blend_over_an_edge() -> None:
    maps = np.full((4, 10, 10), 128, np.uint8)
    maps[3, :, :5], maps[3, :, 5:] = 128 + 40, 128 - 40
    back = maps_at(maps, (20, 20), 0.5)
    step = 2 * REACH_PX / 255
    np.testing.assert_allclose((back[3, :, :10].astype(float) - 127.5) * step, 2 * 40.5 * step, atol=step)
    np.testing.assert_allclose((back[3, :, 10:].astype(float) - 127.5) * step, 2 * -39.5 * step, atol=step)


def test_shrinking_smooths_so_that_grain_does_not_alias() -> None:
    grain = np.tile(np.array([[0.0, 1.0], [1.0, 0.0]], np.float32), (40, 40))[np.newaxis]
    small = scaled_image(grain, 0.25)
    assert small.shape == (1, 20, 20)
    assert np.abs(small - 0.5).max() < 0.05
