"""Finds the places of fields whose stage positions are not known, from nuclei that several of them show.

A few wells are looked at: first the fields that follow each other, as most microscopes go from one to its
neighbour, then those that are farther apart in the order, until all are connected. The layout is taken if it
is that of these wells: the nuclei in the common strips must agree.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from nucbatch.core.plate import Field
from nucbatch.execution.count_once import AREA, CENTER, well_overlaps
from nucbatch.experiment.field_layout import placed_fields
from nucbatch.experiment.overlaps import Evidence
from nucbatch.experiment.repeats import Repeat, places_of, repeat_of
from nucbatch.readers.names import plural
from nucbatch.store.fragments import read_columns
from nucbatch.store.run_folder import RunFolder

_FEW_WELLS = 8
_MOST_FIELDS = 100  # of a well whose layout is looked for
_MOST_FURTHER = 200  # pairs of sites, beside those that follow each other

_GIVE_POSITIONS = "Give the positions in a manifest (Metadata_PositionX, Metadata_PositionY)."
_GIVE_SIZE = "With --pixel-size the places of the fields are looked for, so that each nucleus counts once."

Place = tuple[int, int]


@dataclass(slots=True)
class UnknownPlaces:
    """What the nuclei of some wells say about fields whose places are not known.

    Attributes:
        remark: a sentence for the user; empty if no fields overlap.
        places_px: (y, x) of each site's origin in px, if the layout was found.
    """

    remark: str = ""
    places_px: dict[int, Place] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: RunFolder, wells: Sequence[list[Field]], sites: frozenset[int]) -> UnknownPlaces:
        """Looks at some wells.

        Args:
            folder: the run's folder, with the fields' table fragments.
            wells: fields of each of some wells.
            sites: those of the whole plate.

        Raises:
            DamagedFile: a table fragment can't be read.
        """
        several = [fields for fields in wells if len(fields) > 1 and len(set(map(_form, fields))) == 1]
        looked = [_Well(folder, fields) for fields in several[:: max(1, -(-len(several) // _FEW_WELLS))]]
        repeats: dict[tuple[int, int], list[Repeat]] = defaultdict(list)
        with_repeats = sum([well.compare_neighbours(repeats) for well in looked])
        if not with_repeats or 2 * with_repeats < len(looked):
            return cls()
        seen = f"in {with_repeats} of {plural(len(looked), 'well')} looked at, fields show the same nuclei"
        scaled = all(one.pixel_size_um for fields in several for one in fields)
        if scaled and len(sites) <= _MOST_FIELDS:
            _connect(looked, repeats, sites)
            places = places_of(repeats)
            if places.keys() == sites and _proven(looked, places):
                return cls(
                    f"Fields overlap: {seen}. The places of the {len(sites)} fields of a well were found "
                    "from these nuclei.",
                    places,
                )
        (one, other), found = max(repeats.items(), key=lambda item: max(each.nuclei for each in item[1]))
        y, x = found[0].shift_px
        return cls(
            f"Fields seem to overlap: {seen}, for example site {one} and site {other}, which lies "
            f"{abs(x)} px to the {'right' if x >= 0 else 'left'} and {abs(y)} px "
            f"{'below' if y >= 0 else 'above'}. These nuclei count in each. "
            f"{_GIVE_POSITIONS if scaled else _GIVE_SIZE}"
        )

    def placed(self, one: Field) -> Field:
        """Returns a field with its position in the layout."""
        return _placed(one, self.places_px) if one.site in self.places_px and one.pixel_size_um else one


class _Well:
    """Fields of a well, and their nuclei, which are read when they are needed."""

    def __init__(self, folder: RunFolder, fields: list[Field]) -> None:
        self.folder, self.fields = folder, fields
        self._by_site = {one.site: one for one in fields}
        self._nuclei: dict[int, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = {}

    def compare_neighbours(self, repeats: dict[tuple[int, int], list[Repeat]]) -> bool:
        """Compares fields that follow each other; returns whether two of them show the same nuclei."""
        before = sum(map(len, repeats.values()))
        for one, other in zip(self.fields, self.fields[1:_MOST_FIELDS], strict=False):
            self.compare((one.site, other.site), repeats)
        return sum(map(len, repeats.values())) > before

    def compare(self, pair: tuple[int, int], repeats: dict[tuple[int, int], list[Repeat]]) -> None:
        """Adds what two sites show in common, if they are there."""
        if not all(site in self._by_site for site in pair):
            return
        found = repeat_of(self._of(pair[0]), self._of(pair[1]), _form(self.fields[0]))
        if found is not None:
            repeats[pair].append(found)

    def evidence(self, places: dict[int, Place]) -> Evidence:
        """What the nuclei say about a layout."""
        placed = [_placed(one, places) for one in self.fields]
        found = Evidence.none()
        for rectangles in placed_fields(placed).values():
            overlaps = well_overlaps(self.folder, placed, rectangles)
            found += overlaps.evidence if overlaps is not None else Evidence.none()
        return found

    def _of(self, site: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Centres (N, 2) y, x in px and areas (N,) of a field's nuclei."""
        if site not in self._nuclei:
            parts = list(read_columns(self.folder.fragment(self._by_site[site].key), [AREA, *CENTER]))
            centers = [np.stack([columns[name] for name in CENTER], axis=1) for columns in parts]
            self._nuclei[site] = (
                np.concatenate([np.zeros((0, 2)), *centers]),
                np.concatenate([np.zeros(0), *(columns[AREA] for columns in parts)]),
            )
        return self._nuclei[site]


def _connect(
    wells: Sequence[_Well], repeats: dict[tuple[int, int], list[Repeat]], sites: frozenset[int]
) -> None:
    """Compares further pairs of sites until all are connected.

    Where fields are taken row by row, those that follow each other connect rows. So those that are a row
    apart come first, then the others, the nearest in the order first.
    """
    groups = {site: {site} for site in sites}

    def join(pair: tuple[int, int]) -> None:
        joined = groups[pair[0]] | groups[pair[1]]
        groups.update(dict.fromkeys(joined, joined))

    for pair in [*repeats]:
        join(pair)
    (row, _), *_ = Counter(map(len, groups.values())).most_common(1)
    order = {site: number for number, site in enumerate(sorted(sites))}
    further = sorted(
        ((order[second] - order[first], (first, second)) for first, second in combinations(order, 2)),
        key=lambda each: (each[0] != row, each),
    )
    compared = 0
    for away, pair in further:
        if away == 1 or groups[pair[0]] is groups[pair[1]]:
            continue
        if compared == _MOST_FURTHER:
            return
        compared += 1
        for well in wells:
            well.compare(pair, repeats)
        if pair in repeats:
            join(pair)


def _proven(wells: Sequence[_Well], places: dict[int, Place]) -> bool:
    evidence = sum((well.evidence(places) for well in wells), Evidence.none())
    return evidence.suffices and evidence.proves(evidence)


def _placed(one: Field, places: dict[int, Place]) -> Field:
    y, x = places[one.site]
    pixel_um = one.pixel_size_um or 0.0
    return replace(one, position_um=((y + one.height_px / 2) * pixel_um, (x + one.width_px / 2) * pixel_um))


def _form(one: Field) -> tuple[int, int]:
    return one.height_px, one.width_px
