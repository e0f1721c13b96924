"""Counts of grey levels: parts add up to the whole exactly, and a histogram survives a file or a worker."""

import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nucbatch.core.errors import InputError
from nucbatch.core.grey_levels import GreyLevels, countable

PIXELS = st.sampled_from([np.uint8, np.uint16]).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=1, max_dims=3, max_side=12))
)


@settings(deadline=None)  # the first one compiles
@given(PIXELS)
def test_statistics_equal_numpys(pixels: np.ndarray) -> None:
    levels = GreyLevels.of(pixels)
    np.testing.assert_array_equal(
        levels.counts, np.bincount(pixels.ravel(), minlength=np.iinfo(pixels.dtype).max + 1)
    )
    assert levels.dtype == pixels.dtype
    assert levels.size == pixels.size
    assert (levels.minimum, levels.maximum) == (pixels.min(), pixels.max())
    assert levels.total == pixels.sum(dtype=np.int64)
    assert levels.squares == (pixels.astype(np.int64) ** 2).sum()
    ordered = np.sort(pixels, axis=None).tolist()
    assert [levels.at_rank(rank) for rank in range(1, pixels.size + 1)] == ordered


@given(PIXELS, st.data())
def test_counts_of_parts_add_up_in_any_order(pixels: np.ndarray, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(pixels)))))  # parts of one row and of none, too
    parts = data.draw(st.permutations(np.split(pixels, cuts)))
    summed = sum(map(GreyLevels.of, parts), start=GreyLevels.none(pixels.dtype))
    assert summed == GreyLevels.of(pixels)


@given(PIXELS)
def test_counts_survive_bytes_and_pickle(pixels: np.ndarray) -> None:
    levels = GreyLevels.of(pixels)
    assert GreyLevels.from_bytes(levels.to_bytes()) == levels
    sent = pickle.loads(pickle.dumps(levels))
    assert sent == levels
    assert hash(sent) == hash(levels)
    assert not sent.counts.flags.writeable


def test_memory_layout_has_no_effect() -> None:
    pixels = np.random.default_rng(0).integers(0, 60000, (9, 14, 3), np.uint16)
    levels = GreyLevels.of(pixels)
    assert GreyLevels.of(np.asfortranarray(pixels)) == levels
    assert GreyLevels.of(pixels.astype(">u2")) == levels
    assert GreyLevels.of(pixels[::-1, ::2]) + GreyLevels.of(pixels[:, 1::2]) == levels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_empty_histogram_is_neutral_and_has_no_rank(dtype: type[np.generic]) -> None:
    none = GreyLevels.none(dtype)
    levels = GreyLevels.of(np.array([3, 5], dtype))
    assert none + levels == levels + none == levels
    assert (none.size, none.total, none.squares) == (0, 0, 0)
    assert GreyLevels.of(np.zeros((0, 4), dtype)) == GreyLevels.from_bytes(none.to_bytes()) == none
    with pytest.raises(InputError, match="at least one pixel"):
        _ = none.maximum
    for rank in (0, 3):
        with pytest.raises(InputError, match="is out of range for 2 pixels"):
            levels.at_rank(rank)


def test_sums_exceed_64_bits() -> None:
    counts = np.zeros(65536, np.int64)
    counts[65535] = 10**11
    assert GreyLevels(counts).squares == 65535**2 * 10**11 > 2**63


def test_counts_are_copied_and_immutable() -> None:
    counts = np.zeros(256, np.int64)
    levels = GreyLevels(counts)
    counts[0] = 1
    assert levels == GreyLevels.none(np.uint8)
    with pytest.raises(ValueError, match="read-only"):
        levels.counts[0] = 1


@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.float32, np.bool_])
def test_other_pixel_types_are_rejected(dtype: type[np.generic]) -> None:
    assert not countable(dtype)
    with pytest.raises(InputError, match=r"must be uint8 or uint16\. Convert"):
        GreyLevels.of(np.zeros((2, 2), dtype))


def test_histograms_of_two_pixel_types_are_not_added() -> None:
    with pytest.raises(InputError, match="uint8 and uint16 pixels can't be added"):
        GreyLevels.none(np.uint8) + GreyLevels.none(np.uint16)


@pytest.mark.parametrize(
    "counts",
    [np.zeros(255, np.int64), np.zeros((2, 128), np.int64), np.zeros(256), np.full(256, -1)],
)
def test_invalid_counts_are_rejected(counts: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"GreyLevels\.of\(pixels\)"):
        GreyLevels(counts)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[:-4] + b"abcd"]
)
def test_damaged_bytes_are_rejected(damage: Callable[[bytes], bytes]) -> None:
    data = GreyLevels.of(np.arange(200, dtype=np.uint8)).to_bytes()
    with pytest.raises(InputError, match="damaged"):
        GreyLevels.from_bytes(damage(data))
