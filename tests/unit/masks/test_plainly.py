"""What the kernels do on lists and runs of pixels is what plain definitions say of whole images."""

import cc3d
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter, label

from nucbatch.core.rle import Runs, runs_of
from nucbatch.masks.components import components_of
from nucbatch.masks.fill import LARGEST_HOLE_PX, fill_holes
from nucbatch.masks.flood import flood, grow
from nucbatch.masks.flow_endpoints import split_by_offsets
from nucbatch.masks.flows import STEPS, follow_flows
from nucbatch.masks.pieces import in_one_piece
from nucbatch.masks.small_objects import drop_small_objects

PLUS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.bool_)

drawn = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**32 - 1)
blurs = st.sampled_from([0.3, 0.7, 1.5, 4.0])
lengths = st.integers(1, 90)


def follow(components, offsets):
    """Where each pixel arrives, as an image of linear indices; -1 outside of components."""
    flows = follow_flows(components, offsets, runs_of(components != 0))
    arrived = np.full(components.shape, -1, np.int64)
    arrived.ravel()[flows.pixels] = flows.pixels[flows.end]
    return arrived


def mask(rng: np.random.Generator, shape: tuple[int, int], blur: float) -> NDArray[np.bool_]:
    field = gaussian_filter(rng.normal(size=shape), blur)
    return np.asarray(field > rng.uniform(-1, 1) * field.std())


def patches(rng: np.random.Generator, shape: tuple[int, int], blur: float) -> NDArray[np.uint32]:
    """Few labels, each in many pieces that touch."""
    kinds = sum(mask(rng, shape, blur).astype(np.uint32) << bit for bit in range(2))
    return np.asarray(kinds, np.uint32)


def step_by_step(components: NDArray[np.uint32], offsets: NDArray[np.uint8], y: int, x: int) -> int:
    height, width = components.shape
    for _ in range(STEPS):
        dy, dx = (int(np.rint((int(o) / 255 - 0.5) * 64)) for o in offsets[:, y, x])
        while dy or dx:
            to = min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)
            if components[to] == components[y, x]:
                y, x = to
                break
            dy, dx = int(dy / 2), int(dx / 2)
    return y * width + x


def assert_runs_of(runs: Runs, labels: NDArray[np.uint32]) -> None:
    expected = runs_of(labels != 0)
    np.testing.assert_array_equal(runs.begin, expected.begin)
    np.testing.assert_array_equal(runs.end, expected.end)


@drawn
@given(seeds, blurs, st.integers(1, 30), st.integers(1, 30), st.sampled_from([2, 8, 80]))
def test_flows_followed_by_doubling_end_where_single_steps_end(
    seed: int, blur: float, height: int, width: int, spread: int
) -> None:
    rng = np.random.default_rng(seed)
    components = cc3d.connected_components(
        mask(rng, (height, width), blur), connectivity=4, out_dtype=np.uint32
    )
    offsets = np.clip(rng.normal(128, spread, (2, height, width)), 0, 255).astype(np.uint8)
    arrived = follow(components, offsets)
    for y, x in np.argwhere(components).tolist():
        assert arrived[y, x] == step_by_step(components, offsets, y, x)
    assert (arrived[components == 0] == -1).all()


def plainly_filled(labels: NDArray[np.uint32], oversized: NDArray[np.bool_]) -> NDArray[np.uint32]:
    filled = labels.copy()
    ground, count = label(labels == 0, np.ones((3, 3)))
    for number in range(1, count + 1):
        hole = ground == number
        rows, columns = np.nonzero(hole)
        around = np.unique(labels[binary_dilation(hole, PLUS) & ~hole])
        if min(rows.min(), columns.min()) == 0 or rows.max() == labels.shape[0] - 1:
            continue
        if columns.max() == labels.shape[1] - 1 or max(np.ptp(rows), np.ptp(columns)) >= LARGEST_HOLE_PX:
            continue
        if len(around) == 1 and not oversized[around[0]]:
            filled[hole] = around[0]
    return filled


