"""The eight ways in which a stage may run, and which of them the nuclei prove."""

from __future__ import annotations

import numpy as np

from nucbatch.experiment.overlaps import Evidence
from nucbatch.experiment.stage_axes import ALL_AXES, StageAxes, proven_axes


def evidence(nuclei: int, paired: int) -> Evidence:
    """As many nuclei on both sides of strips along both axes."""
    return Evidence(np.full((2, 2), nuclei), np.full((2, 2), paired))


def test_the_eight_ways_are_all_that_there_are_and_begin_with_that_of_the_image() -> None:
    places = [axes.in_image((2.0, 1.0)) for axes in ALL_AXES]
    assert places[0] == (2.0, 1.0)
    assert len(set(places)) == 8
    assert {tuple(map(abs, place)) for place in places} == {(2.0, 1.0), (1.0, 2.0)}
    assert len(set(map(str, ALL_AXES))) == 8
    assert str(StageAxes(exchanged=True, right=-1)) == "X runs down and Y to the left"


def test_the_way_in_which_most_nuclei_agree_is_taken_if_enough_do() -> None:
    up = StageAxes(down=-1)
    assert proven_axes({ALL_AXES[0]: evidence(40, 10), up: evidence(50, 45)}) == up
    assert proven_axes({ALL_AXES[0]: evidence(40, 10), up: evidence(50, 20)}) is None
    assert proven_axes({up: evidence(4, 4)}) is None, "too few nuclei"
    assert proven_axes({}) is None


def test_where_two_ways_are_the_same_the_images_own_is_taken() -> None:
    """Fields in a row: whether Y runs up or down makes no difference."""
    row = Evidence(np.array([[0, 0], [40, 40]]), np.array([[0, 0], [36, 36]]))
    assert proven_axes({StageAxes(): row, StageAxes(down=-1): row}) == StageAxes()
