"""Nuclei of overlapping fields count once, where the positions are right, and are all kept where not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from nucbatch.experiment.field_layout import FieldRectangle
from nucbatch.experiment.overlaps import Evidence, resolve_overlaps
from nucbatch.experiment.pair_nuclei import FieldNuclei, pair_nuclei

SIDE = 200.0
Point = tuple[float, float]


def view(
    nuclei: np.ndarray, at: Point, *, name: str = "", recorded: Point | None = None, side: float = SIDE
) -> FieldNuclei:
    """A field with its first pixel at ``at``, of nuclei (N, 3): y, x and diameter."""
    y, x = at
    top, left, bottom, right = y, x, y + side, x + side
    half = nuclei[:, 2:] / 2
    boxes = np.concatenate([nuclei[:, :2] - half, nuclei[:, :2] + half], axis=1)
    inside = np.stack([boxes[:, 0] < bottom, boxes[:, 1] < right, boxes[:, 2] > top, boxes[:, 3] > left])
    boxes = boxes[inside.all(axis=0)]
    shown = np.concatenate([np.maximum(boxes[:, :2], at), np.minimum(boxes[:, 2:], (bottom, right))], axis=1)
    stage_y, stage_x = recorded or at
    moved = shown + (stage_y - y, stage_x - x) * 2
    rectangle = FieldRectangle(
        name or f"{at}", stage_y, stage_x, stage_y + side, stage_x + side, pixel_um=1.0
    )
    areas = np.pi / 4 * (shown[:, 2:] - shown[:, :2]).prod(axis=1)
    return FieldNuclei(
        rectangle,
        np.arange(1, len(boxes) + 1),
        moved,
        (moved[:, :2] + moved[:, 2:]) / 2,
        areas,
        (shown != boxes).any(axis=1),
    )


def scattered(number: int, height: float, width: float, seed: int = 0) -> np.ndarray:
    """Nuclei (N, 3) of different sizes, none of which touch."""
    rng = np.random.default_rng(seed)
    chosen: list[np.ndarray] = []
    while len(chosen) < number:
        one = np.array([rng.uniform(0, height), rng.uniform(0, width), rng.uniform(12, 18)])
        others = np.array(chosen).reshape(-1, 3)
        if (np.hypot(*(others - one)[:, :2].T) > 20).all():
            chosen.append(one)
    return np.array(chosen)


def corners(rows: int = 3, columns: int = 3, step: float = 180.0) -> list[Point]:
    return [(row * step, column * step) for row in range(rows) for column in range(columns)]


def counted(fields: Sequence[FieldNuclei]) -> int:
    elsewhere = resolve_overlaps(fields).elsewhere
    return sum(len(one.labels) for one in fields) - sum(map(len, elsewhere.values()))


PICTURE = scattered(320, 560, 560)


def test_every_nucleus_of_a_grid_counts_once():
    fields = [view(PICTURE, at) for at in corners()]
    assert sum(len(one.labels) for one in fields) > 400
    assert counted(fields) == 320


@pytest.mark.parametrize("seed", range(30))
def test_wherever_fields_lie_each_nucleus_that_is_whole_in_one_counts_once(seed):
    rng = np.random.default_rng(seed)
    picture = scattered(int(rng.integers(20, 250)), 560, 560, seed)
    places = [tuple(rng.integers(0, 360, 2).astype(float)) for _ in range(rng.integers(2, 12))]
    sides = [SIDE if seed % 2 else float(rng.integers(100, 250)) for _ in places]
    fields = [
        view(picture, at, name=f"{number}", side=side)
        for number, (at, side) in enumerate(zip(places, sides, strict=True))
    ]
    elsewhere = resolve_overlaps(fields).elsewhere
    times, whole = np.zeros(len(picture), int), np.zeros(len(picture), bool)
    for one, (y, x), side in zip(fields, places, sides, strict=True):
        low, high = picture[:, :2] - picture[:, 2:] / 2, picture[:, :2] + picture[:, 2:] / 2
        shown = np.flatnonzero(((low < (y + side, x + side)) & (high > (y, x))).all(axis=1))
        times[shown] += ~np.isin(one.labels, elsewhere.get(one.rectangle.key, []))
        whole[shown] |= ~one.cut
    assert (times[whole] == 1).all()


@pytest.mark.parametrize("largest", [5, 10])
def test_stage_errors_of_some_pixels_are_allowed_for(largest):
    rng = np.random.default_rng(1)
    fields = []
    for at in corners():
        y, x = np.clip(np.array(at) + rng.integers(-largest, largest + 1, 2), 0, 560 - SIDE)
        fields.append(view(PICTURE, (y, x), recorded=at))
    assert abs(counted(fields) - 320) <= largest  # strips are 20 px wide, and some become gaps


def test_the_fields_and_nuclei_may_come_in_any_order():
    fields = [view(PICTURE, at, name=f"{number}") for number, at in enumerate(corners())]
    forward, backward = resolve_overlaps(fields), resolve_overlaps(fields[::-1])
    assert {key: labels.tolist() for key, labels in forward.elsewhere.items()} == {
        key: labels.tolist() for key, labels in backward.elsewhere.items()
    }
    shuffled = []
    for one in fields:
        order = np.random.default_rng(2).permutation(len(one.labels))
        shuffled.append(
            FieldNuclei(
                one.rectangle,
                one.labels[order],
                one.boxes[order],
                one.centers[order],
                one.areas[order],
                one.cut[order],
            )
        )
    mixed = resolve_overlaps(shuffled)
    assert all((mixed.elsewhere[key] == labels).all() for key, labels in forward.elsewhere.items())


def test_a_nucleus_counts_in_the_field_with_the_nearest_centre():
    nuclei = np.array([[100.0, 185.0, 12.0], [50.0, 194.9, 9.0]])
    left, right = view(nuclei, (0, 0), name="left"), view(nuclei, (0, 180), name="right")
    # 85 from the one centre, 95 from the other; the second lies on the other side of the middle.
    elsewhere = resolve_overlaps([left, right]).elsewhere
    assert {key: labels.tolist() for key, labels in elsewhere.items()} == {"right": [1], "left": [2]}


def test_a_nucleus_in_the_middle_between_two_centres_counts_once():
    nuclei = np.array([[100.0, 190.0, 12.0]])
    fields = [view(nuclei, (0, 0), name="left"), view(nuclei, (0, 180), name="right")]
    assert {key: labels.tolist() for key, labels in resolve_overlaps(fields).elsewhere.items()} == {
        "right": [1]
    }


def test_a_nucleus_in_the_corner_of_four_fields_counts_once():
    nuclei = np.array([[189.0, 188.0, 9.0]])
    fields = [view(nuclei, at) for at in corners(2, 2)]
    assert [len(one.labels) for one in fields] == [1, 1, 1, 1]
    assert counted(fields) == 1
    assert fields[0].rectangle.key not in resolve_overlaps(fields).elsewhere


def test_a_nucleus_that_an_edge_cuts_counts_where_it_is_whole():
    # The second field is nearer to the common strip, but its edge cuts the nucleus.
    nuclei = np.array([[100.0, 152.0, 12.0]])
    wide, narrow = view(nuclei, (0, 0), name="wide"), view(nuclei, (50, 150), name="narrow", side=100)
    assert narrow.cut.tolist() == [True]
    assert {k: v.tolist() for k, v in resolve_overlaps([wide, narrow]).elsewhere.items()} == {"narrow": [1]}


def test_without_its_nearest_field_a_nucleus_counts_in_the_next():
    fields = [view(PICTURE, at) for at in corners()]
    lost = fields.pop(4)
    only_there = [
        middle
        for middle in PICTURE
        if lost.rectangle.top + 20 <= middle[0] - middle[2] / 2
        and middle[0] + middle[2] / 2 <= lost.rectangle.bottom - 20
        and lost.rectangle.left + 20 <= middle[1] - middle[2] / 2
        and middle[1] + middle[2] / 2 <= lost.rectangle.right - 20
    ]
    assert counted(fields) == 320 - len(only_there)


def test_what_one_of_two_fields_shows_alone_counts_if_that_field_is_nearer():
    strip = np.array([[20.0 * row + 10, 187.0 if row % 2 else 193.0, 12.0] for row in range(10)])
    fields = [view(strip, (0, 0), name="left"), view(strip[2:], (0, 180), name="right")]
    # The right field misses the two upper nuclei; of these the first lies on its side.
    assert counted(fields) == 9


WRONG: dict[str, Callable[[Point], Point]] = {
    "Y is flipped": lambda at: (360 - at[0], at[1]),
    "X is flipped": lambda at: (at[0], 360 - at[1]),
    "X and Y are swapped": lambda at: (at[1], at[0]),
    "mm for µm": lambda at: (at[0] / 1000, at[1] / 1000),
    "all are equal": lambda at: (0.0, 0.0),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("seed", range(3))
def test_wrong_positions_are_found_out(change, seed):
    picture = scattered(320, 560, 560, seed)
    evidence = resolve_overlaps([view(picture, at, recorded=change(at)) for at in corners()]).evidence
    assert evidence.refutes
    assert not evidence.proves(evidence)
    right = resolve_overlaps([view(picture, at) for at in corners()]).evidence
    assert not right.refutes
    assert right.proves(right)


def test_a_single_misplaced_field_is_named_and_leaves_the_others_alone():
    picture = scattered(1300, 1120, 1120)
    places = corners(step=360)
    recorded = {place: place for place in places} | {(360.0, 360.0): (420.0, 290.0)}
    fields = [
        view(picture, at, name=f"{number}", recorded=recorded[at], side=400)
        for number, at in enumerate(places)
    ]
    resolved = resolve_overlaps(fields)
    assert resolved.evidence.proves(resolved.evidence)
    assert resolved.misplaced == ("4",)
    right = resolve_overlaps([view(picture, at, name=f"{n}", side=400) for n, at in enumerate(places)])
    assert right.misplaced == ()
    assert counted([view(picture, at, side=400) for at in places]) == 1300
    # The misplaced field counts all that it shows, and its neighbours what is theirs.
    assert counted(fields) > 1300
    alone = resolve_overlaps([*fields[:4], *fields[5:]])
    assert alone.elsewhere.keys() == resolved.elsewhere.keys() - {"4"}


def test_equal_positions_of_many_fields_take_few_comparisons(monkeypatch):
    calls = []

    def compare(*arguments):
        calls.append(arguments)
        return pair_nuclei(*arguments)

    monkeypatch.setattr("nucbatch.experiment.overlaps.pair_nuclei", compare)
    fields = [view(scattered(60, 200, 200, seed), (0, 0), name=f"{seed}") for seed in range(20)]
    assert not resolve_overlaps(fields).elsewhere
    assert len(calls) == 32


def test_a_well_with_few_nuclei_follows_the_plate():
    few = Evidence(np.array([[0, 0], [1, 2]]), np.array([[0, 0], [0, 0]]))
    good = Evidence(np.array([[0, 0], [90, 90]]), np.array([[0, 0], [80, 80]]))
    bad = Evidence(np.array([[0, 0], [90, 90]]), np.array([[0, 0], [20, 20]]))
    assert few.proves(few + good)
    assert not few.proves(few + bad)
    assert good.proves(good + bad + bad)
    assert not bad.proves(bad + good + good)
    assert not few.refutes


def test_a_pair_must_be_found_from_both_sides():
    lopsided = Evidence(np.array([[0, 0], [20, 60]]), np.array([[0, 0], [20, 20]]))
    assert not lopsided.proves(lopsided)
    assert lopsided.refutes


def test_of_few_nuclei_half_of_both_fields_together_suffice():
    right = Evidence(np.array([[21, 23], [25, 25]]), np.array([[14, 11], [17, 19]]))
    assert right.proves(right)
    assert not right.refutes
    flipped = Evidence(np.array([[17, 17], [30, 28]]), np.array([[6, 6], [30, 26]]))
    assert not flipped.proves(flipped)
    assert flipped.refutes


def test_fields_without_nuclei_prove_and_refute_nothing():
    nothing = np.zeros((0, 3))
    resolved = resolve_overlaps([view(nothing, at) for at in corners()])
    assert resolved.elsewhere == {}
    assert resolved.evidence.proves(resolved.evidence)
    assert not resolved.evidence.refutes
