"""The same nuclei in two fields whose places are not known, and chance."""

from __future__ import annotations

import numpy as np
import pytest

from nucbatch.experiment.repeats import Floats, Repeat, places_of, repeat_of

SIDE = 1080


def nuclei(rng: np.random.Generator, count: int, shape: tuple[float, float]) -> tuple[Floats, Floats]:
    return rng.uniform(0, 1, (count, 2)) * shape, rng.lognormal(6, 0.3, count)


def field_of(
    rng: np.random.Generator, whole: tuple[Floats, Floats], origin: tuple[int, int]
) -> tuple[Floats, Floats]:
    """The nuclei of a field at ``origin`` as a network sees them: moved a little, and some of them lost."""
    centers, areas = whole[0] - origin, whole[1]
    seen = ((centers >= 0) & (centers < SIDE)).all(axis=1) & (rng.uniform(size=len(areas)) < 0.95)
    moved = centers[seen] + rng.normal(0, 0.7, (int(seen.sum()), 2))
    return moved, areas[seen] * rng.normal(1, 0.03, int(seen.sum()))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shift", [(0, 972), (918, -2), (-972, 5), (-540, 0), (600, 600)])
def test_a_shift_that_all_nuclei_have_in_common_is_found(seed: int, shift: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    centers, areas = nuclei(rng, 1200, (2200, 2200))
    whole = centers + np.minimum(shift, 0), areas
    repeat = repeat_of(field_of(rng, whole, (0, 0)), field_of(rng, whole, shift), (SIDE, SIDE))
    assert repeat is not None
    assert np.abs(np.subtract(repeat.shift_px, shift)).max() <= 4
    assert repeat.nuclei >= 12


def test_of_very_many_nuclei_the_largest_suffice() -> None:
    rng = np.random.default_rng(0)
    whole = nuclei(rng, 9000, (1080, 2052))
    repeat = repeat_of(field_of(rng, whole, (0, 0)), field_of(rng, whole, (0, 972)), (SIDE, SIDE))
    assert repeat is not None
    assert np.abs(np.subtract(repeat.shift_px, (0, 972))).max() <= 4


def test_chance_is_not_taken_for_it() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        count = int(rng.integers(5, 700))
        one, other = (nuclei(rng, count, (SIDE, SIDE)) for _ in range(2))
        assert repeat_of(one, other, (SIDE, SIDE)) is None, seed


def test_a_place_seen_again_and_fields_with_few_nuclei_tell_nothing() -> None:
    rng = np.random.default_rng(0)
    one = nuclei(rng, 300, (SIDE, SIDE))
    assert repeat_of(one, one, (SIDE, SIDE)) is None
    few = one[0][:5], one[1][:5]
    assert repeat_of(few, few, (SIDE, SIDE)) is None
    none = np.zeros((0, 2)), np.zeros(0)
    assert repeat_of(none, one, (SIDE, SIDE)) is None


def test_places_follow_from_pairs_of_sites_the_surest_first() -> None:
    repeats = {
        (2, 3): [Repeat(20, (1, 900)), Repeat(30, (-1, 902)), Repeat(9, (0, 901))],
        (1, 2): [Repeat(15, (2, 900))],
        (1, 3): [Repeat(6, (500, 500))],  # chance; both are connected already
        (4, 1): [Repeat(10, (-900, 0))],
        (7, 8): [Repeat(50, (0, 900))],  # with no connection to the others
    }
    assert places_of(repeats) == {1: (0, 0), 2: (2, 900), 3: (2, 1801), 4: (900, 0)}
    assert places_of({}) == {}
