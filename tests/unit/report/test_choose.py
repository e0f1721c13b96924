"""The contact sheet's choice of fields."""

from itertools import pairwise

import pandas as pd
import pytest

from nucbatch.report.choose import choose_fields


def table(counts, flags=""):
    return pd.DataFrame({"Count_Nuclei": pd.array(counts, dtype="Int64"), "Flags": flags})


def test_the_extremes_and_the_median_are_always_in():
    chosen = choose_fields(table([5, 9, 0, 7, 3] * 20), 6)
    reasons = {choice.why: choice.row for choice in chosen if choice.why}
    counts = [5, 9, 0, 7, 3] * 20
    assert counts[reasons["highest count"]] == 9
    assert counts[reasons["lowest count"]] == 0
    assert counts[reasons["median count"]] == 5
    assert len(chosen) == 6


def test_the_rest_is_spread_over_the_table():
    rows = [choice.row for choice in choose_fields(table(range(200)), 20)]
    assert rows == sorted(set(rows))
    assert rows[0] == 0
    assert rows[-1] == 199
    assert max(later - earlier for earlier, later in pairwise(rows)) < 25


@pytest.mark.parametrize(
    ("fields", "most", "expected"), [(3, 20, 3), (1, 20, 1), (0, 20, 0), (50, 2, 2), (5, 0, 0)]
)
def test_no_more_than_there_are_and_no_more_than_asked(fields, most, expected):
    assert len(choose_fields(table(range(fields)), most)) == expected


def test_flagged_fields_are_in_but_fill_no_more_than_a_third():
    chosen = choose_fields(table(range(60), flags=[""] * 30 + ["saturated"] * 30), 12)
    flagged = [choice for choice in chosen if choice.flag and not choice.why]
    assert len(flagged) >= 4
    assert any(not choice.flag for choice in chosen)
    few = choose_fields(table(range(60), flags=["blurred" if row == 17 else "" for row in range(60)]), 12)
    assert 17 in [choice.row for choice in few]
