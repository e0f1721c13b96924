"""Outlines along pixel edges: filled again they are the masks, whatever the shapes, and rings are simple."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.draw import polygon2mask

from nucbatch.masks.outlines import Outline, fill, outlines_of, signed_area

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def rings(outline: Outline) -> list[npt.NDArray[np.int64]]:
    return [ring for part in outline.parts for ring in part]


@given(arrays(np.uint32, SHAPES, elements=st.integers(0, 2)))
def test_outlines_filled_again_are_the_labels(labels: npt.NDArray[np.uint32]) -> None:
    drawn = np.zeros_like(labels)
    for outline in outlines_of(labels):
        drawn[fill(rings(outline), labels.shape)] = outline.label
    assert np.array_equal(drawn, labels)


@given(arrays(np.uint32, SHAPES, elements=st.integers(0, 1)))
def test_rings_are_simple_and_outer_ones_run_counterclockwise(labels: npt.NDArray[np.uint32]) -> None:
    for outline in outlines_of(labels):
        for outer, *holes in outline.parts:
            assert signed_area(outer) > 0
            whole = fill([outer], labels.shape)
            for hole in holes:
                assert signed_area(hole) < 0
                assert not (fill([hole], labels.shape) & ~whole).any()
        for ring in rings(outline):
            assert len(np.unique(ring, axis=0)) == len(ring)
            ahead, behind = np.roll(ring, -1, axis=0) - ring, ring - np.roll(ring, 1, axis=0)
            assert (np.count_nonzero(ahead, axis=1) == 1).all()  # along pixel edges
            assert (np.count_nonzero(ahead, axis=1) & ~(ahead * behind).any(axis=1)).all()  # corners alone


def test_fill_agrees_with_scikit_image_on_polygons_of_any_slope() -> None:
    generator = np.random.default_rng(1)
    for _ in range(50):
        corners = generator.uniform(-4, 24, (generator.integers(3, 8), 2))
        judged = polygon2mask((20, 20), corners[:, ::-1] - 0.5)
        assert np.array_equal(fill([corners], (20, 20)), judged)


def test_a_hole_follows_the_ring_around_it_and_a_nucleus_in_it_has_its_own() -> None:
    labels = np.zeros((9, 9), np.uint32)
    labels[1:8, 1:8], labels[3:6, 3:6], labels[4, 4] = 3, 0, 9
    ring, island = outlines_of(labels, (100, 200))
    assert (ring.label, island.label) == (3, 9)
    ((outer, hole),) = ring.parts
    assert outer.tolist() == [[201, 101], [208, 101], [208, 108], [201, 108]]
    assert sorted(hole.tolist()) == [[203, 103], [203, 106], [206, 103], [206, 106]]
    assert island.parts[0][0].tolist() == [[204, 104], [205, 104], [205, 105], [204, 105]]


@pytest.mark.parametrize("label", [1, 2**32 - 1])
def test_labels_of_32_bits_are_kept(label: int) -> None:
    assert [one.label for one in outlines_of(np.full((2, 2), label, np.uint32))] == [label]
