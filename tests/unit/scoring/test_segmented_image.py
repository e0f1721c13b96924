"""The segmented image in its segments' mean colours, compared with the image."""

import math

import numpy as np
import pytest

from nucbatch.core.errors import InputError
from nucbatch.scoring.segmented_image import SquaredErrors, squared_errors
from nucbatch.scoring.table import score_image, score_images

LABELS = np.array([[0, 0, 1, 1], [0, 0, 1, 1]])


def test_each_segment_is_compared_with_its_own_mean() -> None:
    image = np.array([[10, 14, 100, 100], [10, 14, 104, 104]], np.uint8)
    found = squared_errors(image, LABELS)
    assert found == SquaredErrors(32.0, 8)
    assert found.mean == 4
    assert found.psnr_db == pytest.approx(10 * math.log10(255**2 / 4))


def test_colours_are_samples_of_their_own_and_other_types_are_scaled_to_255() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (2, 4, 3), dtype=np.uint8)
    rgb[0, 0] = 255
    parts = [squared_errors(rgb[..., channel], LABELS) for channel in range(3)]
    assert squared_errors(rgb, LABELS).total == pytest.approx(sum(part.total for part in parts))
    wide = squared_errors(rgb.astype(np.uint16) * 257, LABELS)
    assert wide.mean == pytest.approx(squared_errors(rgb, LABELS).mean)


def test_scikit_image_agrees() -> None:
    from skimage.metrics import mean_squared_error, peak_signal_noise_ratio

    image = np.random.default_rng(1).integers(0, 256, (2, 4), dtype=np.uint8)
    segmented = np.zeros(image.shape)
    for place in (LABELS == 0, LABELS == 1):
        segmented[place] = image[place].mean()
    found = squared_errors(image, LABELS)
    assert found.mean == pytest.approx(mean_squared_error(image.astype(float), segmented))
    expected = peak_signal_noise_ratio(image.astype(float), segmented, data_range=255)
    assert found.psnr_db == pytest.approx(expected)


def test_ignored_pixels_and_missing_images_do_not_count() -> None:
    image = np.array([[10, 14, 100, 100], [10, 14, 104, 255]], np.uint8)
    ignore = np.zeros(LABELS.shape, np.uint8)
    ignore[1, 3] = 1
    figures = score_image("a", LABELS, LABELS, ignore, image).figures()
    assert figures["mse"] == pytest.approx((16 + 32 / 3) / 7)
    without = score_image("b", LABELS, LABELS).figures()
    assert math.isnan(without["mse"])
    assert math.isnan(without["psnr_db"])
    assert score_images([("a", LABELS, LABELS, ignore, image), ("b", LABELS, LABELS)]).pooled.figures()[
        "mse"
    ] == pytest.approx(figures["mse"])


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="one size"):
        squared_errors(np.zeros((3, 3), np.uint8), LABELS)
