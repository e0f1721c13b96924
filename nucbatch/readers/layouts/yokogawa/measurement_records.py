"""Reads ``MeasurementData.mlf``: Yokogawa's record of each image taken and each field lost.

An ``IMG`` record names a file with its well, field, channel, z-step, time point and stage position. An
``ERR`` record stands for a field that was not taken, with the reason, such as a failed autofocus. X and Y are
micrometres from the well's centre, with Y up, so that Y is negated here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.plate_geometry import MOST_COLUMNS, MOST_ROWS, row_letters, well_name
from nucbatch.readers.formats.xml_stream import Element
from nucbatch.readers.layouts.yokogawa.measurement_detail import real, whole
from nucbatch.readers.listing import FoundFile, Listing

Position = tuple[float, float]
T = TypeVar("T")

_LONGEST_REASON = 400
_TILE = ("TileXIndex", "TileYIndex", "PartialTileIndex")


@dataclass(frozen=True, slots=True)
class Shot:
    """Image that a record or a file name describes; numbers are as written.

    Attributes:
        path: file as named, relative to the plate; it may not exist.
        well: normalised well name.
        site: number of the field, from 1.
        time_point: from 1.
        z_step: from 1; 0 for a projection, or if the record does not give it.
        channel: number of the channel, from 1.
        timeline: number of the timeline, from 1.
        action: number of the action in its timeline, from 1.
        projection: kind of z-projection, such as ``Maximum``; ``unknown`` if only the name tells; empty for a
            z-step.
        position_um: (y, x) of the centre, y down; None if unknown.
        time: when it was taken.
        tile: tile of a tiled field; empty if the field is one image.
        file: the file; None if it does not exist.
    """

    path: str
    well: str
    site: int
    time_point: int
    z_step: int
    channel: int
    timeline: int = 1
    action: int = 1
    projection: str = ""
    position_um: Position | None = None
    time: str = ""
    tile: str = ""
    file: FoundFile | None = None


@dataclass(frozen=True, slots=True)
class Loss:
    """Field that the microscope failed to take.

    Attributes:
        well: normalised well name.
        site: number of the field, from 1; 0 if the record does not name it.
        time_point: from 1.
        timeline: number of the timeline, from 1.
        reason: the vendor's text.
        position_um: (y, x) of the centre, y down; None if unknown.
    """

    well: str
    site: int
    time_point: int
    timeline: int
    reason: str
    position_um: Position | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """Contents of a .mlf file.

    Attributes:
        shots: its images, without their files.
        losses: its lost fields.
        others: number of records by type, for types other than IMG and ERR.
    """

    shots: tuple[Shot, ...]
    losses: tuple[Loss, ...]
    others: tuple[tuple[str, int], ...] = ()


def read_records(listing: Listing, path: str) -> Records:
    """Reads a .mlf file.

    Raises:
        UnreadableImage: it cannot be read, is damaged or ends too early, or has an impossible record.
    """
    return listing.read_elements(path, {"MeasurementRecord"}, _records)


def located(shots: Sequence[Shot], files: Iterable[FoundFile], folder: str) -> list[Shot]:
    """Returns each shot with its file; of several records of one file, the last counts.

    A file is looked for at its path from the side file's folder, then by its name alone, then by its stem,
    since plates are moved into subfolders and converted to PNG. Paths that lead out of the plate have no
    file.
    """
    by_path = {file.path: file for file in files}
    by_name: dict[str, list[FoundFile]] = {}
    found: dict[str, Shot] = {}
    for shot in shots:
        path = f"{folder}/{shot.path}" if folder else shot.path
        match = by_path.get(path)
        if leads_out(shot.path):
            match = None
        elif match is None:
            by_name = by_name or _by_name(by_path.values())
            name = shot.path.rpartition("/")[2].casefold()
            alike = by_name.get(name) or by_name.get(name.rpartition(".")[0]) or []
            match = alike[0] if len(alike) == 1 else None
        place = match.path if match else path
        found[place] = replace(shot, path=place, file=match)
    return list(found.values())


def _by_name(files: Iterable[FoundFile]) -> dict[str, list[FoundFile]]:
    """Returns the files by their names and by their stems, in lower case."""
    found: dict[str, list[FoundFile]] = defaultdict(list)
    for file in files:
        name = file.path.rpartition("/")[2].casefold()
        found[name].append(file)
        found[name.rpartition(".")[0]].append(file)
    return dict(found)


def leads_out(path: str) -> bool:
    """Returns whether a path, as a record names it, is absolute or leads upwards."""
    return path.startswith("/") or ":" in path or ".." in path.split("/")


def sites_given(losses: Sequence[Loss], shots: Sequence[Shot]) -> list[Loss]:
    """Returns the losses with a number for each field.

    A record without a field's number (of CQ3K and tiled acquisitions) has the field that other wells took at
    this position; else a number of its own in the well.
    """
    if all(loss.site for loss in losses):
        return list(losses)
    at: dict[tuple[int, int], int] = {}
    largest: dict[str, int] = defaultdict(int)
    for shot in shots:
        if shot.position_um:
            at.setdefault(_grid(shot.position_um), shot.site)
        largest[shot.well] = max(largest[shot.well], shot.site)
    numbered: list[Loss] = []
    own: dict[tuple[str, Position | None], int] = {}
    for loss in losses:
        site = loss.site or (at.get(_grid(loss.position_um), 0) if loss.position_um else 0)
        if not site:
            place = loss.well, loss.position_um
            if place not in own:
                largest[loss.well] += 1
                own[place] = largest[loss.well]
            site = own[place]
        numbered.append(replace(loss, site=site))
    return numbered


def _grid(position_um: Position) -> tuple[int, int]:
    return round(position_um[0]), round(position_um[1])


def _records(elements: Iterator[Element]) -> Records:
    shots: list[Shot] = []
    losses: list[Loss] = []
    others: Counter[str] = Counter()
    known = _Known()
    for number, element in enumerate(elements, start=1):
        kind = element.attributes.get("Type", "")
        if kind == "IMG":
            shots.append(_shot(element, number, known))
        elif kind == "ERR":
            losses.append(_loss(element, number))
        else:
            others[kind] += 1
    return Records(tuple(shots), tuple(losses), tuple(sorted(others.items())))


@dataclass(slots=True)
class _Known:
    """Values of earlier records: equal values are kept once, and the time of a field's first image only."""

    values: dict[object, Any] = field(default_factory=dict)
    timed: set[tuple[str, int, int]] = field(default_factory=set)

    def once(self, value: T) -> T:
        same: T = self.values.setdefault(value, value)
        return same

    def time(self, place: tuple[str, int, int], text: str) -> str:
        if place in self.timed:
            return ""
        self.timed.add(place)
        return text


