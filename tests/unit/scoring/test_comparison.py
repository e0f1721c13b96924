"""Several models on the same images, without runs."""

import csv
import io
import json

import numpy as np
import pytest

from nucbatch.scoring import ScoreTable, score_images
from nucbatch.scoring.compare_page import render
from nucbatch.scoring.comparison import Comparison, ModelRun


def masks(count: int) -> np.ndarray:
    labels = np.zeros((40, 40), np.int32)
    for number in range(count):
        row, column = divmod(number, 4)
        labels[row * 10 : row * 10 + 6, column * 10 : column * 10 + 6] = number + 1
    return labels


def table(*counts: int) -> ScoreTable:
    return score_images((f"f{place}", masks(8), masks(count)) for place, count in enumerate(counts))


WELLS = {"f0": "A01", "f1": "A01", "f2": "B02"}


def run(name: str, *counts: int, scored: bool = True) -> ModelRun:
    by_image = {f"f{place}": count for place, count in enumerate(counts)}
    return ModelRun(name, 100, 1.5, 2**30, by_image, WELLS, table(*counts) if scored else None)


def comparison(*, scored: bool = True) -> Comparison:
    runs = (run("one", 8, 8, 6, scored=scored), run("<other>", 4, 4, 6, scored=scored))
    return Comparison(runs, None, {("one", "<other>"): table(4, 4, 6)})


def test_counts_are_compared_by_well() -> None:
    (agreement,) = comparison().agreements
    assert agreement.figures["count_ratio"] == pytest.approx(0.75)  # 8 of 16 in A01, 6 of 6 in B02
    assert agreement.figures["count_correlation"] == pytest.approx(1)
    rows = list(csv.DictReader(io.StringIO(comparison().counts_csv())))
    assert [(row["image"], row["well"], row["one"], row["<other>"]) for row in rows] == [
        ("f0", "A01", "8", "4"),
        ("f1", "A01", "8", "4"),
        ("f2", "B02", "6", "6"),
    ]


def test_counts_that_never_vary_have_no_correlation() -> None:
    same = Comparison((run("one", 5, 5, 10), run("two", 3, 3, 6)), None, {("one", "two"): table(1, 1, 1)})
    found = json.loads(same.as_json({}))["agreement"][0]
    assert found["count_ratio"] == pytest.approx(0.6)
    assert found["count_correlation"] is None


def test_the_table_has_a_row_per_model_with_intervals_only_where_there_is_truth() -> None:
    runs = (run("one", 8, 8, 6, 8, 8, 8), run("<other>", 4, 4, 6, 4, 4, 4))
    one, other = csv.DictReader(io.StringIO(Comparison(runs, None, {}).as_csv()))
    assert (one["model"], one["nuclei"], other["nuclei"]) == ("one", "46", "26")
    assert float(other["object_f1_50_low"]) <= float(other["object_f1_50"]) < float(one["object_f1_50"])
    few = next(csv.DictReader(io.StringIO(comparison().as_csv())))
    assert (few["object_f1_50_low"], few["object_f1_50_high"]) == ("", "")  # three images have no interval
    assert "object_f1_50" not in next(csv.DictReader(io.StringIO(comparison(scored=False).as_csv())))


def test_the_table_says_how_many_images_were_scored() -> None:
    some = ModelRun("one", 100, 1.5, 2**30, {"f0": 8, "f1": 8, "f2": 6}, WELLS, table(8, 8))
    (row,) = Comparison((some,), None, {}).rows
    assert (row["images"], row["nuclei"], row["images_scored"]) == (3, 22, 2)


@pytest.mark.parametrize("scored", [True, False])
def test_the_page_has_no_script_and_escapes_names(scored: bool) -> None:
    about = {"images": "<b>images", "gt": "truth" if scored else "", "nucbatch": "1", "notes": ["a & b"]}
    page = render(comparison(scored=scored), about, {})
    assert "<script" not in page
    assert "&lt;b&gt;images" in page
    assert "&lt;other&gt;" in page
    assert ("object F1 <small>" in page) is scored
