"""Decides in which of several overlapping fields a nucleus counts, so that each nucleus counts once.

Nuclei that several fields show are paired first (``pair_nuclei.py``), because stages err by a few pixels.
Paired nuclei are one nucleus. It counts in a field that shows it whole, and among several in the one whose
centre is nearest. A nucleus without a partner counts unless another field's centre is nearer: where two
pictures of one place give different nuclei, those of the nearer field count, as in a montage.

Positions are proven by the images: along both axes at least half of the nuclei in the common strips of both
fields together must have a partner, and more than a third of either field's. (A narrow strip has few nuclei,
so one side alone may miss the half by chance. With wrong positions less than a third have a partner.) If this
fails for one pair of fields alone, these two are not compared.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nucbatch.experiment.field_layout import FieldRectangle, overlapping_pairs
from nucbatch.experiment.pair_nuclei import FieldNuclei, Pairing, inside, pair_nuclei

_ENOUGH = 10  # nuclei in the strips along an axis that suffice to judge a well by itself
_FIRST_PAIRS = 32  # pairs of fields that are judged before the others are compared

Nucleus = tuple[int, int]
"""Index of a field, and of a nucleus in it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Numbers of nuclei in common strips, and of those with a partner, summed over pairs of fields.

    Both are (2, 2) int64: axis (fields below one another, side by side), and side (first, second field).
    """

    nuclei: npt.NDArray[np.int64]
    paired: npt.NDArray[np.int64]

    @classmethod
    def none(cls) -> Evidence:
        """Returns the evidence of no pair of fields."""
        return cls(np.zeros((2, 2), np.int64), np.zeros((2, 2), np.int64))

    @classmethod
    def of(cls, a: FieldRectangle, b: FieldRectangle, pairing: Pairing) -> Evidence:
        """Returns the evidence of one pair of fields."""
        down, across = np.abs(np.subtract(a.center, b.center))
        axis = 0 if down > across else 1
        evidence = cls.none()
        evidence.nuclei[axis] = pairing.in_strip_a.sum(), pairing.in_strip_b.sum()
        evidence.paired[axis] = (
            pairing.in_strip_a[pairing.of_a].sum(),
            pairing.in_strip_b[pairing.of_b].sum(),
        )
        return evidence

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(self.nuclei + other.nuclei, self.paired + other.paired)

    def proves(self, plate: Evidence) -> bool:
        """Returns whether the nuclei of the common strips agree along both axes.

        Args:
            plate: evidence of all wells, which decides along an axis where this well has few nuclei.
        """
        few = self.nuclei.min(axis=1, keepdims=True) < _ENOUGH
        nuclei, paired = np.where(few, plate.nuclei, self.nuclei), np.where(few, plate.paired, self.paired)
        return bool(_agree(nuclei, paired).all())

    @property
    def suffices(self) -> bool:
        """Whether there are enough nuclei along an axis."""
        return bool((self.nuclei.min(axis=1) >= _ENOUGH).any())

    @property
    def refutes(self) -> bool:
        """Whether there are enough nuclei along an axis, and they do not agree."""
        enough = self.nuclei.min(axis=1) >= _ENOUGH
        return bool((enough & ~_agree(self.nuclei, self.paired)).any())


@dataclass(frozen=True, slots=True)
class WellOverlaps:
    """Nuclei of a well that count in another field.

    Attributes:
        elsewhere: their labels, ascending, by the field's key, if the positions are right.
        evidence: for the positions.
        misplaced: keys of fields that disagree with at least half of their neighbours.
    """

    elsewhere: dict[str, npt.NDArray[np.int64]]
    evidence: Evidence
    misplaced: tuple[str, ...] = ()


def resolve_overlaps(fields: Sequence[FieldNuclei]) -> WellOverlaps:
    """Decides for each nucleus of a well in which field it counts.

    Args:
        fields: those of one well and time point, in the plate's order.
    """
    neighbours = [(i, j) for i, j, _ in overlapping_pairs([one.rectangle for one in fields])]
    diameter = _typical_diameter(fields)
    evidence = Evidence.none()
    links: list[tuple[float, Nucleus, Nucleus]] = []
    judged: list[tuple[int, int]] = []
    contradicted: list[tuple[int, int]] = []
    for number, (i, j) in enumerate(_spread(neighbours) if diameter else ()):
        if number == _FIRST_PAIRS and evidence.refutes:
            return WellOverlaps({}, evidence)
        pairing = pair_nuclei(fields[i], fields[j], diameter)
        seen = Evidence.of(fields[i].rectangle, fields[j].rectangle, pairing)
        evidence += seen
        judged += [(i, j)] if seen.suffices else []
        if seen.refutes:
            contradicted.append((i, j))
            continue
        links += (
            (-iou, (i, m), (j, n))
            for iou, m, n in zip(
                pairing.iou.tolist(), pairing.of_a.tolist(), pairing.of_b.tolist(), strict=True
            )
        )
    counted = _nearest(fields, sorted(set(neighbours) - set(contradicted)))
    for group in _groups(sorted(links)):
        for i, m in group:
            counted[i][m] = False
        i, m = min(group, key=lambda member: _rank(fields, member))
        counted[i][m] = True
    elsewhere = {
        one.rectangle.key: np.sort(one.labels[~here])
        for one, here in zip(fields, counted, strict=True)
        if not here.all()
    }
    return WellOverlaps(elsewhere, evidence, _misplaced(fields, judged, contradicted))


def _agree(nuclei: npt.NDArray[np.int64], paired: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether enough nuclei have a partner, for each axis (2,); see the module's description."""
    half = 2 * paired.sum(axis=1) >= nuclei.sum(axis=1)
    of_either = ((3 * paired > nuclei) | (nuclei == 0)).all(axis=1)
    return np.asarray(half & of_either)


