"""Reads the nuclei of overlapping fields from the table fragments and decides where each of them counts.

Wells are read one at a time, and of a field only the nuclei that lie near another field.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nucbatch.core.plate import Field
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
from nucbatch.store.fragments import read_columns
from nucbatch.store.run_folder import RunFolder

_LABEL, _AREA = "Metadata_ObjectNumber", "Nuclei_AreaShape_Area"
_BOX = [f"Metadata_Nuclei_BoundingBox{end}_{axis}" for end in ("Minimum", "Maximum") for axis in "YX"]
_CENTER = [f"Metadata_Nuclei_Location_Center_{axis}" for axis in "YX"]
_CUT_WITHIN_PX = 1  # of the field's edge: masks often end a pixel before it


@dataclass(frozen=True, slots=True)
class CountedOnce:
    """Where nuclei of overlapping fields count.

    Attributes:
        elsewhere: labels of the nuclei that count in another field, by the field's key.
        refused: wells and time points whose positions the images contradict; there all nuclei count.
        doubtful: keys of their fields that overlap with others, and of single misplaced fields.
        at_shared_edges: number of counted nuclei at edges that another field adjoins without overlapping, by
            the key of each field whose place is known; cut there, a nucleus counts in both fields.
    """

    elsewhere: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    refused: frozenset[WellTime] = frozenset()
    doubtful: frozenset[str] = frozenset()
    at_shared_edges: dict[str, int] = field(default_factory=dict)


def count_once(
    folder: RunFolder,
    done: Sequence[Field],
    *,
    keep: bool = False,
    left_out: Mapping[str, npt.NDArray[np.int64]] | None = None,
) -> CountedOnce:
    """Decides for the nuclei of all done fields whether they count.

    Args:
        folder: the run's folder, with the fields' table fragments.
        done: in the plate's order.
        keep: all nuclei count; only the positions are checked.
        left_out: labels of the nuclei that count nowhere, by the field's key.

    Raises:
        DamagedFile: a table fragment can't be read.
    """
    by_key = {one.key: one for one in done}
    found: dict[WellTime, WellOverlaps] = {}
    overlapping: dict[WellTime, Iterable[str]] = {}
    for where, rectangles in placed_fields(done).items():
        near = _neighbours(rectangles)
        if near:
            fields = [
                _nuclei_near(folder, by_key[one.key], one, near[one.key])
                for one in rectangles
                if one.key in near
            ]
            found[where] = resolve_overlaps(fields)
            overlapping[where] = near.keys()
    plate = sum((one.evidence for one in found.values()), Evidence.none())
    refused = {where for where, one in found.items() if not one.evidence.proves(plate)}
    elsewhere = {
        key: labels
        for where, one in found.items()
        if where not in refused and not keep
        for key, labels in one.elsewhere.items()
    }
    doubtful = (
        key
        for where, one in found.items()
        for key in (overlapping[where] if where in refused else one.misplaced)
    )
    none = np.zeros(0, np.int64)
    at_edges = {
        one.key: _at_edges(
            folder,
            by_key[one.key],
            edges,
            np.union1d(elsewhere.get(one.key, none), (left_out or {}).get(one.key, none)),
        )
        for where, rectangles in placed_fields(done).items()
        if where not in refused
        for one, edges in zip(rectangles, _shared_edges(rectangles), strict=True)
    }
    return CountedOnce(elsewhere, frozenset(refused), frozenset(doubtful), at_edges)


def covered_mm2(done: Iterable[Field], refused: Iterable[WellTime]) -> dict[WellTime, float]:
    """Returns the area in which the nuclei of each well and time point were counted, in mm².

    Overlapping parts count once, except where nuclei there were counted several times. Wells with a field
    whose pixel size is unknown are left out.
    """
    done, refused = list(done), frozenset(refused)
    placed = placed_fields(done)
    areas: dict[WellTime, float] = defaultdict(float)
    unknown: set[WellTime] = set()
    for one in done:
        where = one.well, one.t
        if not one.pixel_size_um:
            unknown.add(where)
        elif FieldRectangle.of(one) is None or where in refused:
            areas[where] += one.height_px * one.width_px * one.pixel_size_um**2
    for where, rectangles in placed.items():
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
    count = 0
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
        count += int((touches & ~np.isin(columns[_LABEL], uncounted)).sum())
    return count


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
    for columns in read_columns(folder.fragment(one.key), [_LABEL, _AREA, *_BOX, *_CENTER]):
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
        centers = (np.stack([columns[name] for name in _CENTER], axis=1) + 0.5) * pixel_um + origin
        areas = columns[_AREA] * pixel_um**2
        every = FieldNuclei(rectangle, columns[_LABEL], boxes, centers, areas, cut)
        parts.append(every.only(is_near))
    return FieldNuclei.joined(parts)
