"""Pieces of one nucleus are merged, and nuclei that touch are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.segmentation import relabel_sequential

from nucbatch.core.rle import runs_of
from nucbatch.core.settings import ObjectSettings
from nucbatch.masks.flows import encoded
from nucbatch.masks.merge import NEVER, merge_cut_nuclei
from nucbatch.masks.objects import find_nuclei


def ellipse(shape: tuple[int, int], y: float, x: float, a: float, b: float) -> NDArray[np.bool_]:
    rows, columns = np.indices(shape)
    return ((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 <= 1


def maps_of(nuclei: list[NDArray[np.bool_]], centres: list[list[tuple[float, float]]]) -> NDArray[np.uint8]:
    """Maps of a network that sees each nucleus' outline, with offsets to the nearest of its centres."""
    shape = nuclei[0].shape
    foreground, interior = np.zeros(shape), np.zeros(shape)
    offsets = np.zeros((2, *shape))
    rows, columns = np.indices(shape)
    for nucleus, ends in zip(nuclei, centres, strict=True):
        depth = distance_transform_edt(nucleus)
        foreground[nucleus] = 1
        interior[nucleus] = (depth / depth.max())[nucleus]
        to = np.stack([np.stack([y - rows, x - columns]) for y, x in ends])
        nearest = np.argmin((to**2).sum(axis=1), axis=0)
        chosen = np.take_along_axis(to, nearest[None, None], axis=0)[0]
        offsets[:, nucleus] = chosen[:, nucleus]
    maps = np.stack([foreground, interior, *encoded(offsets)])
    return np.rint(maps * 255).astype(np.uint8)


SETTINGS = ObjectSettings(foreground=0.5, join=0.5, peak=0.5, min_area_px=9)


def count(maps: NDArray[np.uint8], merge: float) -> int:
    return int(find_nuclei(maps, SETTINGS.model_copy(update={"merge": merge})).max())


def test_an_elongated_nucleus_that_was_cut_is_one_again() -> None:
    long = ellipse((60, 90), 30, 45, 9, 34)
    maps = maps_of([long], [[(30, 27), (30, 63)]])
    assert (count(maps, 1.0), count(maps, 0.6)) == (2, 1)


@pytest.mark.parametrize("gap", [0, 2, 4])
def test_nuclei_that_touch_stay_two(gap: int) -> None:
    left, right = ellipse((60, 90), 30, 28, 14, 16), ellipse((60, 90), 30, 60 - gap, 14, 16)
    maps = maps_of([left & ~right, right], [[(30, 26)], [(30, 60 - gap)]])
    assert count(maps, 1.0) == count(maps, 0.6) == 2


def test_a_lobed_nucleus_is_one_and_a_mitotic_pair_is_two() -> None:
    lobed = ellipse((60, 110), 30, 30, 13, 16) | ellipse((60, 110), 34, 50, 12, 15)
    one, other = ellipse((60, 110), 30, 80, 14, 6), ellipse((60, 110), 30, 92, 14, 6)
    maps = maps_of([lobed, one & ~other, other], [[(30, 28), (34, 52)], [(30, 79)], [(30, 93)]])
    assert (count(maps, 1.0), count(maps, 0.6)) == (4, 3)


def plainly(labels: NDArray[np.uint32], interior: NDArray[np.uint8], merge: int) -> NDArray[np.uint32]:
    """Pair by pair, until nothing changes."""
    peaks = {int(one): int(interior[labels == one].max()) for one in np.unique(labels)}
    merged = labels.copy()
    for axis in (0, 1):
        before = [slice(None, -1) if axis == at else slice(None) for at in (0, 1)]
        after = [slice(1, None) if axis == at else slice(None) for at in (0, 1)]
        one, other = labels[*before].ravel(), labels[*after].ravel()
        border = np.minimum(interior[*before], interior[*after]).ravel().astype(int)
        for a, b, value in zip(one.tolist(), other.tolist(), border.tolist(), strict=True):
            if a and b and a != b and value * 255 > merge * min(peaks[a], peaks[b]):
                at = [int(merged[labels == side][0]) for side in (a, b)]
                merged[merged == max(at)] = min(at)
    return merged


@given(st.integers(0, 2**32 - 1), st.integers(1, NEVER), st.integers(1, 12), st.integers(1, 12))
def test_the_kernel_does_what_the_rule_says(seed: int, merge: int, height: int, width: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 5, (height, width)).repeat(2, 0).repeat(2, 1).astype(np.uint32)
    labels = relabel_sequential(labels)[0].astype(np.uint32)
    interior = random.integers(0, 256, labels.shape).astype(np.uint8)
    found = merge_cut_nuclei(labels, interior, runs_of(labels != 0), merge)
    expected = plainly(labels, interior, merge)
    np.testing.assert_array_equal(found == 0, labels == 0)
    pairs = set(zip(found.ravel().tolist(), expected.ravel().tolist(), strict=True))
    assert len(pairs) == len(np.unique(found)) == len(np.unique(expected))


def test_labels_of_an_image_one_pixel_wide_are_merged_like_those_of_one_row():
    labels, interior = np.array([[1, 1, 2, 2]], np.uint32), np.array([[90, 200, 200, 90]], np.uint8)
    row = merge_cut_nuclei(labels, interior, runs_of(labels != 0), 128)
    column = merge_cut_nuclei(labels.T.copy(), interior.T.copy(), runs_of(labels.T != 0), 128)
    assert row.tolist() == column.T.tolist() == [[1, 1, 1, 1]]
