"""Whatever the blocks, the nuclei are bit for bit those of the image in one piece, on purpose-made shapes."""

from dataclasses import astuple

import cc3d
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import find_objects, gaussian_filter
from skimage.measure import label as components
from skimage.segmentation import relabel_sequential

from nucbatch.core.settings import ObjectSettings
from nucbatch.core.tiles import Box, block_grid
from nucbatch.masks import objects, parts
from nucbatch.masks.block import BlockNuclei, nuclei_of_block
from nucbatch.masks.objects import find_nuclei
from nucbatch.masks.seams import unite

SETTINGS = ObjectSettings(foreground=0.5, interior=0.5, peak=0.3, min_area_px=6, merge=0.6)
SIZES = (128, 192, 256, 512, 1024, 4096)

Maps = NDArray[np.uint8]


def joined(
    maps: Maps, block_px: int, settings: ObjectSettings = SETTINGS, seed: int = 0
) -> NDArray[np.uint32]:
    """Labels (Y, X), put together from blocks that were found in a drawn order."""
    shape = maps.shape[-2:]
    grid = block_grid(shape, block_px)
    places = [(row, column) for row in range(grid.shape[0]) for column in range(grid.shape[1])]
    found: dict[tuple[int, int], BlockNuclei] = {}
    for index in np.random.default_rng(seed).permutation(len(places)):
        box = grid.box(*places[index])
        found[places[index]] = nuclei_of_block(lambda b: maps[:, *b.slices], box, shape, settings)

    def label_at(pixel: int) -> tuple[tuple[int, int], int]:
        y, x = divmod(pixel, shape[1])
        place = grid.at(y, x)
        box = grid.box(*place)
        return place, int(found[place].labels[y - box.y0, x - box.x0])

    oversized = unite({place: one.pieces for place, one in found.items() if one.pieces}, label_at)
    keys = {place: one.keys.copy() for place, one in found.items()}
    for joined in oversized:
        for place, number in joined.members:
            keys[place][number - 1] = joined.key
    owned = [one.owned for one in found.values()] + [[joined.key for joined in oversized if joined.key >= 0]]
    every = np.sort(np.concatenate(owned).astype(np.int64))
    assert len(np.unique(every)) == len(every)  # each once
    labels = np.zeros(shape, np.uint32)
    for place, one in found.items():
        numbers = np.searchsorted(every, keys[place]) + 1
        numbers[keys[place] < 0] = 0
        labels[grid.box(*place).slices] = np.concatenate([[0], numbers])[one.labels]
    whole = regions(labels)
    for one in found.values():  # listed objects are known with all of their pixels
        np.testing.assert_array_equal(one.boxes, whole[np.searchsorted(every, one.owned)])
    for joined in oversized:
        if joined.key >= 0:
            assert astuple(joined.box) == tuple(whole[np.searchsorted(every, joined.key)])
            assert joined.area_px == (labels == np.searchsorted(every, joined.key) + 1).sum()
    return labels


