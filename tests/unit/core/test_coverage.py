"""Missing rows are distinguished from a clipped background, a mask and a dark picture."""

import json

import numpy as np
import pytest

from nucbatch.core.coverage import Coverage, largest_absent


def picture(lowest: int = 100, size: int = 200) -> np.ndarray:
    return np.random.default_rng(0).integers(lowest, lowest + 50, (size, size), dtype=np.uint16)


def absent(pixels: np.ndarray) -> float:
    return Coverage.of(pixels, len(pixels)).absent


@pytest.mark.parametrize("shape", [(200, 200), (200, 200, 3)])
def test_zero_rows_at_the_end_are_absent(shape: tuple[int, ...]) -> None:
    pixels = np.ones(shape, np.uint8)
    assert absent(pixels) == 0
    pixels.reshape(-1)[pixels.size // 2 :] = 0
    assert absent(pixels) == 0.5
    assert absent(np.zeros(shape, np.uint8)) == 1


@pytest.mark.parametrize("size", [40, 80, 200])
def test_the_row_in_which_zeros_begin_does_not_hide_them(size: int) -> None:
    pixels = picture(size=size)
    pixels.reshape(-1)[pixels.size * 7 // 8 + 1 :] = 0
    assert absent(pixels) == (size // 8 - 1) / size


def test_zero_rows_in_the_middle_are_absent() -> None:
    pixels = picture()
    pixels[40:60] = 0
    assert absent(pixels) == pytest.approx(0.1)


def test_a_clipped_background_is_valid_but_its_missing_half_is_detected() -> None:
    pixels = np.where(picture(0) > 30, picture(), 0).astype(np.uint8)
    pixels[-20:] = 0  # nothing lies there
    assert absent(pixels) == 0
    pixels[100:] = 0
    assert absent(pixels) == 0.5


def test_few_nuclei_on_black_are_not_reported() -> None:
    pixels = np.zeros((200, 200), np.uint8)
    pixels[10:30, 50:70] = 90
    pixels[40:60, 150:160] = 90
    assert absent(pixels) == 0


def test_a_round_mask_is_valid() -> None:
    y, x = np.mgrid[-100:100, -100:100]
    assert absent(np.where(y**2 + x**2 < 80**2, picture(), 0)) == 0
    letterbox = picture()
    letterbox[:10] = letterbox[-15:] = 0
    assert absent(letterbox) == 0


def test_missing_chunks_count_as_absent() -> None:
    some = Coverage.of(picture(), 200, missing=picture().size // 4)
    assert some.absent == 0.25
    assert largest_absent([Coverage.of(picture(), 200), some]) == 0.25
    assert largest_absent([]) == 0


def test_coverage_of_parts_adds_up_and_survives_json() -> None:
    pixels = picture()
    pixels[:, 90:] //= 200
    pixels[120:] = 0
    whole = Coverage.of(pixels, 200, missing=40)
    parts = [
        Coverage.of(pixels[rows, columns], 200, rows.start, missing)
        for rows, missing in ((slice(0, 77), 20), (slice(77, 200), 0))
        for columns in (slice(0, 90), slice(90, 200))
    ]
    total = sum(parts[1:], parts[0])
    assert total.to_values() == whole.to_values()
    assert total.absent == whole.absent > 0.3
    assert Coverage.from_values(json.loads(json.dumps(total.to_values()))).to_values() == total.to_values()
