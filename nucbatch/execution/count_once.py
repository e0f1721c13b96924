"""Reads the nuclei of overlapping fields from the table fragments and decides where each of them counts.

Wells are read one at a time, and of a field only the nuclei that lie near another field.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, groupby

import numpy as np
import numpy.typing as npt

from nucbatch.core.plate import Field
from nucbatch.core.rows import Rows
from nucbatch.execution.label_lists import NONE, LabelLists
from nucbatch.execution.left_out import LeftOut
from nucbatch.experiment.field_layout import (
    FieldRectangle,
    WellTime,
    adjoining_pairs,
    covered_um2,
    overlapping_pairs,
    placed_fields,
)
from nucbatch.experiment.overlaps import Evidence, WellOverlaps, resolve_overlaps
from nucbatch.experiment.pair_nuclei import FieldNuclei, largest_offset
from nucbatch.store.fields_table import has_positions
from nucbatch.store.fragments import read_columns
from nucbatch.store.run_folder import RunFolder

_LABEL, AREA = "Metadata_ObjectNumber", "Nuclei_AreaShape_Area"
_BOX = [f"Metadata_Nuclei_BoundingBox{end}_{axis}" for end in ("Minimum", "Maximum") for axis in "YX"]
CENTER = [f"Metadata_Nuclei_Location_Center_{axis}" for axis in "YX"]
_CUT_WITHIN_PX = 1  # of the field's edge: masks often end a pixel before it


@dataclass(frozen=True, slots=True)
class CountedOnce:
    """Where nuclei of overlapping fields count. Fields are named by their place among those that are done.

    Attributes:
        elsewhere: labels of the nuclei of each field that count in another one.
        refused: wells and time points whose positions the images contradict; there all nuclei count.
        doubtful: keys of their fields that overlap with others, and of single misplaced fields.
        at_shared_edges: for each field the number of its counted nuclei at edges that another field adjoins
            without overlapping; cut there, a nucleus counts in both fields. -1 if the field's place is not
            known. Empty if that of no field is.
        overlapping: number of wells and time points with fields that overlap by their positions.
    """

    elsewhere: LabelLists = field(default_factory=LabelLists)
    refused: frozenset[WellTime] = frozenset()
    doubtful: frozenset[str] = frozenset()
    at_shared_edges: array[int] = field(default_factory=lambda: array("q"))
    overlapping: int = 0

    @property
    def mostly_refused(self) -> bool:
        """Whether the images contradict the positions in more than half of the wells where fields overlap."""
        return 2 * len(self.refused) > self.overlapping


def count_once(folder: RunFolder, done: Rows[Field], left_out: LeftOut, *, keep: bool = False) -> CountedOnce:
    """Decides for the nuclei of all done fields whether they count.

    Args:
        folder: the run's folder, with the fields' table fragments.
        done: in the plate's order.
        left_out: the nuclei that count nowhere.
        keep: all nuclei count; only the positions are checked.

    Raises:
        DamagedFile: a table fragment can't be read.
    """
    if not has_positions(done):
        return CountedOnce()
    evidence: dict[WellTime, Evidence] = {}
    misplaced: set[str] = set()
    elsewhere = LabelLists()
    for fields in _wells(done):
        found: dict[str, npt.NDArray[np.int64]] = {}
        for where, rectangles in placed_fields(fields).items():
            one = well_overlaps(folder, fields, rectangles)
            if one is not None:
                evidence[where] = one.evidence
                misplaced.update(one.misplaced)
                found |= one.elsewhere
        for one_field in fields:
            elsewhere.append(found.get(one_field.key, NONE))
    plate = sum(evidence.values(), Evidence.none())
    refused = frozenset(where for where, one in evidence.items() if not one.proves(plate))
    if keep:
        elsewhere = LabelLists()
    elif refused:
        counts_here = ((one.well, one.t) in refused for one in done)
        elsewhere = LabelLists(
            NONE if here else labels for here, labels in zip(counts_here, elsewhere, strict=True)
        )
    once = CountedOnce(elsewhere, refused, frozenset(misplaced), overlapping=len(evidence))
    return _with_edges(folder, done, left_out, once)


def well_overlaps(
    folder: RunFolder, fields: Sequence[Field], rectangles: Sequence[FieldRectangle]
) -> WellOverlaps | None:
    """Decides where the nuclei of overlapping fields count; None if no fields overlap.

    Args:
        folder: the run's folder, with the fields' table fragments.
        fields: those of the rectangles, and any others.
        rectangles: places of the fields of one well and time point.

    Raises:
        DamagedFile: a table fragment can't be read.
    """
    near = _neighbours(rectangles)
    if not near:
        return None
    own = {one.key: one for one in fields if one.key in near}
    return resolve_overlaps(
        [
            _nuclei_near(folder, own[rectangle.key], rectangle, near[rectangle.key])
            for rectangle in rectangles
            if rectangle.key in near
        ]
    )


def _with_edges(folder: RunFolder, done: Rows[Field], left_out: LeftOut, once: CountedOnce) -> CountedOnce:
    """Adds the nuclei at shared edges, and the doubtful fields of refused wells."""
    at_edges, doubtful, place = array("q"), set(once.doubtful), 0
    for fields in _wells(done):
        counts: dict[str, int] = {}
        placed = placed_fields(fields)
        places = {one.key: number for number, one in enumerate(fields, place)}
        for where, rectangles in placed.items():
            if where in once.refused:
                doubtful |= _neighbours(rectangles).keys()
                continue
            for one, edges in zip(rectangles, _shared_edges(rectangles), strict=True):
                at = places[one.key]
                uncounted = np.union1d(once.elsewhere[at], left_out.labels(at)) if edges else NONE
                counts[one.key] = _at_edges(folder, fields[at - place], edges, uncounted)
        at_edges.extend(counts.get(one.key, -1) for one in fields)
        place += len(fields)
    known = max(at_edges, default=-1) >= 0
    return replace(once, doubtful=frozenset(doubtful), at_shared_edges=at_edges if known else array("q"))


def _wells(done: Rows[Field]) -> Iterator[list[Field]]:
    """Yields the fields of one well after the other; those without a well one by one.

    Where fields of several wells alternate, all fields are yielded at once.
    """
    wells = [well for well, _ in groupby(done.values("well")) if well]
    if len(wells) > len(set(wells)):
        yield list(done)
        return
    number = count()
    for _, fields in groupby(done, key=lambda one: one.well or next(number)):
        yield list(fields)


def covered_mm2(
    done: Rows[Field], refused: Container[WellTime], *, keep: bool = False
) -> dict[WellTime, float]:
    """Returns the area in which the nuclei of each well and time point were counted, in mm².

    Overlapping parts count once, except where nuclei there were counted several times: in wells and time
    points that are ``refused``, or everywhere with ``keep``. Wells with a field whose pixel size is unknown
    are left out.
    """
    areas: dict[WellTime, float] = defaultdict(float)
    unknown: set[WellTime] = set()
    for fields in _wells(done):
        for one in fields:
            where = one.well, one.t
            if not one.pixel_size_um:
                unknown.add(where)
            elif keep or where in refused or FieldRectangle.of(one) is None:
                areas[where] += one.height_px * one.width_px * one.pixel_size_um**2
        for where, rectangles in ({} if keep else placed_fields(fields)).items():
            if where not in refused:
                areas[where] += covered_um2(rectangles)
    return {where: area / 1e6 for where, area in areas.items() if where not in unknown}


Edge = tuple[int, bool, float, float]
"""Part of a field's edge, in its pixels: axis across it, whether it is the far one, begin, end."""


