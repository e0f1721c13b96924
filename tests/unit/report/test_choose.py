"""The contact sheet's choice of fields."""

from itertools import pairwise

import pandas as pd
import pytest

from nucbatch.report.choose import choose_fields, flag_fields


def table(counts, **columns):
    return pd.DataFrame({"Count_Nuclei": pd.array(counts, dtype="Int64"), **columns})


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
    chosen = choose_fields(table(range(60), QC_Saturated=[0.0] * 30 + [0.5] * 30), 12)
    flagged = [choice for choice in chosen if choice.flag]
    assert any("50% of pixels saturated" in choice.flag for choice in flagged)
    assert any(not choice.flag for choice in chosen)
    few = choose_fields(table(range(60), QC_Saturated=[0.5 if row == 17 else 0.0 for row in range(60)]), 12)
    assert 17 in [choice.row for choice in few]


def test_blurred_and_noisy_fields_are_reported_from_the_rest():
    focus = [1.0 + 0.01 * (row % 7) for row in range(20)]
    flags = flag_fields(table(range(22), QC_Focus=[*focus, 0.1, 15.0]))
    assert flags[20].startswith("blurred")
    assert flags[21].startswith("noisy")
    assert not any(flags[:20])


def test_missing_figures_flag_nothing():
    assert (
        flag_fields(table(range(12), QC_Focus=[float("nan")] * 12, QC_Saturated=[float("nan")] * 12))
        == [""] * 12
    )