def _misplaced(
    fields: Sequence[FieldNuclei], judged: Sequence[tuple[int, int]], contradicted: Sequence[tuple[int, int]]
) -> tuple[str, ...]:
    """Keys of the fields for which at least half of the pairs that could be judged are contradicted."""
    pairs, wrong = (Counter(i for pair in several for i in pair) for several in (judged, contradicted))
    return tuple(fields[i].rectangle.key for i in sorted(wrong) if 2 * wrong[i] >= pairs[i])


def _spread(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Puts evenly spaced pairs first.

    If all positions are equal, each field overlaps with all others; a few pairs then suffice to see that the
    positions are wrong.
    """
    first = pairs[:: max(1, -(-len(pairs) // _FIRST_PAIRS))]
    chosen = set(first)
    return [*first, *(pair for pair in pairs if pair not in chosen)]


def _typical_diameter(fields: Sequence[FieldNuclei]) -> float:
    """Median equivalent diameter of the nuclei that no edge cuts, or else of all; 0 if there are none."""
    whole = np.concatenate([np.zeros(0), *(one.areas[~one.cut] for one in fields)])
    areas = whole if len(whole) else np.concatenate([np.zeros(0), *(one.areas for one in fields)])
    return float(2 * np.sqrt(np.median(areas) / np.pi)) if len(areas) else 0.0


def _nearest(
    fields: Sequence[FieldNuclei], neighbours: Sequence[tuple[int, int]]
) -> list[npt.NDArray[np.bool_]]:
    """Whether no field with a nearer centre contains the nucleus' centroid; ties go to the first field."""
    others: dict[int, set[int]] = defaultdict(set)
    for i, j in neighbours:
        others[i].add(j)
        others[j].add(i)
    nearest = []
    for i, field in enumerate(fields):
        here = np.ones(len(field.labels), bool)
        distance = _squared_distance(field.centers, field.rectangle)
        for j in sorted(others[i]):
            other = fields[j].rectangle
            box = np.array([other.top, other.left, other.bottom, other.right])
            theirs = _squared_distance(field.centers, other)
            is_nearer = (theirs < distance) | ((theirs == distance) & (j < i))
            here &= ~(inside(field.centers, box) & is_nearer)
        nearest.append(here)
    return nearest


def _groups(links: Sequence[tuple[float, Nucleus, Nucleus]]) -> list[list[Nucleus]]:
    """Joins linked nuclei to groups, in the order of the links; no group has two nuclei of one field."""
    group_of: dict[Nucleus, dict[int, int]] = {}
    for _, one, other in links:
        first = group_of.get(one) or dict([one])
        second = group_of.get(other) or dict([other])
        if first.keys().isdisjoint(second):
            joined = first | second
            group_of.update(dict.fromkeys(joined.items(), joined))
    return [list(group.items()) for member, group in group_of.items() if member == min(group.items())]


def _rank(fields: Sequence[FieldNuclei], member: Nucleus) -> tuple[bool, float, int]:
    """Whole nuclei first, then those nearest to the centre of their field."""
    i, m = member
    field = fields[i]
    distance = _squared_distance(field.centers[m : m + 1], field.rectangle)
    return bool(field.cut[m]), float(distance[0]), i


def _squared_distance(points: npt.NDArray[np.float64], rectangle: FieldRectangle) -> npt.NDArray[np.float64]:
    return np.asarray(((points - np.array(rectangle.center)) ** 2).sum(axis=1))
