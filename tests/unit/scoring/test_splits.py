"""Splits and merges by majority of area."""

import numpy as np
import pytest

from nucbatch.scoring.match import overlaps
from nucbatch.scoring.splits import SplitCounts, split_counts


@pytest.mark.parametrize(
    ("truth", "pred", "expected"),
    [
        ([[1, 1, 1, 1]], [[5, 5, 0, 6]], SplitCounts(splits=1)),
        ([[1, 1, 0, 2]], [[7, 7, 7, 7]], SplitCounts(merges=1)),
        ([[1, 1, 2, 2]], [[1, 1, 2, 2]], SplitCounts()),
        ([[0, 0, 0, 0]], [[1, 1, 2, 2]], SplitCounts()),
        # half of each part lies outside: no majority
        ([[0, 1, 1, 0]], [[5, 5, 6, 6]], SplitCounts()),
        # one part lies inside, the other half: still one prediction in it
        ([[1, 1, 1, 0]], [[5, 5, 6, 6]], SplitCounts()),
        # three parts are one split; three nuclei in one are one merge
        ([[1, 1, 1, 1, 1]], [[5, 0, 6, 0, 7]], SplitCounts(splits=1)),
        ([[1, 0, 2, 0, 3]], [[5, 5, 5, 5, 5]], SplitCounts(merges=1)),
        # a merge that matches one of the two above IoU 0.5 is a merge all the same
        ([[1, 1, 1, 1, 2]], [[5, 5, 5, 5, 5]], SplitCounts(merges=1)),
        # both at once: parts of two nuclei, crosswise
        ([[1, 1, 1, 1], [2, 2, 3, 3]], [[5, 5, 6, 6], [7, 7, 7, 7]], SplitCounts(splits=1, merges=1)),
    ],
)
def test_counts_of_drawn_cases(truth, pred, expected):
    assert split_counts(overlaps(np.array(truth), np.array(pred))) == expected
    swapped = split_counts(overlaps(np.array(pred), np.array(truth)))
    assert swapped == SplitCounts(expected.merges, expected.splits)


def test_counts_add():
    assert SplitCounts(1, 2) + SplitCounts(3, 4) == SplitCounts(4, 6)
