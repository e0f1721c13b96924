"""Every nucleus has one outcome, and the drawing shows it where it is."""

import numpy as np
import pytest

from nucbatch.core.errors import InputError
from nucbatch.scoring.backdrop import NO_IMAGE, backdrop, composite
from nucbatch.scoring.match import overlaps
from nucbatch.scoring.match_drawing import COLOURS, LONGEST_PX, Drawing, MatchKind, draw, match_kinds, most_of


def names_of(truth, pred):
    found = match_kinds(overlaps(np.array(truth), np.array(pred)))
    return [MatchKind(kind).name for kind in found.truth], [MatchKind(kind).name for kind in found.pred]


def test_hits_misses_and_false_ones():
    assert names_of([[1, 1, 0, 2, 0]], [[5, 5, 0, 0, 6]]) == (["HIT", "MISSED"], ["HIT", "FALSE"])


def test_a_merge_and_its_nuclei_even_where_one_matches():
    assert names_of([[1, 1, 1, 1, 2]], [[5, 5, 5, 5, 5]]) == (["MERGED", "MERGED"], ["MERGED"])


def test_a_split_and_its_parts():
    assert names_of([[1, 1, 1, 1]], [[5, 5, 5, 6]]) == (["SPLIT"], ["SPLIT", "SPLIT"])


def test_nothing_at_all():
    assert names_of([[0, 0]], [[0, 0]]) == ([], [])


def test_the_drawing_has_each_outcomes_colour_where_it_is():
    truth, pred = np.zeros((2, 40, 90), int)
    truth[5:25, 5:25] = pred[5:25, 5:25] = 1
    truth[5:25, 35:55] = 2
    pred[5:25, 65:85] = 3
    drawing = draw(truth, pred)
    scale = drawing.overlay.shape[1] // 90
    assert drawing.overlay.shape == (40 * scale, 90 * scale, 4)
    for kind, column in ((MatchKind.HIT, 5), (MatchKind.MISSED, 35), (MatchKind.FALSE, 65)):
        assert tuple(drawing.overlay[15 * scale, column * scale]) == (*COLOURS[kind], 255)
    assert drawing.overlay[15 * scale, 15 * scale, 3] == 0  # a hit is not filled
    assert 0 < drawing.overlay[15 * scale, 75 * scale, 3] < 255  # a false one is


def test_a_large_image_is_shown_where_most_of_it_is_wrong():
    truth = np.zeros((1500, 2600), np.int32)
    truth[1300:1400, 2300:2400] = 1
    drawing = draw(truth, np.zeros_like(truth))
    assert drawing.overlay.shape[:2] == (LONGEST_PX, LONGEST_PX)
    assert drawing.rows.start <= 1300
    assert drawing.rows.stop >= 1400
    assert drawing.columns.start <= 2300
    assert drawing.columns.stop >= 2400


@pytest.mark.parametrize("shape", [(3, 5), (10, 3), (10, 300)])
def test_the_window_lies_inside_the_image(shape):
    mask = np.zeros(shape, bool)
    mask[-1, -1] = True
    rows, columns = most_of(mask, 8)
    assert rows.stop == shape[0]
    assert columns.stop == shape[1]
    assert rows.stop - rows.start == min(shape[0], 8)
    assert columns.stop - columns.start == min(shape[1], 8)


def drawing_of(rows, columns, scale=2):
    overlay = np.zeros(
        ((rows.stop - rows.start) * scale, (columns.stop - columns.start) * scale, 4), np.uint8
    )
    return Drawing(rows, columns, overlay)


def test_grey_is_stretched_by_the_whole_image_and_colours_are_kept():
    image = np.linspace(100, 4000, 64 * 64).reshape(64, 64).astype(np.uint16)
    drawing = drawing_of(slice(0, 8), slice(0, 64))
    shown = backdrop(image, drawing, (64, 64))
    assert shown.shape == (8, 64)
    assert shown.min() == 0
    assert shown.max() < 80  # the brightest rows are elsewhere
    colours = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert (backdrop(colours, drawing, (64, 64)) == colours[:8]).all()


def test_no_image_is_grey_and_one_of_another_size_an_error():
    drawing = drawing_of(slice(0, 4), slice(0, 6))
    assert (backdrop(None, drawing, (4, 6)) == NO_IMAGE).all()
    with pytest.raises(InputError, match=r"\(5, 6\).*4 × 6 px"):
        backdrop(np.zeros((5, 6)), drawing, (4, 6))


def test_the_composite_blends_by_opacity():
    drawing = drawing_of(slice(0, 1), slice(0, 2), scale=1)
    drawing.overlay[0, 0] = (200, 0, 100, 255)
    assert composite(np.array([[50, 60]], np.uint8), drawing).tolist() == [[[200, 0, 100], [60, 60, 60]]]
