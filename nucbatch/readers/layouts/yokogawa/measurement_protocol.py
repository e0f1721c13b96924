"""Reads a .mes file of Yokogawa's microscopes: the channels, and the wells and fields that were to be taken.

A .mes file is the protocol of a measurement. Where a measurement was stopped, fields of the protocol have no
image. They are listed as lost, but only if the protocol agrees with all that was taken, since the protocol of
another measurement may lie beside the images.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nucbatch.core.plate import Channel
from nucbatch.core.plate_geometry import MOST_COLUMNS, MOST_ROWS, row_letters, well_name
from nucbatch.readers.formats.xml_stream import Element
from nucbatch.readers.layouts.yokogawa.measurement_detail import real, whole
from nucbatch.readers.layouts.yokogawa.measurement_records import Loss, Shot
from nucbatch.readers.listing import Listing

_BAND = re.compile(r"BP\s*([0-9]{3,4})\s*/", re.IGNORECASE)
_ARGB = re.compile(r"#(?:[0-9A-F]{2})?([0-9A-F]{6})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Timeline:
    """What one timeline was to take.

    Attributes:
        wells: selected wells, in the order of the file.
        sites: number of fields in each well; 0 if unknown.
    """

    wells: tuple[str, ...] = ()
    sites: int = 0


@dataclass(frozen=True, slots=True)
class MeasurementProtocol:
    """Contents of a .mes file.

    Attributes:
        path: path of the file.
        channels: by number; names may repeat.
        timelines: in the order of their numbers, from 1.
    """

    path: str = ""
    channels: Mapping[int, Channel] = field(default_factory=dict)
    timelines: tuple[Timeline, ...] = ()


def read_protocol(listing: Listing, path: str) -> MeasurementProtocol:
    """Reads a .mes file.

    Raises:
        UnreadableImage: it cannot be read, or is damaged.
    """

    def build(elements: Iterator[Element]) -> MeasurementProtocol:
        found = list(elements)
        timelines = tuple(_timeline(element) for element in found if element.tag == "Timeline")
        return MeasurementProtocol(path, _channels(found), timelines)

    return listing.read_elements(path, {"Channel", "LightSource", "Timeline"}, build)


def never_taken(protocol: MeasurementProtocol, shots: Sequence[Shot], losses: Sequence[Loss]) -> list[Loss]:
    """Returns the fields of the protocol that have neither an image nor a loss.

    Nothing is returned if wells or fields were taken that are not in the protocol, or for timelines without
    any image.
    """
    both: list[Shot | Loss] = [*shots, *losses]
    sites: dict[int, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    first: dict[int, int] = {}
    for one in both:
        sites[one.timeline][one.well].add(one.site)
        first[one.timeline] = min(first.get(one.timeline, one.time_point), one.time_point)
    if not _agrees(protocol.timelines, sites) or any(shot.tile for shot in shots):
        return []
    name = protocol.path.rpartition("/")[2]
    return [
        Loss(well, site, first[number], number, f"{name} selects this field, but there is no image of it")
        for number, planned in enumerate(protocol.timelines, start=1)
        if number in sites
        for well in planned.wells
        for site in range(1, max(planned.sites, 1) + 1)
        if site not in sites[number].get(well, ()) and (planned.sites or well not in sites[number])
    ]


def _agrees(planned: Sequence[Timeline], taken: Mapping[int, Mapping[str, set[int]]]) -> bool:
    return all(
        number <= len(planned)
        and wells.keys() <= set(planned[number - 1].wells)
        and (not planned[number - 1].sites or max(map(max, wells.values())) <= planned[number - 1].sites)
        for number, wells in taken.items()
    )


def distinct_channels(
    known: Mapping[int, Channel], numbers: Iterable[int], default: str
) -> dict[int, Channel]:
    """Returns a channel with a name of its own for each number.

    Args:
        known: channels of the .mes file.
        numbers: numbers of the channels that occur.
        default: name of channels that are not in ``known``, with a place for the number.
    """
    found = {number: known.get(number) or Channel("", 0) for number in numbers}
    counts = Counter(channel.name.casefold() for channel in found.values())
    return {number: _named(channel, number, counts, default) for number, channel in found.items()}


def _named(channel: Channel, number: int, counts: Mapping[str, int], default: str) -> Channel:
    plain = default.format(number)
    name = channel.name or plain
    if channel.name and counts[channel.name.casefold()] > 1:
        name = f"{channel.name} ({plain})"
    aliases = tuple(dict.fromkeys(alias for alias in (plain, *channel.aliases) if alias and alias != name))
    return Channel(name, 0, aliases, channel.excitation_nm, channel.emission_nm, channel.color)


def _timeline(element: Element) -> Timeline:
    wells: dict[str, None] = {}
    sequence, points = element.child("WellSequence"), element.child("PointSequence")
    selected = sequence is not None and sequence.attributes.get("IsSelected", "true").lower() == "true"
    for target in sequence.children if sequence and selected else ():
        row, column = whole(target.attributes.get("Row", "")), whole(target.attributes.get("Column", ""))
        if target.text.lower() == "true" and 0 < row <= MOST_ROWS and 0 < column <= MOST_COLUMNS:
            wells[well_name(row_letters(row - 1), column)] = None
    is_fixed = points is not None and points.attributes.get("Method", "FixedPosition") == "FixedPosition"
    fixed = points.child("FixedPosition") if points and is_fixed else None
    sites = sum(child.tag == "Point" for child in fixed.children) if fixed else 0
    return Timeline(tuple(wells), sites)


def _channels(elements: Iterable[Element]) -> dict[int, Channel]:
    lights: dict[str, float] = {}
    listed: list[Element] = []
    for element in elements:
        if element.tag == "LightSource":
            wavelength = real(element.attributes.get("WaveLength", ""))
            if wavelength:
                lights[element.attributes.get("Name", "")] = wavelength
        elif element.tag == "Channel":
            listed.append(element)
    return {
        number: _channel(element, lights)
        for element in listed
        if (number := whole(element.attributes.get("Ch", "")))
    }


def _channel(element: Element, lights: Mapping[str, float]) -> Channel:
    """Describes a channel: its stain, or its target, or light and filter as in ``405 BP445/45``."""
    stain, target, band = (
        element.attributes.get(key, "").strip() for key in ("Fluorophore", "Target", "Acquisition")
    )
    lit = f"{target} {band}".strip() if target.isdecimal() else target
    name = stain or lit or band
    sources = [child.text for child in element.children if child.tag == "LightSourceName"]
    excitation = lights.get(sources[0]) if len(sources) == 1 else None
    emission = _BAND.search(band)
    color = _ARGB.fullmatch(element.attributes.get("Color", "").strip())
    return Channel(
        name,
        0,
        tuple(dict.fromkeys(text for text in (stain, target, band) if text)),
        excitation,
        float(emission[1]) if emission else None,
        color[1].upper() if color else "",
    )