def _shot(element: Element, number: int, known: _Known) -> Shot:
    values = element.attributes
    channel, site = whole(values.get("Ch", "")), whole(values.get("FieldIndex", ""))
    if not (channel and site and element.text):
        missing = "Ch" if not channel else "FieldIndex" if not site else "a file name"
        raise UnreadableImage(f"its record {number:,} lacks {missing}")
    well, point = known.once(_well(element, number)), whole(values.get("TimePoint", "1")) or 1
    projection = values.get("ZImageProcessing", "").strip()
    return Shot(
        element.text.replace("\\", "/").removeprefix("./"),
        well,
        site,
        point,
        0 if projection else whole(values.get("ZIndex", "")),
        channel,
        whole(values.get("TimelineIndex", "1")) or 1,
        whole(values.get("ActionIndex", "1")) or 1,
        known.once(projection),
        known.once(_position(element)),
        known.time((well, site, point), values.get("Time", "")),
        known.once(",".join(values[key] for key in _TILE if key in values)),
    )


def _loss(element: Element, number: int) -> Loss:
    values = element.attributes
    return Loss(
        _well(element, number),
        whole(values.get("FieldIndex", "")),
        whole(values.get("TimePoint", "1")) or 1,
        whole(values.get("TimelineIndex", "1")) or 1,
        element.text[:_LONGEST_REASON] or "an error without a text",
        _position(element),
    )


def _well(element: Element, number: int) -> str:
    row, column = whole(element.attributes.get("Row", "")), whole(element.attributes.get("Column", ""))
    if not (0 < row <= MOST_ROWS and 0 < column <= MOST_COLUMNS):
        raise UnreadableImage(
            f"its record {number:,} has row {element.attributes.get('Row', '')!r} and column "
            f"{element.attributes.get('Column', '')!r}, which no plate has"
        )
    return well_name(row_letters(row - 1), column)


def _position(element: Element) -> Position | None:
    x, y = (real(element.attributes.get(axis, "")) for axis in "XY")
    return None if x is None or y is None else (0.0 - y, x)
