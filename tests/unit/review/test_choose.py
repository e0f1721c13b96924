"""Fields to label: doubtful kinds first, one of each kind before a second."""

import numpy as np

from nucbatch.review.choose import choose

RNG = np.random.default_rng(0)


def kinds(*sizes: int) -> np.ndarray:
    """Looks of kinds of fields: close together within a kind, far from the others."""
    centres = 10 * np.eye(len(sizes))
    return np.concatenate(
        [centre + RNG.normal(0, 0.1, (size, len(sizes))) for centre, size in zip(centres, sizes, strict=True)]
    )


def test_one_of_each_kind_comes_before_a_second() -> None:
    looks = kinds(30, 6, 3)
    chosen, stands_for = choose(looks, np.full(39, 0.5), 3)
    assert [sum(place >= edge for edge in (30, 36)) for place in chosen] == [0, 1, 2]
    assert np.bincount(stands_for)[chosen].tolist() == [30, 6, 3]


def test_doubtful_fields_come_before_more_numerous_clear_ones() -> None:
    doubt = np.concatenate([np.full(30, 0.05), np.full(6, 0.8)])
    chosen, _ = choose(kinds(30, 6), doubt, 2)
    assert chosen[0] >= 30 > chosen[1]


def test_all_are_chosen_once_if_there_are_few_and_none_is_doubtful() -> None:
    chosen, stands_for = choose(np.zeros((3, 2)), np.zeros(3), 20)
    assert sorted(chosen) == [0, 1, 2]
    assert set(stands_for) <= {0, 1, 2}


def test_a_single_field_is_chosen() -> None:
    assert choose(np.ones((1, 4)), np.ones(1), 5)[0] == [0]
