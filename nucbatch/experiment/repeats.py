"""Finds out whether two fields show the same nuclei, without knowing where they lie.

Two pictures that overlap have one shift in common for all nuclei that both show. So the shifts between all
nuclei of one field and all of the other are counted, and the most frequent one is compared with the number of
nuclei that both fields would show at it. The sites of all wells of a plate have the same layout, which
follows from the shifts between pairs of sites.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_CELL_PX = 6
"""Shifts are counted in cells of this side, in four grids that lie half a cell apart."""

_FEWEST, _SHARE = 6, 0.6
"""Nuclei that must agree, and their part of those that both fields would show."""

_LEAST_OVERLAP, _MOST_OVERLAP = 0.01, 0.6
"""Of the fields' area. What overlaps more is the same place, seen again."""

_LIKE = 1.3
"""Areas of the same nucleus in two pictures differ by at most this factor."""

_MOST_NUCLEI = 500
"""Of a field with more, the largest are compared."""

_ROW = 2**31  # cells in a row, more than any image has

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Repeat:
    """Nuclei that two fields show.

    Attributes:
        nuclei: their number.
        shift_px: (y, x) from the first field's origin to the second's.
    """

    nuclei: int
    shift_px: tuple[int, int]


def repeat_of(
    first: tuple[Floats, Floats], second: tuple[Floats, Floats], shape: tuple[int, int]
) -> Repeat | None:
    """Returns what two fields of one size show in common; None if that may be chance.

    Args:
        first: centres (N, 2) y, x in px, and areas (N,) of the nuclei of a field.
        second: of the other field.
        shape: (Y, X) of both.
    """
    least = max(_least_area(areas) for _, areas in (first, second))
    first, second = ((centers[areas >= least], areas[areas >= least]) for centers, areas in (first, second))
    if min(len(first[1]), len(second[1])) < _FEWEST:
        return None
    shifts = (first[0][:, np.newaxis] - second[0][np.newaxis]).reshape(-1, 2)
    ratio = (first[1][:, np.newaxis] / second[1][np.newaxis]).ravel()
    common = np.clip(1 - np.abs(shifts) / shape, 0, None).prod(axis=1)
    is_possible = (ratio < _LIKE) & (ratio > 1 / _LIKE)
    is_possible &= (common >= _LEAST_OVERLAP) & (common <= _MOST_OVERLAP)
    shifts = shifts[is_possible]
    if len(shifts) < _FEWEST:
        return None
    best, votes = np.zeros(2), 0
    for offset in ((0, 0), (0, 1), (1, 0), (1, 1)):
        begin = np.array(shape) + np.array(offset) * _CELL_PX / 2  # so that all are positive
        down, right = ((shifts + begin) // _CELL_PX).astype(np.int64).T
        cells, counts = np.unique(down * _ROW + right, return_counts=True)
        if counts.max() > votes:
            votes = int(counts.max())
            cell = np.array(divmod(int(cells[counts.argmax()]), _ROW))
            best = (cell + 0.5) * _CELL_PX - begin
    shown = min(_inside(first[0] - best, shape), _inside(second[0] + best, shape))
    if votes < _FEWEST or votes < _SHARE * shown:
        return None
    return Repeat(votes, (round(best[0]), round(best[1])))


def places_of(repeats: Mapping[tuple[int, int], Sequence[Repeat]]) -> dict[int, tuple[int, int]]:
    """Returns where the sites of a well lie, (y, x) of their origins in px; the first at (0, 0).

    Pairs with most nuclei come first; a pair of sites that are connected already adds nothing. Sites that no
    pair connects with the first are left out.

    Args:
        repeats: what pairs of sites show in common in several wells.
    """
    weights = {pair: sum(one.nuclei for one in found) for pair, found in repeats.items()}
    group_of: dict[int, dict[int, tuple[int, int]]] = {}
    for first, second in sorted(weights, key=lambda pair: (-weights[pair], pair)):
        one = group_of.setdefault(first, {first: (0, 0)})
        other = group_of.setdefault(second, {second: (0, 0)})
        if one is other:
            continue
        y, x = np.median([found.shift_px for found in repeats[first, second]], axis=0).round().astype(int)
        down, right = one[first][0] + int(y) - other[second][0], one[first][1] + int(x) - other[second][1]
        one |= {site: (top + down, left + right) for site, (top, left) in other.items()}
        group_of.update(dict.fromkeys(other, one))
    if not group_of:
        return {}
    origin = min(group_of)
    top, left = group_of[origin][origin]
    return {site: (y - top, x - left) for site, (y, x) in sorted(group_of[origin].items())}


def _least_area(areas: Floats) -> float:
    """Area from which the nuclei of a field are compared."""
    return float(np.sort(areas)[-_MOST_NUCLEI]) if len(areas) > _MOST_NUCLEI else 0.0


def _inside(centers: Floats, shape: tuple[int, int]) -> int:
    return int(((centers >= 0) & (centers < shape)).all(axis=1).sum())
