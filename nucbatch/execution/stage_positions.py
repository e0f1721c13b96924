"""Finds out from the nuclei how the axes of a stage run in the images, where no file records it.

Some wells are looked at, with their positions in each of the eight ways that
:mod:`nucbatch.experiment.stage_axes` describes. Where no positions are known,
:mod:`nucbatch.execution.unknown_places` looks for them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import chain

from nucbatch.core.plate import Field, Plate, field_rows
from nucbatch.core.rows import Rows
from nucbatch.execution.count_once import well_overlaps
from nucbatch.execution.unknown_places import UnknownPlaces
from nucbatch.experiment.field_layout import overlap_of, placed_fields
from nucbatch.experiment.overlaps import Evidence
from nucbatch.experiment.stage_axes import ALL_AXES, StageAxes, proven_axes
from nucbatch.store.fields_table import has_positions
from nucbatch.store.held_receipts import HeldReceipts
from nucbatch.store.run_folder import RunFolder

_MOST_WELLS = 64
_FEWEST_WELLS = 4  # before a way is given up
_PLENTY = 200  # nuclei in common strips, after which no more wells are looked at

_UNKNOWN = "Stage positions are not known."
_CONTRADICTED = (
    "By their stage positions fields overlap, but in no orientation of the stage do the nuclei there agree: "
    "these positions are not used."
)


@dataclass(frozen=True, slots=True)
class StagePositions:
    """A plate with the positions that are known in the end.

    Attributes:
        plate: with ``position_um`` of each field, if it is known how the stage's axes run.
        remark: sentences for the user, if the files do not record it and fields overlap.
    """

    plate: Plate
    remark: str = ""

    @classmethod
    def of(cls, folder: RunFolder, plate: Plate, receipts: HeldReceipts) -> StagePositions:
        """Finds out how the axes run, from the fields that are done.

        Args:
            folder: the run's folder, with the fields' table fragments.
            plate: as planned.
            receipts: the latest receipt of each field.

        Raises:
            DamagedFile: a table fragment can't be read.
        """
        if has_positions(plate.fields):
            return cls(plate)
        done = plate.fields.where("well", bool).where("group", receipts.is_done)
        wells, sites = _some_wells(done), frozenset(done.values("site"))
        if not any(plate.fields.values("stage_um")):
            unknown = UnknownPlaces.of(folder, wells, sites)
            return cls._from_nuclei(plate, unknown, unknown.remark and _UNKNOWN)
        if not overlap_of(chain.from_iterable(wells)):
            return cls(plate)
        axes = _found(folder, wells)
        if axes is None:
            return cls._from_nuclei(plate, UnknownPlaces.of(folder, wells, sites), _CONTRADICTED)
        return cls(_turned(plate, axes), f"The stage's {axes}, as the nuclei in overlapping fields show.")

    @classmethod
    def _from_nuclei(cls, plate: Plate, unknown: UnknownPlaces, why: str) -> StagePositions:
        if unknown.places_px:
            plate = replace(plate, fields=field_rows(map(unknown.placed, plate.fields)))
        return cls(plate, f"{why} {unknown.remark}".strip())

    @classmethod
    def turned(cls, folder: RunFolder, plate: Plate, receipts: HeldReceipts) -> StagePositions | None:
        """Finds out whether positions that the images contradict are right with other axes; None if not.

        Args: as for :meth:`of`.

        Raises:
            DamagedFile: a table fragment can't be read.
        """
        axes = _found(folder, _some_wells(plate.fields.where("group", receipts.is_done)))
        if axes is None or axes == StageAxes():
            return None
        return cls(
            _turned(plate, axes),
            f"The stage's {axes}, as the nuclei in overlapping fields show: otherwise than was taken from "
            "the files. Positions are used with these axes.",
        )


def _turned(plate: Plate, axes: StageAxes) -> Plate:
    return replace(plate, fields=field_rows(_in_image(one, axes) for one in plate.fields))


def _in_image(one: Field, axes: StageAxes) -> Field:
    place = one.position_um or one.stage_um
    return one if place is None else replace(one, position_um=axes.in_image(place))


def _found(folder: RunFolder, wells: list[list[Field]]) -> StageAxes | None:
    evidence = dict.fromkeys(ALL_AXES, Evidence.none())
    for number, fields in enumerate(wells, start=1):
        for axes in evidence:
            for rectangles in placed_fields(_in_image(one, axes) for one in fields).values():
                overlaps = well_overlaps(folder, fields, rectangles)
                if overlaps is not None:
                    evidence[axes] += overlaps.evidence
        if number >= _FEWEST_WELLS:
            evidence = {axes: found for axes, found in evidence.items() if not found.refutes}
            if all(int(found.nuclei.sum()) >= _PLENTY for found in evidence.values()):
                break
    return proven_axes(evidence)


def _some_wells(done: Rows[Field]) -> list[list[Field]]:
    """Returns the fields of each of some wells that are spread over the plate, at the first time point."""
    first = done.where("well", bool).where("t", min(done.values("t"), default=0).__eq__)
    wells = list(dict.fromkeys(first.values("well")))
    chosen = set(wells[:: max(1, -(-len(wells) // _MOST_WELLS))])
    by_well: dict[str, list[Field]] = defaultdict(list)
    for one in first.where("well", chosen.__contains__):
        by_well[one.well].append(one)
    return list(by_well.values())
