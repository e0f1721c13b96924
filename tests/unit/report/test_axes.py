"""Round ticks and scales of drawings."""

import pytest

from nucbatch.report.axes import Scale, ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (155.8, 182, [160, 165, 170, 175, 180]),
        (-1.2, 0.9, [-1, -0.5, 0, 0.5]),
        (0.0011, 0.0042, [0.0015, 0.002, 0.0025, 0.003, 0.0035, 0.004]),
        (7, 7, [7]),
    ],
)
def test_ticks_are_round_and_few(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_a_scale_maps_both_ends_and_labels_its_ticks():
    scale = Scale(0, 10, 100, 0)
    assert [scale(value) for value in (0, 5, 10)] == [100, 50, 0]
    assert scale.ticks()[0] == (100, "0")
    assert Scale(3, 3, 0, 10)(3) == 5
