import numpy as np
import pytest

from nucbatch.report.edge_effect import edge_effect


def test_wells_that_are_all_alike_do_not_differ():
    found = edge_effect(np.full(20, 7.0), np.arange(20) < 10)
    assert (found.p, found.delta) == (1.0, 0.0)


def test_needs_three_wells_with_values_on_each_side():
    values = np.array([1.0, 2.0, np.nan, 4.0, 5.0, 6.0])
    assert edge_effect(values, np.arange(6) < 3) is None


def test_the_test_is_exact_for_few_wells():
    """Of 20 ways to choose three of six wells, two are as far apart as these."""
    found = edge_effect(np.array([4.0, 5.0, 6.0, 1.0, 2.0, 3.0]), np.arange(6) < 3)
    assert (found.p, found.delta) == (pytest.approx(2 / 20), 1.0)
