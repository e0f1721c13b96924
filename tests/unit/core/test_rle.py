"""Runs cover exactly the pixels of a mask, also at the ends of rows and of the image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nucbatch.core.rle import runs_of

lengths = st.integers(0, 40)


def plainly(inside: NDArray[np.bool_]) -> tuple[list[int], list[int]]:
    begin, end = [], []
    for y, row in enumerate(inside):
        for x in range(len(row)):
            if row[x] and (x == 0 or not row[x - 1]):
                begin.append(y * len(row) + x)
            if row[x] and (x + 1 == len(row) or not row[x + 1]):
                end.append(y * len(row) + x + 1)
    return begin, end


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1), lengths, lengths, st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]), st.booleans()
)
def test_runs_equal_those_found_pixel_by_pixel(
    seed: int, height: int, width: int, share: float, turned: bool
) -> None:
    inside = np.random.default_rng(seed).random((height, width)) < share
    inside = np.repeat(inside, 5, axis=1)  # so that whole groups of eight are alike
    inside = inside.T if turned else inside
    runs = runs_of(inside)
    assert (runs.begin.tolist(), runs.end.tolist()) == plainly(inside)
    assert runs.pixels == inside.sum()


@pytest.mark.parametrize("width", [7, 8, 9, 16])
def test_a_run_ends_with_its_row(width: int) -> None:
    runs = runs_of(np.ones((3, width), np.bool_))
    assert runs.begin.tolist() == [0, width, 2 * width]
    assert runs.end.tolist() == [width, 2 * width, 3 * width]
