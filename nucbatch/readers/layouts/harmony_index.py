"""Reads Harmony's and Columbus' index of a measurement: ``Index.idx.xml``, ``Index.xml`` and their relatives.

Harmony 4 (namespace ``HarmonyV5``) repeats everything in each ``Image``. Later versions (``HarmonyV6``,
``HarmonyV7``) keep the facts of a channel in ``Maps/Map/Entry``. Elements are matched by local name, wherever
they stand, so both are read by one parser. The file is streamed: of each image a small record is kept.

Units: positions in metres with y up, resolutions in metres per pixel, wavelengths in nm. Rows, columns,
fields and planes count from 1. Time points count from 0 in root version 1 (V5) and from 1 in version 2 (V7).
The time point in the image's name (``sk1`` or ``t01``) counts from 1 in both and decides where it is there.

Sources: real indices of V5 and V7 (pe2loaddata, operetta-compose); names of the Columbus files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.pixel_size import not_square, square_um
from nucbatch.core.plate_geometry import (
    MOST_COLUMNS,
    MOST_ROWS,
    row_index,
    row_letters,
    split_well,
    well_name,
)
from nucbatch.readers.assemble import FieldKey
from nucbatch.readers.formats.xml_stream import Element
from nucbatch.readers.layouts.harmony_name import HarmonyName, base_name, parse
from nucbatch.readers.listing import Listing
from nucbatch.readers.planes_apart import apart_um

_UM_PER = {"m": 1e6, "mm": 1e3, "um": 1.0, "µm": 1.0, "μm": 1.0, "nm": 1e-3}
_FARTHEST_UM = 1e6  # no stage travels a metre
_LARGEST_PIXEL_UM = 1e3
_LONGEST = 200  # characters of a name
_NUMBER = re.compile(r"[0-9]{1,9}")

Parts = Mapping[str, Element]


@dataclass(slots=True)
class IndexedImage:
    """Image that an index lists.

    Attributes:
        file: its path as the index writes it, with ``/``; usually the name alone.
        page: page of the file, from 0.
        name: well, site, channel, z and t, as parsed from a name.
        fault: reason why the index itself says that it is unusable; empty for ``State`` Ok.
    """

    file: str
    page: int
    name: HarmonyName
    fault: str


@dataclass(slots=True)
class IndexedChannel:
    """Facts of a channel.

    Attributes:
        name: of the stain or mode; empty if the index has none.
        excitation_nm: None if unknown; brightfield has one too.
        emission_nm: None if unknown or not applicable.
        pixel_sizes_um: all sizes of its square pixels in the sample.
        flat_field: text of the profile of its illumination; empty if there is none.
    """

    name: str = ""
    excitation_nm: float | None = None
    emission_nm: float | None = None
    pixel_sizes_um: set[float] = field(default_factory=set)
    flat_field: str = ""


@dataclass(slots=True)
class HarmonyIndex:
    """Contents of an index.

    Attributes:
        path: relative path of the file.
        plate: name of the plate; empty if unknown.
        measurement: identifier of the measurement; empty if unknown.
        rows: rows of the plate; 0 if unknown.
        columns: columns of the plate; 0 if unknown.
        wells: names of the wells that were measured.
        channels: by number.
        images: in the index' order.
        positions_um: (y, x) of each field's centre from the centre of its well, y down.
        times: time at which the first image of a field was acquired, as written.
        oblong_um: width and height of pixels that are not square.
        apart_um: distance between the planes of those fields whose planes lie apart.
    """

    path: str
    plate: str = ""
    measurement: str = ""
    rows: int = 0
    columns: int = 0
    wells: tuple[str, ...] = ()
    channels: dict[int, IndexedChannel] = field(default_factory=dict)
    images: list[IndexedImage] = field(default_factory=list)
    positions_um: dict[FieldKey, tuple[float, float]] = field(default_factory=dict)
    times: dict[FieldKey, str] = field(default_factory=dict)
    oblong_um: tuple[float | None, float | None] | None = None
    apart_um: dict[FieldKey, float] = field(default_factory=dict)


def read_index(listing: Listing, path: str) -> HarmonyIndex:
    """Reads the index at ``path``.

    Raises:
        UnreadableImage: it is damaged, no Harmony index, or contradicts itself; the message is a reason.
        ImageUnavailable: it does not answer in time.
    """
    return listing.read_elements(
        path,
        {"Plate", "Entry", "Image"},
        lambda found: _Builder(path).built(found),
        heads={"EvaluationInputData"},
    )


class _Builder:
    """Builds an index from its elements."""

    def __init__(self, path: str) -> None:
        self.index = HarmonyIndex(path)
        self._version = ""
        self._seen: dict[tuple[str, int], HarmonyName] = {}
        self._named: list[int] = []  # time point in each image's name, from 1; 0 if it has none

    def built(self, elements: Iterator[Element]) -> HarmonyIndex:
        """Consumes the elements."""
        for element in elements:
            if element.tag == "EvaluationInputData":
                self._version = element.attributes.get("Version", "")
            elif element.tag == "Plate":
                self._plate(element)
            elif element.tag == "Image" and element.children:  # without any it refers to one from a well
                self._image(_parts(element))
            elif element.tag == "Entry" and _number(element.attributes.get("ChannelID", "")):
                self._channel(int(element.attributes["ChannelID"]), _parts(element))
        if not self.index.images:
            raise UnreadableImage("it lists no image of a Harmony measurement")
        self._count_time()
        if any(not self._has(image.name.well) for image in self.index.images):
            self.index.rows = self.index.columns = 0  # the plate's size is wrong
        return self.index

    def _has(self, well: str) -> bool:
        row, column = split_well(well)
        return row_index(row) < self.index.rows and column <= self.index.columns

    def _plate(self, element: Element) -> None:
        index = self.index
        names = [element.value("Name"), element.value("PlateID"), index.plate]
        index.plate = next((name for name in names if 0 < len(name) <= _LONGEST), "")
        index.measurement = element.value("MeasurementID") or index.measurement
        rows, columns = (_number(element.value(tag)) for tag in ("PlateRows", "PlateColumns"))
        if 0 < rows <= MOST_ROWS and 0 < columns <= MOST_COLUMNS:
            index.rows, index.columns = rows, columns
        ids = [child.attributes.get("id", "") for child in element.children if child.tag == "Well"]
        wells = [_well(one[:2], one[2:]) for one in ids if len(one) == 4]
        index.wells = tuple(dict.fromkeys((*index.wells, *filter(None, wells))))

    def _channel(self, number: int, parts: Parts) -> None:
        """Adds what an element says about a channel."""
        channel = self.index.channels.setdefault(number, IndexedChannel())
        name = _text(parts, "ChannelName")
        if len(name) > _LONGEST:
            raise UnreadableImage(f"the name of channel {number} has {len(name):,} characters")
        if name and channel.name and name != channel.name:
            raise UnreadableImage(f"it names channel {number} both {channel.name!r} and {name!r}")
        channel.name = channel.name or name
        channel.flat_field = channel.flat_field or _text(parts, "FlatfieldProfile")
        channel.excitation_nm = channel.excitation_nm or _wavelength(parts, "MainExcitationWavelength")
        channel.emission_nm = channel.emission_nm or _wavelength(parts, "MainEmissionWavelength")
        across, down = (_length_um(parts, f"ImageResolution{axis}") for axis in "XY")
        if not_square(across, down):
            self.index.oblong_um = across, down
        size_um = _pixel_size(across, down)
        if size_um:
            channel.pixel_sizes_um.add(size_um)

    def _image(self, parts: Parts) -> None:
        file = _text(parts, "URL").replace("\\", "/")
        shown = _text(parts, "id") or file or f"image {len(self.index.images) + 1:,}"
        site, plane, channel = (_number(_text(parts, tag)) for tag in ("FieldID", "PlaneID", "ChannelID"))
        well = _well(_text(parts, "Row"), _text(parts, "Col"))
        time_id = _text(parts, "TimepointID")
        if not (well and site and plane and channel and _NUMBER.fullmatch(time_id)):
            said = ", ".join(f"{tag} {_text(parts, tag) or 'none'}" for tag in _PLACE)
            raise UnreadableImage(f"its image {shown} has no usable place: {said}")
        named = parse(base_name(file))
        if named and (named.well, named.site, named.channel, named.z) != (well, site, channel, plane - 1):
            raise UnreadableImage(
                f"it lists {file} as well {well}, field {site}, plane {plane}, channel {channel}"
            )
        name = HarmonyName(well, site, channel, plane - 1, int(time_id))
        page = _number(parts["URL"].attributes.get("BufferNo", "")) if "URL" in parts else 0
        if file and self._seen.setdefault((file, page), name) is not name:
            raise UnreadableImage(f"it lists {file} twice")
        self._channel(channel, parts)
        state = _text(parts, "State")
        fault = "" if state in ("", "Ok") else f"{self.index.path} gives its state as {state[:_LONGEST]}"
        self.index.images.append(IndexedImage(file, page, name, fault))
        self._named.append(named.t + 1 if named else 0)
        self._field((well, site, int(time_id)), parts)

    def _field(self, key: FieldKey, parts: Parts) -> None:
        position_um = _position(parts)
        if position_um:
            first = self.index.positions_um.setdefault(key, position_um)
            distance = apart_um([first, position_um])
            if distance > self.index.apart_um.get(key, 0.0):
                self.index.apart_um[key] = distance
        if key not in self.index.times:
            self.index.times[key] = _text(parts, "AbsTime")

    def _count_time(self) -> None:
        """Replaces each ``TimepointID`` by a time point from 0."""
        index = self.index
        numbers = [image.name.t for image in index.images]
        apart = {one - named for one, named in zip(numbers, self._named, strict=True) if named}
        if len(apart) > 1 or not apart <= {-1, 0}:
            raise UnreadableImage("its TimepointID contradict the time points in the names of its images")
        first = apart.pop() + 1 if apart else _FIRST_TIME.get(self._version, min(numbers))
        if min(numbers) < first or first > 1:
            raise UnreadableImage(
                f"its TimepointID begin at {min(numbers)}, and neither its version nor a name says from "
                "where they count"
            )
        if first == 0:
            return
        for image in index.images:
            image.name = replace(image.name, t=image.name.t - first)
        index.positions_um = {_earlier(key): value for key, value in index.positions_um.items()}
        index.apart_um = {_earlier(key): value for key, value in index.apart_um.items()}
        index.times = {_earlier(key): value for key, value in index.times.items()}


_FIRST_TIME = {"1": 0, "2": 1}  # by the root's Version
_PLACE = ("Row", "Col", "FieldID", "PlaneID", "TimepointID", "ChannelID")


def _parts(element: Element) -> Parts:
    """Returns the children by name; of several, the first."""
    return {child.tag: child for child in reversed(element.children)}


def _number(text: str) -> int:
    """Returns a number from 1; 0 for anything else."""
    return int(text) if _NUMBER.fullmatch(text) else 0


@lru_cache(maxsize=1 << 11)
def _well(row: str, column: str) -> str:
    """Returns the well's name; empty if no plate has it."""
    down, across = _number(row), _number(column)
    if not (0 < down <= MOST_ROWS and 0 < across <= MOST_COLUMNS):
        return ""
    return well_name(row_letters(down - 1), across)


