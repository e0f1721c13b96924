"""The test of the edge effect is that of SciPy, which takes too long to load in every run."""

import numpy as np
import pytest
from scipy import stats

from nucbatch.report.edge_effect import edge_effect


@pytest.mark.parametrize(("outer", "inner"), [(3, 3), (4, 60), (8, 8), (16, 8), (9, 9), (36, 60), (140, 244)])
@pytest.mark.parametrize("shift", [0.0, 0.4, 3.0])
@pytest.mark.parametrize("digits", [0, 9], ids=["with ties", "without ties"])
def test_is_the_test_of_mann_and_whitney(outer, inner, shift, digits):
    values = np.random.default_rng(outer).normal(size=outer + inner)
    is_outer = np.arange(len(values)) < outer
    values = np.round(values + shift * is_outer, digits)
    found = edge_effect(values, is_outer)
    expected = stats.mannwhitneyu(values[is_outer], values[~is_outer])
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.delta == pytest.approx(2 * expected.statistic / (outer * inner) - 1, abs=1e-12)


def test_wells_that_are_all_alike_do_not_differ():
    found = edge_effect(np.full(20, 7.0), np.arange(20) < 10)
    assert (found.p, found.delta) == (1.0, 0.0)


def test_needs_three_wells_with_values_on_each_side():
    values = np.array([1.0, 2.0, np.nan, 4.0, 5.0, 6.0])
    assert edge_effect(values, np.arange(6) < 3) is None
