"""The page: complete in itself, names escaped, every section where there is something to say."""

import re

import numpy as np
import pytest

from nucbatch.scoring import grouped, score_images
from nucbatch.scoring.backdrop import backdrop
from nucbatch.scoring.distribution import BINS, MOST_ROWS, spread, spread_rows
from nucbatch.scoring.figure_names import SECTIONS, shown
from nucbatch.scoring.html_page import About, WorstImage, render
from nucbatch.scoring.match_drawing import draw
from nucbatch.scoring.score_files import Grouping

EMPTY, ONE = np.zeros((12, 12), int), np.pad(np.ones((6, 6), int), 3)
NASTY = "<script>alert('x')</script>&"
ABOUT = About(f"pred {NASTY}", "truth", "1.2.3", ("Beware <b>.",))


def worst_of(table, labels):
    result = []
    for row in table.worst(10):
        drawing = draw(*labels[row.name])
        result.append(WorstImage(row, drawing, backdrop(None, drawing, (12, 12)), False))
    return result


def page_of(labels, groups=None):
    table = score_images((name, *pair) for name, pair in labels.items())
    by = Grouping("st<i>n", grouped(table, groups)) if groups else None
    return render(table, ABOUT, worst_of(table, labels), by)


def test_names_are_escaped_and_nothing_is_loaded():
    html = page_of({NASTY: (ONE, EMPTY), "fine": (ONE, ONE)}, {NASTY: NASTY, "fine": "x"})
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "st&lt;i&gt;n" in html
    assert "Beware &lt;b&gt;." in html
    assert not re.search(r"(src|href)=\"(?!data:|#)", html)
    assert "default-src 'none'" in html


def test_figures_groups_and_pictures_are_there():
    html = page_of({"a": (ONE, EMPTY), "b": (ONE, ONE)}, {"a": "DAPI", "b": "H&E"})
    for _, figures in SECTIONS:
        for _, title in figures:
            assert title.replace("&", "&amp;") in html
    assert html.count("<figure>") == 1  # b has no error
    assert "no image found" in html
    assert "1 missed, 0 false" in html
    assert "H&amp;E" in html


def test_without_groups_and_without_errors():
    html = page_of({"b": (ONE, ONE)})
    assert "By st" not in html
    assert "no errors to show" in html
    assert "Score of 1 image<" in html


def test_bars_hold_every_image_once():
    one = spread([0.0, 0.049, 0.05, 1.0, float("nan")])
    assert (one.bars[0], one.bars[1], one.bars[-1], sum(one.bars)) == (2, 1, 1, 4)
    assert one.undefined == 1
    assert one.median == pytest.approx(0.0495)
    nothing = spread([float("nan")])
    assert (nothing.bars, nothing.fullest) == ((0,) * BINS, 1)


def test_of_many_groups_the_largest_are_drawn_in_order():
    table = score_images((f"{number}", ONE, ONE) for number in range(2 * MOST_ROWS + 1))
    groups = {f"{number}": f"{number // 2:02d}" for number in range(2 * MOST_ROWS + 1)}
    rows = spread_rows({"all": table} | grouped(table, groups))
    assert [row.name for row in rows] == ["all", *(f"{number:02d}" for number in range(MOST_ROWS - 1))]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234, "1,234"), (0.5, "0.500"), (float("nan"), "–"), (0.0, "0.000"), (0.00012, "1.20e-04"), (-3, "-3")],
)
def test_figures_for_people(value, text):
    assert shown(value) == text