def _shared_edges(rectangles: Sequence[FieldRectangle]) -> list[list[Edge]]:
    """Returns the parts of each field's edges that other fields adjoin."""
    edges: list[list[Edge]] = [[] for _ in rectangles]
    for i, j, axis in adjoining_pairs(rectangles):
        for here, other in ((i, j), (j, i)):
            mine, theirs = rectangles[here], rectangles[other]
            along = (theirs.left, theirs.right) if axis == 0 else (theirs.top, theirs.bottom)
            origin = mine.left if axis == 0 else mine.top
            begin, end = ((value - origin) / mine.pixel_um for value in along)
            is_far = theirs.center[axis] > mine.center[axis]
            edges[here].append((axis, is_far, begin, end))
    return edges


def _at_edges(folder: RunFolder, one: Field, edges: Sequence[Edge], uncounted: npt.NDArray[np.int64]) -> int:
    """Counts the nuclei of a field that touch one of these edges, without the ``uncounted`` labels."""
    if not edges:
        return 0
    found = 0
    for columns in read_columns(folder.fragment(one.key), [_LABEL, *_BOX]):
        boxes_px = np.stack([columns[name] for name in _BOX], axis=1)
        touches = np.zeros(len(boxes_px), bool)
        for axis, is_far, begin, end in edges:
            side = one.width_px if axis else one.height_px
            margin = side - boxes_px[:, 2 + axis] if is_far else boxes_px[:, axis]
            along = 1 - axis
            touches |= (
                (margin <= _CUT_WITHIN_PX) & (boxes_px[:, along] < end) & (boxes_px[:, 2 + along] > begin)
            )
        found += int((touches & ~np.isin(columns[_LABEL], uncounted)).sum())
    return found


def _neighbours(rectangles: Sequence[FieldRectangle]) -> dict[str, list[FieldRectangle]]:
    near: dict[str, list[FieldRectangle]] = defaultdict(list)
    for i, j, _ in overlapping_pairs(rectangles):
        near[rectangles[i].key].append(rectangles[j])
        near[rectangles[j].key].append(rectangles[i])
    return near


def _nuclei_near(
    folder: RunFolder, one: Field, rectangle: FieldRectangle, others: Sequence[FieldRectangle]
) -> FieldNuclei:
    """Reads the nuclei of a field whose boxes reach into other fields, allowing for wrong positions."""
    origin = np.array([rectangle.top, rectangle.left])
    pixel_um = rectangle.pixel_um
    reach = largest_offset(rectangle)
    parts: list[FieldNuclei] = []
    for columns in read_columns(folder.fragment(one.key), [_LABEL, AREA, *_BOX, *CENTER]):
        boxes_px = np.stack([columns[name] for name in _BOX], axis=1)
        boxes = boxes_px * pixel_um + np.concatenate([origin, origin])
        is_near = np.zeros(len(boxes), bool)
        for other in others:
            is_near |= (boxes[:, :2] < (other.bottom + reach, other.right + reach)).all(axis=1) & (
                boxes[:, 2:] > (other.top - reach, other.left - reach)
            ).all(axis=1)
        margins_px = np.concatenate(
            [boxes_px[:, :2], (one.height_px, one.width_px) - boxes_px[:, 2:]], axis=1
        )
        cut = margins_px.min(axis=1, initial=one.height_px) <= _CUT_WITHIN_PX
        # Centroids are those of pixels' middles, boxes those of their edges.
        centers = (np.stack([columns[name] for name in CENTER], axis=1) + 0.5) * pixel_um + origin
        areas = columns[AREA] * pixel_um**2
        every = FieldNuclei(rectangle, columns[_LABEL], boxes, centers, areas, cut)
        parts.append(every.only(is_near))
    return FieldNuclei.joined(parts)
