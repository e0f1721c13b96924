"""Reads ``MeasurementResult.ome.xml`` of Yokogawa's CQ1: wells, channels, pixel size and stage positions.

The file is OME-XML that names each image ``W<number>(R<row>C<column>),A<grid>,F<field>``, for instance
``W14(R2C2),A1,F3``, and gives the file of each plane. Its first image describes the whole measurement and has
no file. ``MeasurementResultMIP.ome.xml`` and ``MeasurementResultSUM.ome.xml`` list projections.

Positions are micrometres on the stage with Y up, as in the .mlf files of Yokogawa's other microscopes. The
older schema has no units. Positions without one are used if neighbours lie about an image's width apart.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.pixel_size import not_square, not_square_remark, square_um
from nucbatch.core.plate import Channel
from nucbatch.core.plate_geometry import MOST_ROWS, PLATE_SIZES, row_letters, well_name
from nucbatch.readers.formats.xml_stream import Element
from nucbatch.readers.layouts.yokogawa.measurement_detail import real, whole
from nucbatch.readers.layouts.yokogawa.measurement_records import Position, Shot
from nucbatch.readers.listing import Listing

_NAME = re.compile(r"W0*([0-9]{1,4})\(R([0-9]{1,2})\s*,?\s*C([0-9]{1,2})\),\s*A([0-9]+),\s*F([0-9]+)")
_NUMBER = re.compile(r"(?:^|/)(?:.*[_-])?W([0-9]+)F[0-9]+T[0-9]+Z[0-9]+C([0-9]+)\.[^./]+$", re.IGNORECASE)
_MICROMETRES = ("µm", "μm", "um")
_STEP = 0.4, 1.5
"""Distance of neighbouring fields in widths of an image, within which positions must be micrometres."""


@dataclass(frozen=True, slots=True)
class OmeResult:
    """Contents of a ``MeasurementResult*.ome.xml``.

    Attributes:
        shots: images by their files.
        channels: by the number in the files' names.
        pixel_size_um: micrometres per pixel; None if unknown or different between images.
        rows: rows of the plate; 0 if unknown.
        columns: columns of the plate; 0 if unknown.
        remarks: sentences for the user.
    """

    shots: tuple[Shot, ...]
    channels: Mapping[int, Channel]
    pixel_size_um: float | None
    rows: int = 0
    columns: int = 0
    remarks: tuple[str, ...] = ()


def read_ome_result(listing: Listing, path: str, projection: str) -> OmeResult:
    """Reads a ``MeasurementResult*.ome.xml``; its images are projections of a kind, or z-steps if empty.

    Raises:
        UnreadableImage: it cannot be read, is damaged, or its numbers of wells contradict rows and columns.
    """
    found = listing.read_elements(path, {"Image"}, _collected, heads={"Plate"})
    first = _first_number(found)
    if not found.images:
        raise UnreadableImage("it names no image such as W14(R2C2),A1,F3")
    usable = _are_micrometres(found.images)
    shots: list[Shot] = []
    names: dict[int, Channel] = {}
    for image in found.images:
        well = well_name(row_letters(image.row - first), image.column - first + 1)
        for plane in image.planes:
            match = _NUMBER.search(plane.path)
            if match and int(match[1]) != image.number:
                raise UnreadableImage(f"it gives {plane.path} to well number {image.number}")
            number = int(match[2]) if match else plane.channel + 1
            if plane.channel < len(found.channels):
                names.setdefault(number, found.channels[plane.channel])
            shots.append(
                Shot(
                    plane.path,
                    well,
                    image.field,
                    plane.t + 1,
                    0 if projection else plane.z + 1,
                    number,
                    projection=projection,
                    position_um=plane.position_um if usable else None,
                )
            )
    sizes = [image.pixel_size_um for image in found.images]
    same = sizes[0] is not None and all(size is not None and math.isclose(size, sizes[0]) for size in sizes)
    tiled = len(found.images) > len({image.number for image in found.images})
    remarks = (
        ()
        if usable or not tiled
        else (f"{path.rpartition('/')[2]} gives positions of unknown unit: they are not used",)
    )
    oblong = next((image.oblong_um for image in found.images if image.oblong_um), None)
    if oblong:
        remarks = (*remarks, not_square_remark(*oblong, path.rpartition("/")[2]))
    return OmeResult(tuple(shots), names, sizes[0] if same else None, found.rows, found.columns, remarks)


@dataclass(frozen=True, slots=True)
class _Plane:
    path: str
    z: int
    t: int
    channel: int
    position_um: Position | None = None


@dataclass(frozen=True, slots=True)
class _Image:
    number: int
    row: int
    column: int
    grid: int
    field: int
    pixel_size_um: float | None
    oblong_um: tuple[float | None, float | None] | None
    width_um: float | None
    has_unit: bool
    planes: tuple[_Plane, ...]


@dataclass(slots=True)
class _Collected:
    images: list[_Image] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)
    rows: int = 0
    columns: int = 0


def _collected(elements: Iterator[Element]) -> _Collected:
    found = _Collected()
    for element in elements:
        if element.tag == "Plate":
            found.rows = whole(element.attributes.get("Rows", ""))
            found.columns = whole(element.attributes.get("Columns", ""))
            continue
        match = _NAME.fullmatch(element.attributes.get("Name", "").strip())
        pixels = element.child("Pixels")
        if match is None or pixels is None:
            continue
        found.images.append(_image(match, pixels))
        if not found.channels:
            found.channels = [_channel(child) for child in pixels.children if child.tag == "Channel"]
    return found


def _image(match: re.Match[str], pixels: Element) -> _Image:
    number, row, column, grid, site = (int(part) for part in match.groups())
    places: dict[tuple[int, int, int], Position] = {}
    units: set[str] = set()
    for child in pixels.children:
        x, y = (real(child.attributes.get(f"Position{axis}", "")) for axis in "XY")
        if child.tag == "Plane" and x is not None and y is not None:
            key = tuple(whole(child.attributes.get(axis, "")) for axis in ("TheZ", "TheT", "TheC"))
            places[key[0], key[1], key[2]] = (0.0 - y, x)
            units.add(child.attributes.get("PositionXUnit", ""))
            units.add(child.attributes.get("PositionYUnit", ""))
    planes: list[_Plane] = []
    for child in pixels.children:
        uuid = child.child("UUID") if child.tag == "TiffData" else None
        path = uuid.attributes.get("FileName", "").replace("\\", "/") if uuid else ""
        if path:
            z, t, c = (whole(child.attributes.get(f"First{axis}", "")) for axis in "ZTC")
            planes.append(_Plane(path, z, t, c, places.get((z, t, c))))
    sides = _sides_um(pixels)
    size = square_um(*sides)
    width = whole(pixels.attributes.get("SizeX", ""))
    has_unit = bool(units) and all(unit in _MICROMETRES for unit in units)
    return _Image(
        number,
        row,
        column,
        grid,
        site,
        size,
        sides if not_square(*sides) else None,
        size * width if size and width else None,
        has_unit,
        tuple(planes),
    )


def _sides_um(pixels: Element) -> tuple[float | None, float | None]:
    """Returns width and height of a pixel; None where unknown."""
    sides = []
    for axis in "XY":
        size = real(pixels.attributes.get(f"PhysicalSize{axis}", ""))
        unit = pixels.attributes.get(f"PhysicalSize{axis}Unit", "µm")
        sides.append(size if size and size > 0 and unit in _MICROMETRES else None)
    return sides[0], sides[1]


def _channel(element: Element) -> Channel:
    name = element.attributes.get("Name", "").strip()
    light, emission = (
        real(element.attributes.get(f"{key}Wavelength", "")) for key in ("Excitation", "Emission")
    )
    color = real(element.attributes.get("Color", ""))
    rgb = f"{(int(color) >> 8) & 0xFFFFFF:06X}" if color is not None else ""  # OME: signed RGBA
    return Channel(name, 0, (), light or None, emission or None, rgb)


def _first_number(found: _Collected) -> int:
    """Returns 1 or 0, the number of the first row and column, by comparison with the wells' numbers.

    Raises:
        UnreadableImage: neither agrees.
    """
    widths = [found.columns] if found.columns else sorted({columns for _, columns in PLATE_SIZES})
    for first in (1, 0):
        for columns in widths:
            if all(
                0 <= image.row - first < MOST_ROWS
                and 0 <= image.column - first < columns
                and image.number == (image.row - first) * columns + image.column - first + 1
                for image in found.images
            ):
                return first
    raise UnreadableImage("its numbers of wells contradict their rows and columns")


def _are_micrometres(images: Sequence[_Image]) -> bool:
    """Returns whether positions are in micrometres; True where there are none."""
    if all(image.has_unit or not any(plane.position_um for plane in image.planes) for image in images):
        return True
    grids: dict[tuple[int, int], dict[int, Position]] = defaultdict(dict)
    widths: set[float] = set()
    for image in images:
        place = next((plane.position_um for plane in image.planes if plane.position_um), None)
        if place is None or image.width_um is None:
            return False
        grids[image.number, image.grid][image.field] = place
        widths.add(image.width_um)
    steps = [
        min(math.dist(place, other) for number, other in places.items() if number != site)
        for places in grids.values()
        if len(places) > 1
        for site, place in places.items()
    ]
    least, most = _STEP[0] * min(widths), _STEP[1] * max(widths)
    return bool(steps) and all(least <= step <= most for step in steps)
