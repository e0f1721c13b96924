"""What is unlike the images that a model was made with."""

import numpy as np
import pytest

from nucbatch.core.familiarity import FIGURES, Familiarity, distances, figures_of_field

COUNT = len(FIGURES)
SEEN = Familiarity(
    spreads=(1.0,) * COUNT,
    lows=(4.0, -6.0, -4.0, 0.0, 0.0, -5.0, 0.0, 0.1, -5.0),
    highs=(5.0, -1.0, 1.0, 4.0, 4.0, 1.0, 0.0, 0.9, -1.0),
    examples=(
        (4.0, -4.0, 0.0, 2.0, 2.0, -2.0, 0.0, 0.5, -3.0),
        (5.0, -1.0, 0.0, 2.0, 2.0, None, 0.0, 0.5, -3.0),
    ),
    limit=2.0,
)


def figures(**changes: float) -> np.ndarray:
    values = dict(zip(FIGURES, (4.5, -3.0, 0.0, 2.0, 2.0, -2.0, 0.0, 0.5, -3.0), strict=True)) | changes
    return np.array([values[name] for name in FIGURES])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"diameter": 5 + np.log2(8)}, "nuclei 8 times larger than any seen"),
        ({"diameter": 4 - np.log2(6)}, "nuclei 6 times smaller than any seen"),
        ({"focus": -9.0}, "less detail than any seen"),
        ({"cover": 3.0}, "a larger part of the field in nuclei than any seen"),
        ({"colour": 4.0}, "RGB, and no image was"),
        ({"polarity": -3.0}, "nuclei darker against their background than any seen"),
        ({"structure": 3.0}, "more structure between the nuclei than any seen"),
        (
            {"cover": -6.0, "diameter": 5.0, "coarse": 0.5, "fine": 3.5},
            "a combination of size, density and texture that none had",
        ),
    ],
)
def test_the_reason_names_what_lies_farthest_beyond_all_that_was_seen(
    changes: dict[str, float], reason: str
) -> None:
    assert SEEN.reason(figures(**changes)) == reason


def test_figures_that_are_undefined_count_neither_for_nor_against() -> None:
    assert SEEN.reason(figures(haze=np.nan)) == ""
    apart = distances(figures(haze=np.nan)[np.newaxis], figures()[np.newaxis], np.ones(COUNT))
    assert apart.tolist() == [[0.0]]


def test_a_field_without_nuclei_is_not_judged() -> None:
    assert figures_of_field({"QC_NuclearDiameter": 0.0}, 0, 100, False) is None
    found = figures_of_field({"QC_NuclearDiameter": 16.0, "QC_Focus": 0.5}, 4, 64 * 64, True)
    assert found is not None
    assert found[0] == 4
    assert np.isnan(found[3:6]).all()
    assert found[6] == 1
    assert np.isnan(found[7:]).all()