def regions(labels: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Bounding boxes (N, 4) of the labels 1..N: y0, x0, y1, x1."""
    boxes = [(y.start, x.start, y.stop, x.stop) for y, x in find_objects(labels.astype(np.int64))]
    return np.array(boxes, np.int64).reshape(-1, 4)


def agrees(maps: Maps, sizes: tuple[int, ...] = SIZES, settings: ObjectSettings = SETTINGS) -> int:
    """Holds every block size against the image in one piece; returns the number of nuclei."""
    whole = find_nuclei(maps, settings)
    for block_px in sizes:
        labels = joined(maps, block_px, settings, seed=block_px)
        np.testing.assert_array_equal(labels, whole, err_msg=f"blocks of {block_px} px")
    return int(whole.max())


def flat(mask: NDArray[np.bool_]) -> Maps:
    """Foreground and interior that are sure of a mask: each component of it is one object."""
    return np.stack([mask, mask]).astype(np.uint8) * 255


def discs(shape: tuple[int, int], places: list[tuple[float, float, float]]) -> NDArray[np.bool_]:
    """Discs of (y, x, radius)."""
    mask = np.zeros(shape, np.bool_)
    for y, x, radius in places:
        rows, columns = np.ogrid[: shape[0], : shape[1]]
        mask |= (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    return mask


def spiral(size: int, pitch: int, thick: int) -> NDArray[np.bool_]:
    """One arm that winds outwards, with a gap of ``pitch - thick`` px."""
    mask = np.zeros((size, size), np.bool_)
    y = x = size // 2
    length, direction = pitch, 0
    while 0 < length < size - 2 * thick:
        dy, dx = ((0, 1), (1, 0), (0, -1), (-1, 0))[direction % 4]
        for _ in range(length):
            mask[max(y, 0) : y + thick, max(x, 0) : x + thick] = True
            y, x = y + dy, x + dx
        direction += 1
        length += pitch // 2 * (direction % 2 == 0) * 2
    return mask


def test_a_nucleus_on_the_corner_of_four_blocks_is_one() -> None:
    assert agrees(flat(discs((300, 300), [(128, 128, 20), (256, 256, 9), (128, 256, 5)]))) == 3


def test_nuclei_at_the_borders_of_image_and_blocks() -> None:
    places = [(0, 0, 12), (0, 128, 12), (127, 0, 12), (299, 411, 15), (128, 411, 9), (299, 200, 7)]
    assert agrees(flat(discs((300, 412), places))) == 6


def test_an_island_in_a_hole_keeps_it_open_for_a_block_that_only_the_ring_touches() -> None:
    ring = discs((300, 300), [(100, 140, 40)]) & ~discs((300, 300), [(100, 140, 28)])
    assert agrees(flat(ring)) == 1
    assert agrees(flat(ring | discs((300, 300), [(100, 150, 5)]))) == 2


def test_nuclei_beside_what_the_margin_cuts_are_the_same() -> None:
    bar = np.zeros((700, 700), np.bool_)
    bar[5:690, 330:338] = True  # larger than any part, and beyond the first blocks, if within their margins
    assert agrees(flat(bar | discs((700, 700), [(100, 250, 9), (256, 310, 12), (400, 350, 10)]))) == 4


def test_nuclei_one_pixel_apart_stay_apart_across_a_face() -> None:
    mask = np.zeros((300, 400), np.bool_)
    mask[20:60, 100:127] = mask[20:60, 128:160] = True  # the gap is column 127, beside the face at 128
    mask[100:127, 20:60] = mask[128:150, 20:60] = True
    mask[200:220, 100:128] = mask[220:240, 128:160] = True  # these touch at a corner only
    assert agrees(flat(mask)) == 6


def test_a_hole_that_crosses_a_corner_is_filled_and_a_large_one_is_not() -> None:
    mask = discs((400, 400), [(128, 128, 30), (260, 260, 60)])
    mask &= ~discs(mask.shape, [(128, 128, 15)]) & ~discs(mask.shape, [(260, 260, 40)])
    mask |= discs(mask.shape, [(260, 256, 6)])  # an island in the large one
    assert agrees(flat(mask)) == 3
    whole = find_nuclei(flat(mask), SETTINGS)
    assert whole[128, 128] == whole[128, 105]
    assert whole[280, 260] == 0


def test_a_ring_across_many_blocks_is_one_object() -> None:
    mask = discs((900, 900), [(450, 450, 400)]) & ~discs((900, 900), [(450, 450, 392)])
    mask |= discs(mask.shape, [(450, 450, 30), (300, 600, 20)])
    assert agrees(flat(mask), (128, 256, 512, 1024)) == 3


def test_a_spiral_is_one_object_and_so_are_two_that_wind_into_each_other() -> None:
    arm = spiral(800, 40, 8)
    assert components(arm, connectivity=1).max() == 1
    assert agrees(flat(arm), (128, 256, 512)) == 1
    second = np.roll(arm, (20, 20), axis=(0, 1)) & ~gaussian_filter(arm.astype(np.float32), 2).astype(bool)
    agrees(flat(arm | second), (128, 256))


def test_a_comb_is_one_object_though_its_teeth_meet_only_at_the_far_end() -> None:
    mask = np.zeros((700, 900), np.bool_)
    mask[10:690, 10:890:30] = mask[10:690, 11:890:30] = mask[10:690, 12:890:30] = True
    mask[680:690, 10:890] = True
    assert agrees(flat(mask), (128, 256, 512)) == 1


def test_an_object_over_thirty_blocks_is_counted_once() -> None:
    mask = np.zeros((800, 900), np.bool_)
    mask[40:700, 50:820] = True
    mask[300:340, 300:340] = False
    assert agrees(flat(mask), (128, 256, 1024)) == 1  # 128 px: 6 by 7 blocks


def test_objects_larger_than_any_nucleus_are_left_out_whatever_the_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(objects, "LARGEST_OBJECT_PX", 600)
    monkeypatch.setattr("nucbatch.masks.seams.LARGEST_OBJECT_PX", 600)
    mask = np.zeros((300, 900), np.bool_)
    mask[20:40, 5:800] = True  # 795 px
    mask[60:80, 5:500] = True
    assert agrees(flat(mask), (128, 256, 512)) == 1


def test_confluent_foreground_falls_into_its_interiors() -> None:
    rng = np.random.default_rng(3)
    centres = [
        (y + rng.uniform(-4, 4), x + rng.uniform(-4, 4))
        for y in range(20, 700, 26)
        for x in range(20, 700, 26)
    ]
    foreground = np.full((700, 700), 255, np.uint8)
    interior = discs(foreground.shape, [(y, x, 7) for y, x in centres])
    maps = np.stack([foreground, interior.astype(np.uint8) * 255])
    assert agrees(maps, (128, 256, 512, 1024)) == len(centres)
    assert (find_nuclei(maps, SETTINGS) > 0).all()  # all of it is grown over


def test_objects_that_keep_their_distance_are_what_a_plain_labelling_finds() -> None:
    rng = np.random.default_rng(11)
    mask = gaussian_filter(rng.normal(size=(700, 500)), 6) > 0.05
    mask &= ~discs(mask.shape, [(350, 250, 2)])
    settings = SETTINGS.model_copy(update={"peak": 0.0, "min_area_px": 1})
    plain = components(mask, connectivity=1)
    labels = joined(flat(mask), 128, settings)
    np.testing.assert_array_equal(labels * mask, relabel_sequential(labels * mask)[0])
    for number in np.unique(plain[plain > 0]):  # a component is one object: nothing is cut, nothing merged
        assert len(np.unique(labels[plain == number])) == 1
    assert labels.max() == plain.max()


def clouds(seed: int, shape: tuple[int, int], blur: float, level: float, outputs: int) -> Maps:
    """Maps of shapes that no nucleus has; the higher the level, the more confluent."""
    rng = np.random.default_rng(seed)
    fields = gaussian_filter(rng.normal(size=(3, *shape)), (0, blur, blur))
    fields /= fields.std(axis=(1, 2), keepdims=True) + 1e-9
    fields = fields[[0, 0, 1, 2]]
    lift = np.array([128 + level, 100 + level, 128, 128])[:, None, None]
    maps = np.clip(lift + np.array([90, 90, 30, 30])[:, None, None] * fields, 0, 255).astype(np.uint8)
    return maps[:outputs]


@hypothesis_settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    height=st.integers(130, 520),
    width=st.integers(130, 520),
    blur=st.floats(1.5, 12),
    level=st.floats(-60, 120),
    outputs=st.sampled_from([1, 2, 4]),
    block_px=st.sampled_from([128, 133, 200, 256]),
)
@example(seed=1, height=520, width=520, blur=4, level=110, outputs=4, block_px=128)
@example(seed=2, height=520, width=520, blur=4, level=110, outputs=1, block_px=128)
def test_any_maps_give_the_same_nuclei_in_blocks_of_any_size(
    seed: int, height: int, width: int, blur: float, level: float, outputs: int, block_px: int
) -> None:
    agrees(clouds(seed, (height, width), blur, level, outputs), (block_px,))


@hypothesis_settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    blur=st.floats(2, 8),
    level=st.floats(-20, 100),
    outputs=st.sampled_from([1, 2, 4]),
    block_px=st.sampled_from([128, 150, 300]),
    largest=st.sampled_from([24, 40, 64]),
)
# Background just outside of a block's window parts two oversized objects that look like one inside of it.
@example(seed=5696, blur=7.5, level=0.0, outputs=1, block_px=128, largest=64)
def test_where_everything_is_too_large_it_is_still_the_same(
    seed: int, blur: float, level: float, outputs: int, block_px: int, largest: int
) -> None:
    """The limits made small, so that parts, oversized and growth meet in a small image."""
    with pytest.MonkeyPatch.context() as patch:
        support = largest + 3 * 12 + 8
        patch.setattr(parts, "LARGEST_PART_PX", largest)
        patch.setattr(objects, "GROWTH_PX", 12)
        patch.setattr("nucbatch.masks.block.SUPPORT_PX", support)
        patch.setattr("nucbatch.masks.block._MARGINS_PX", (64, support) if support > 64 else (support,))
        agrees(clouds(seed, (420, 380), blur, level, outputs), (block_px,))


def test_keys_pass_2_to_the_32() -> None:
    """A block far down an image of 10¹¹ px; its keys are linear indices of the whole image."""
    shape = (400_000, 300_000)
    maps = flat(discs((400, 400), [(100, 100, 9), (200, 210, 9)]))
    corner = (390_000, 250_000)

    def read(box: Box) -> Maps:
        window = np.zeros((2, *box.shape), np.uint8)
        inside = Box(
            max(box.y0, corner[0]),
            max(box.x0, corner[1]),
            min(box.y1, corner[0] + 400),
            min(box.x1, corner[1] + 400),
        )
        if inside.y1 > inside.y0 and inside.x1 > inside.x0:
            there = Box(corner[0], corner[1], corner[0] + 400, corner[1] + 400)
            window[:, *inside.within(box)] = maps[:, *inside.within(there)]
        return window

    core = Box(corner[0], corner[1], corner[0] + 400, corner[1] + 400)
    found = nuclei_of_block(read, core, shape, SETTINGS)
    firsts = [int(np.flatnonzero(cc3d.connected_components(maps[0]).ravel() == n)[0]) for n in (1, 2)]
    expected = [
        (y + corner[0]) * shape[1] + x + corner[1] for y, x in (divmod(first, 400) for first in firsts)
    ]
    assert found.owned.tolist() == expected
    assert min(expected) > 2**32
