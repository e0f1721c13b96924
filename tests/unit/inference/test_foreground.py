"""Normalisation by foreground: one nucleus in a large field and a field full of nuclei are scaled alike."""

import numpy as np
import pytest
from numpy.typing import NDArray

from nucbatch.core.settings import NormaliseSettings
from nucbatch.inference.foreground import limits
from nucbatch.inference.normalise import find_constants

SETTINGS = NormaliseSettings(method="foreground")
GROUND, SIGMA, CONTRAST = 400, 12, 900


def field(side: int, share: float, seed: int = 0, radius: float = 10.0) -> NDArray[np.uint16]:
    """Draws nuclei of different brightness, at least one, on a noisy background."""
    rng = np.random.default_rng(seed)
    image = rng.normal(GROUND, SIGMA, (side, side))
    pitch = max(2 * radius + 1, np.sqrt(np.pi * radius**2 / share))
    middles = np.arange(pitch / 2, side - pitch / 2 + 1, pitch) if share > 1e-3 else [side / 2]
    y, x = np.mgrid[-12:13, -12:13]
    nucleus = 1 / (1 + np.exp(1.5 * (np.hypot(y, x) - radius)))
    levels = rng.lognormal(0, 0.2, len(middles) ** 2) if share > 1e-3 else np.ones(1)
    for level, (row, column) in zip(
        levels, ((int(row), int(column)) for row in middles for column in middles), strict=True
    ):
        place = np.s_[max(row - 12, 0) : row + 13, max(column - 12, 0) : column + 13]
        part = nucleus[: image[place].shape[0], : image[place].shape[1]]
        image[place] += CONTRAST * level * part
    return np.clip(np.rint(image), 0, 65535).astype(np.uint16)


def relative(image: NDArray[np.generic]) -> tuple[float, float]:
    """Returns the normalised values of the background and of a typical nucleus."""
    constants = find_constants(image, SETTINGS)
    width = constants.high - constants.low
    return (GROUND - constants.low) / width, (GROUND + CONTRAST - constants.low) / width


@pytest.mark.parametrize(("side", "share"), [(2048, 1e-4), (640, 1e-4), (640, 0.05), (512, 0.3), (512, 0.6)])
def test_one_nucleus_and_sixty_percent_of_them_are_scaled_alike(side: int, share: float) -> None:
    ground, nucleus = relative(field(side, share))
    assert 0 <= ground < 0.06
    assert 0.55 < nucleus < 0.8


def test_percentiles_saturate_where_few_pixels_are_nuclei() -> None:
    constants = find_constants(field(640, 1e-4), NormaliseSettings(method="percentiles"))
    assert constants.high < GROUND + CONTRAST / 4


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_debris_fifteen_times_as_bright_leaves_the_nuclei_visible(share: float) -> None:
    image = field(512, share)
    image[:32, :32] = GROUND + 15 * CONTRAST  # 0.4 % of the pixels
    assert relative(image)[1] > 0.45


def test_hot_and_dead_pixels_move_nothing() -> None:
    image = field(640, 0.02)
    spoilt = image.copy()
    spoilt[5, 10:16], spoilt[9, 10:16] = 65535, 0
    clean, seen = find_constants(image, SETTINGS), find_constants(spoilt, SETTINGS)
    assert seen.low == pytest.approx(clean.low, abs=1)
    assert seen.high == pytest.approx(clean.high, rel=0.02)


def test_noise_alone_is_not_stretched_to_less_than_its_own_range() -> None:
    image = np.random.default_rng(0).normal(GROUND, SIGMA, (512, 512)).round().astype(np.uint16)
    constants = find_constants(image, SETTINGS)
    assert constants.low < GROUND - 2 * SIGMA
    assert constants.high > GROUND + 3.5 * SIGMA


def test_a_few_dark_nuclei_on_a_bright_ground_are_scaled_to_their_own_depth() -> None:
    dark = 1600 - field(640, 1e-4).astype(np.int64)
    constants = find_constants(dark.astype(np.uint16), SETTINGS)
    assert constants.low < 1600 - GROUND - 0.9 * CONTRAST
    assert 1600 - GROUND < constants.high < 1600 - GROUND + 6 * SIGMA


def test_sparse_grey_levels_give_the_scaled_constants() -> None:
    image = (field(256, 0.1) // 4).astype(np.uint16)
    one, sixteen = find_constants(image, SETTINGS), find_constants(image * np.uint16(16), SETTINGS)
    assert (sixteen.low, sixteen.high) == pytest.approx((16 * one.low, 16 * one.high), rel=1e-12)
    eighth = find_constants(image.astype(np.float32) / 8, SETTINGS)
    assert (eighth.low, eighth.high) == pytest.approx((one.low / 8, one.high / 8), rel=1e-6)


def test_a_drawing_of_two_levels_becomes_nought_and_one() -> None:
    levels, counts = np.array([0.0, 255.0]), np.array([600, 400])
    assert limits(levels, counts) == limits(levels, counts[::-1]) == (0, 255)
