"""Statistics of a field equal those of its channels computed one by one."""

import numpy as np
import pytest

from nucbatch.core.settings import NormaliseSettings
from nucbatch.execution.image_statistics import ImageStatistics, image_statistics
from nucbatch.features.quality import field_quality
from nucbatch.inference.normalise import find_constants
from nucbatch.store.display import window

SETTINGS = NormaliseSettings()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.uint32])
def test_it_is_of_the_channel_that_the_network_sees_and_of_all_windows(dtype: type) -> None:
    image = np.random.default_rng(0).integers(0, 200, (2, 40, 50)).astype(dtype)
    image[1] = image[1] // 3 + 7
    assert image_statistics(image, 1, SETTINGS) == ImageStatistics(
        find_constants(image[1], SETTINGS), field_quality(image[1]), [window(plane) for plane in image]
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_all_samples_of_colour_count_alike_and_its_grey_is_judged(dtype: type) -> None:
    image = np.random.default_rng(1).integers(0, 200, (3, 40, 50)).astype(dtype)
    image[2] += 30
    grey = image.mean(axis=0).astype(dtype)
    assert image_statistics(image, None, SETTINGS) == ImageStatistics(
        find_constants(image, SETTINGS), field_quality(grey), [window(plane) for plane in image]
    )


def test_channels_that_are_not_segmented_have_a_saturation_of_their_own() -> None:
    image = np.zeros((3, 8, 8), np.uint16)
    image[0, :2] = image[2, :4] = 4095
    quality = image_statistics(image, 1, SETTINGS, ["GFP", "DAPI", "RFP"]).quality
    assert quality["QC_Saturated_GFP"] == 0.25
    assert quality["QC_Saturated_RFP"] == 0.5
    assert "QC_Saturated_DAPI" not in quality