@drawn
@given(seeds, blurs, lengths, lengths)
def test_holes_are_filled_as_defined_whatever_the_labels(
    seed: int, blur: float, height: int, width: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = patches(rng, (height, width), blur)
    labels[mask(rng, labels.shape, 0.7)] = 1  # much of one label, with holes
    oversized = np.array([False, False, False, True])
    filled = labels.copy()
    assert_runs_of(fill_holes(filled, runs_of(labels != 0), oversized), filled)
    np.testing.assert_array_equal(filled, plainly_filled(labels, oversized))


@drawn
@given(seeds, blurs, lengths, lengths)
def test_dropped_objects_are_small_or_unsure_and_never_oversized(
    seed: int, blur: float, height: int, width: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = patches(rng, (height, width), blur)
    interior = rng.integers(0, 256, labels.shape, np.uint8)
    oversized = rng.random(4) < 0.2
    area, peak = int(rng.integers(1, 50)), int(rng.integers(200, 256))
    nucleus = int(rng.integers(0, 80))
    certain = {
        n: (labels == n).sum() >= area and interior[labels == n].max(initial=0) >= peak for n in range(1, 4)
    }
    kept = [
        (labels == n) * n
        for n in range(1, 4)
        if oversized[n] or (certain[n] and (labels == n).sum() >= nucleus)
    ]
    small = [n for n in range(1, 4) if certain[n] and not oversized[n] and (labels == n).sum() < nucleus]
    first = [np.flatnonzero(labels.ravel() == n)[0] for n in small]
    runs, micronuclei = drop_small_objects(
        labels, runs_of(labels != 0), interior, oversized, area, peak, nucleus
    )
    assert_runs_of(runs, labels)
    assert micronuclei.tolist() == first
    np.testing.assert_array_equal(labels, sum(kept, np.zeros(labels.shape, np.uint32)))


@drawn
@given(seeds, blurs, lengths, lengths)
def test_components_are_numbered_by_their_first_pixels_and_boxed(
    seed: int, blur: float, height: int, width: int
) -> None:
    inside = mask(np.random.default_rng(seed), (height, width), blur)
    found = components_of(inside)
    expected, count = label(inside, PLUS)
    firsts = np.unique(expected, return_index=True)[1] if count else []
    order = np.argsort(firsts[-count:]) + 1 if count else []
    for number, other in enumerate(order, start=1):
        np.testing.assert_array_equal(found.labels == number, expected == other)
        rows, columns = np.nonzero(expected == other)
        box = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        assert tuple(found.boxes[number]) == box
    assert found.count == count == found.labels.max(initial=0)


@drawn
@given(seeds, blurs, lengths, lengths)
def test_pieces_are_the_largest_the_first_of_equals_and_grow_as_a_flood_of_level_ground(
    seed: int, blur: float, height: int, width: int
) -> None:
    rng = np.random.default_rng(seed)
    inside = mask(rng, (height, width), blur)
    labels = patches(rng, inside.shape, 0.5) * inside
    components = cc3d.connected_components(inside, connectivity=4, out_dtype=np.uint32)
    flows = follow_flows(components, np.full((2, height, width), 128, np.uint8), runs_of(inside))
    found = in_one_piece(labels[inside], components, flows.pixels, flows.place)
    kept = np.zeros_like(labels)
    for number in range(1, 4):
        pieces, count = label(labels == number, PLUS)
        if count:
            kept[pieces == np.bincount(pieces.ravel())[1:].argmax() + 1] = number
    np.testing.assert_array_equal(found, flood(kept, np.zeros(inside.shape, np.uint8), inside))
    np.testing.assert_array_equal(found, grow(kept, inside, inside.size))


def test_arrows_that_end_beside_each_other_in_two_components_are_two_nuclei() -> None:
    components = np.zeros((8, 8), np.uint32)
    components[:4, :4], components[4:, 4:] = 1, 2  # they touch at a corner
    rows, columns = np.indices(components.shape)
    to = np.where(components == 1, 3, 4)
    offsets = np.rint((np.stack([to - rows, to - columns]) / 64 + 0.5) * 255).astype(np.uint8)
    assert follow(components, offsets)[components == 1].tolist() == [27] * 16
    labels = split_by_offsets(components, offsets, runs_of(components != 0), 0, 1)
    assert len(np.unique(labels[components == 1])) == len(np.unique(labels[components == 2])) == 1
    assert len(np.unique(labels)) == 3