def _earlier(key: FieldKey) -> FieldKey:
    return key[0], key[1], key[2] - 1


def _text(parts: Parts, tag: str) -> str:
    return parts[tag].text if tag in parts else ""


def _length_um(parts: Parts, tag: str) -> float | None:
    """Returns a length in micrometres; None if it is absent, not a number, or its unit is unknown.

    Without a unit it is in metres, as everywhere in an index; callers refuse what can't be.
    """
    if tag not in parts:
        return None
    per, value = _UM_PER.get(parts[tag].attributes.get("Unit", "m")), _float(parts[tag].text)
    return None if per is None or value is None else value * per


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _pixel_size(across: float | None, down: float | None) -> float | None:
    if across is None or not 0 < across < _LARGEST_PIXEL_UM:
        return None
    return square_um(across, down)


def _position(parts: Parts) -> tuple[float, float] | None:
    x_um, y_um = (_length_um(parts, f"Position{axis}") for axis in "XY")
    if x_um is None or y_um is None or max(abs(x_um), abs(y_um)) > _FARTHEST_UM:
        return None
    return -y_um + 0.0, x_um + 0.0  # no -0.0


def _wavelength(parts: Parts, tag: str) -> float | None:
    if tag not in parts or parts[tag].attributes.get("Unit", "nm") != "nm":
        return None
    value = _float(parts[tag].text)
    return value if value and value > 0 else None
