import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nucbatch.core.rle import runs_of
from nucbatch.masks.flow_endpoints import split_by_offsets
from nucbatch.masks.flows import REACH_PX, encoded, follow_flows


def follow(components, offsets):
    """Where each pixel arrives, as an image of linear indices; -1 outside of components."""
    flows = follow_flows(components, offsets, runs_of(components != 0))
    arrived = np.full(components.shape, -1, np.int64)
    arrived.ravel()[flows.pixels] = flows.pixels[flows.end]
    return arrived


def nuclei(shape: tuple[int, int], *discs: tuple[float, float, float]) -> NDArray[np.uint32]:
    """Labels of discs (y, x, radius), earlier ones on top."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.uint32)
    for number, (y, x, radius) in reversed(list(enumerate(discs, 1))):
        labels[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = number
    return labels


def offsets_of(labels: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """What a perfect network predicts (2, Y, X) uint8: the way to each nucleus' centre of mass."""
    rows, columns = np.indices(labels.shape)
    way = np.zeros((2, *labels.shape))
    for number in range(1, labels.max() + 1):
        own = labels == number
        way[0][own] = rows[own].mean() - rows[own]
        way[1][own] = columns[own].mean() - columns[own]
    return np.rint(encoded(way) * 255).astype(np.uint8)


def split(
    components: NDArray[np.uint32], offsets: NDArray[np.uint8], join: float, min_marker_px: int
) -> NDArray[np.uint32]:
    return split_by_offsets(components, offsets, runs_of(components != 0), join, min_marker_px)


def components_of(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return cc3d.connected_components(labels > 0, connectivity=4, out_dtype=np.uint32)


def assert_same_parts(found: NDArray[np.uint32], truth: NDArray[np.uint32]) -> None:
    pairs = np.unique(np.stack([found.ravel(), truth.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(truth)) == len(np.unique(found))


@pytest.mark.parametrize(
    "discs",
    [
        [(30, 20, 12), (30, 43, 12)],
        [(30, 20, 12), (30, 36, 12)],  # a third of each is hidden by the other
        [(30, 30, 20), (30, 52, 4)],  # a micronucleus
        [(14, 14, 8), (14, 29, 8), (29, 14, 8), (29, 29, 8)],  # four round one corner
        [(0, 0, 10), (0, 19, 10)],  # cut by the image's border
        [(70, 70, 65)],  # wider than one arrow reaches
    ],
)
def test_true_offsets_give_the_nuclei_back(discs: list[tuple[float, float, float]]) -> None:
    truth = nuclei((140, 140), *discs)
    assert_same_parts(split(components_of(truth), offsets_of(truth), 0.5, 4), truth)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 79), st.integers(0, 89), st.integers(4, 16)), min_size=1, max_size=12),
    st.integers(0, 2**32 - 1),
)
def test_whatever_the_arrows_every_pixel_of_a_component_gets_one_connected_label(
    discs: list[tuple[int, int, int]], seed: int
) -> None:
    components = components_of(nuclei((80, 90), *discs))
    offsets = np.random.default_rng(seed).integers(0, 256, (2, 80, 90), dtype=np.uint8)
    labels = split(components, offsets, 0.5, 6)
    np.testing.assert_array_equal(labels > 0, components > 0)
    for number in np.unique(labels)[1:]:
        own = labels == number
        assert len(np.unique(components[own])) == 1
        assert cc3d.connected_components(own, connectivity=4).max() == 1


def test_ends_of_arrows_are_one_nucleus_when_nearer_than_a_part_of_its_radius() -> None:
    whole = nuclei((60, 60), (30, 30, 20))
    halves = whole.copy()
    halves[:, 31:][halves[:, 31:] > 0] = 2
    arrows = offsets_of(halves)  # as from a network in two minds, ends about 17 px apart
    assert len(np.unique(split(whole, arrows, 0.5, 4))) == 3
    assert len(np.unique(split(whole, arrows, 1.5, 4))) == 2


def test_a_nucleus_that_few_pixels_point_to_is_shared_out_but_never_lost() -> None:
    labels = nuclei((40, 40), (20, 14, 10), (20, 27, 2))
    arrows = offsets_of(labels)
    small = int((labels == 2).sum())
    assert len(np.unique(split(components_of(labels), arrows, 0.5, small))) == 3
    assert len(np.unique(split(components_of(labels), arrows, 0.5, small + 1))) == 2
    alone = np.where(labels == 2, labels, 0).astype(np.uint32)
    np.testing.assert_array_equal(split(components_of(alone), arrows, 0.5, 999) > 0, alone > 0)


def test_an_arrow_never_leaves_its_component_nor_the_image() -> None:
    components = np.zeros((9, 40), np.uint32)
    components[:, :15], components[:, 20:] = 1, 2
    for value in (0, 255):
        arrived = follow(components, np.full((2, 9, 40), value, np.uint8))
        inside = components > 0
        assert (arrived[~inside] == -1).all()
        np.testing.assert_array_equal(components.ravel()[arrived[inside]], components[inside])


def test_offsets_are_held_to_a_quarter_of_a_pixel_and_longer_ones_keep_their_direction() -> None:
    way = np.array([[3.25, -31.0, 60.0], [-7.0, 2.0, 80.0]])[:, :, None]
    held = (np.rint(encoded(way) * 255) / 255 - 0.5) * 2 * REACH_PX
    np.testing.assert_allclose(held[:, :2], way[:, :2], atol=0.13)
    np.testing.assert_allclose(held[:, 2, 0], [0.6 * REACH_PX, 0.8 * REACH_PX], atol=0.13)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.integers(0, 300))
def test_where_in_an_image_nuclei_lie_changes_nothing(seed: int, down: int, right: int) -> None:
    rng = np.random.default_rng(seed)
    discs = [(*rng.uniform(14, 45, 2), rng.uniform(4, 12)) for _ in range(6)]
    components = components_of(nuclei((60, 60), *discs))
    offsets = np.clip(rng.normal(128, 12, (2, 60, 60)), 0, 255).astype(np.uint8)
    here = split(components, offsets, 0.8, 5)
    moved = ((down, 0), (right, 0))
    there = split(np.pad(components, moved), np.pad(offsets, ((0, 0), *moved)), 0.8, 5)
    np.testing.assert_array_equal(there[down:, right:], here)
