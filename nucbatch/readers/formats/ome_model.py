"""Reads OME metadata as a whole: images, the file and page of each plane, channels, plates and wells.

The metadata lie in a TIFF's description or in a companion file. ``ome_xml.py`` interprets those of one file
alone; layouts of several files or several images use this module.

Source: OME data model 2016-06.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from math import prod

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.escape import printable
from nucbatch.core.pixel_size import not_square, square_um
from nucbatch.core.plate import Channel
from nucbatch.readers.formats.ome_planes import PlaneKey, described_planes, plane_order
from nucbatch.readers.formats.tiff_description import in_um, physical_sides_um, plane_on_stage
from nucbatch.readers.formats.xml_stream import Element

ELEMENTS = frozenset({"Image", "Plate", "BinaryOnly"})
HEADS = frozenset({"OME"})

_MOST_DESCRIBED = 4_000_000
"""Most planes of all images together."""
_INTEGER = re.compile("-?[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class PlaneSource:
    """File and page of a plane, as metadata name them.

    Attributes:
        file: name relative to the metadata's folder; empty for the file that holds the metadata.
        uuid: in small letters; empty if not recorded.
        page: directory of the TIFF, from 0.
    """

    file: str
    uuid: str
    page: int


@dataclass(frozen=True, slots=True)
class OmeSeries:
    """Image of OME metadata.

    Attributes:
        id: identifier that plates refer to.
        name: name of the image.
        label: name of the stage position; empty if not recorded.
        time: date and time of the acquisition, as recorded.
        sizes: number of time points, channels (counted in pages) and z-steps.
        size_px: (Y, X); None if not recorded.
        samples: values per pixel, as recorded.
        channels: one for each page of a plane.
        pixel_size_um: None if unknown, or if pixels are not square.
        planes: the described planes.
        is_implicit: no ``TiffData`` describes the planes: they are consecutive in the file.
        stage_um: for each time point where it is recorded, (y, x) of the centre as the stage counts. OME
            metadata do not say which way its axes run in the image.
        has_unknown_places: positions are recorded in a unit that is none of length.
        oblong_um: width and height of pixels that are not square.
    """

    id: str
    name: str
    label: str
    time: str
    sizes: tuple[int, int, int]
    size_px: tuple[int, int] | None
    samples: int
    channels: tuple[Channel, ...]
    pixel_size_um: float | None
    planes: dict[PlaneKey, PlaneSource]
    is_implicit: bool
    stage_um: dict[int, tuple[float, float]]
    has_unknown_places: bool
    oblong_um: tuple[float | None, float | None] | None = None

    def expected(self) -> Iterator[PlaneKey]:
        """Yields all planes that the image should have."""
        times, channels, steps = self.sizes
        return ((t, c, z) for t in range(times) for c in range(channels) for z in range(steps))


@dataclass(frozen=True, slots=True)
class OmeSample:
    """Field of a well: ``WellSample``.

    Attributes:
        id: identifier.
        index: number that orders the fields; None if not recorded.
        image: identifier of its image; empty if it was not acquired.
    """

    id: str
    index: int | None
    image: str


@dataclass(frozen=True, slots=True)
class OmeWell:
    """Well of a plate; ``row`` and ``column`` count from 0."""

    row: int
    column: int
    samples: tuple[OmeSample, ...]


@dataclass(frozen=True, slots=True)
class OmePlate:
    """Plate of OME metadata.

    Attributes:
        id: identifier.
        name: name; empty if not recorded.
        rows: number of rows; 0 if not recorded.
        columns: number of columns; 0 if not recorded.
        wells: the described wells.
        acquisitions: name of each acquisition, with the identifiers of its fields.
    """

    id: str
    name: str
    rows: int
    columns: int
    wells: tuple[OmeWell, ...]
    acquisitions: tuple[tuple[str, frozenset[str]], ...]


@dataclass(slots=True)
class OmeDocument:
    """Metadata of a file.

    Attributes:
        uuid: of the file, in small letters; empty if not recorded.
        metadata_file: file that holds the metadata instead; empty if they are here.
        images: in document order.
        plates: in document order.
    """

    uuid: str = ""
    metadata_file: str = ""
    images: list[OmeSeries] = field(default_factory=list)
    plates: list[OmePlate] = field(default_factory=list)


def document_of(elements: Iterable[Element], size_bytes: int) -> OmeDocument:
    """Interprets the elements :data:`ELEMENTS` and :data:`HEADS` of OME metadata.

    Args:
        elements: in document order.
        size_bytes: size of the file that holds them.

    Raises:
        UnreadableImage: a number is malformed, or there are too many planes.
    """
    found = OmeDocument()
    planes = 0
    for element in elements:
        try:
            if element.tag == "OME":
                found.uuid = element.attributes.get("UUID", "").strip().lower()
            elif element.tag == "BinaryOnly":
                found.metadata_file = element.attributes.get("MetadataFile", "").strip()
            elif element.tag == "Plate":
                found.plates.append(_plate(element))
            elif element.tag == "Image":
                found.images.append(_image(element, len(found.images), size_bytes))
                planes += prod(found.images[-1].sizes)
        except ValueError as error:
            if isinstance(error, UnreadableImage):
                raise
            raise UnreadableImage(f"damaged OME-XML ({error} in {element.tag})") from error
        if planes > _MOST_DESCRIBED:
            raise UnreadableImage(
                f"its OME-XML describes more than {_MOST_DESCRIBED:,} planes: split the acquisition"
            )
    return found


def _image(element: Element, number: int, size_bytes: int) -> OmeSeries:
    identifier = element.attributes.get("ID", f"Image:{number}")
    label = element.child("StageLabel")
    pixels = element.child("Pixels")
    if pixels is None:
        raise UnreadableImage(f"damaged OME-XML ({identifier} has no Pixels)")
    values = pixels.attributes
    listed = [child for child in pixels.children if child.tag == "Channel"]
    samples = int(listed[0].attributes.get("SamplesPerPixel", "1")) if listed else 1
    sizes = {axis: int(values.get(f"Size{axis}", "1")) for axis in "TCZ"}
    if samples > 1 and sizes["C"] % samples == 0:
        sizes["C"] //= samples
    planes, is_implicit = _planes(pixels, sizes, size_bytes)
    stage_um: dict[int, tuple[float, float]] = {}
    has_unknown_places = False
    for child in pixels.children:
        if child.tag == "Plane" and "PositionX" in child.attributes:
            place = plane_on_stage(child.attributes)
            has_unknown_places |= place is None
            if place is not None:
                stage_um.setdefault(int(child.attributes.get("TheT", "0")), place)
    sides = physical_sides_um(values)
    return OmeSeries(
        id=identifier,
        name=printable(element.attributes.get("Name", "").strip()),
        label=printable(label.attributes.get("Name", "").strip()) if label else "",
        time=printable(element.value("AcquisitionDate")),
        sizes=(sizes["T"], sizes["C"], sizes["Z"]),
        size_px=(int(values["SizeY"]), int(values["SizeX"])) if {"SizeX", "SizeY"} <= values.keys() else None,
        samples=samples,
        channels=tuple(_channel(child, index) for index, child in enumerate(listed)),
        pixel_size_um=square_um(*sides),
        oblong_um=sides if not_square(*sides) else None,
        planes=planes,
        is_implicit=is_implicit,
        stage_um=stage_um,
        has_unknown_places=has_unknown_places,
    )


def _planes(
    pixels: Element, sizes: dict[str, int], size_bytes: int
) -> tuple[dict[PlaneKey, PlaneSource], bool]:
    places = plane_order(pixels.attributes.get("DimensionOrder", "XYCZT"), sizes, size_bytes)
    ranks = {place: rank for rank, place in enumerate(places)}
    blocks = [child for child in pixels.children if child.tag == "TiffData"]
    if not blocks:
        return {place: PlaneSource("", "", page) for page, place in enumerate(places)}, True
    planes: dict[PlaneKey, PlaneSource] = {}
    for block in blocks:
        uuid = block.child("UUID")
        file = uuid.attributes.get("FileName", "") if uuid else ""
        text = uuid.text.lower() if uuid else ""
        for place, page in described_planes(block.attributes, places, ranks):
            planes[place] = PlaneSource(file, text, page)
    return planes, False


def _channel(element: Element, index: int) -> Channel:
    values = element.attributes
    name, dye = (printable(values.get(key, "").strip()) for key in ("Name", "Fluor"))
    return Channel(
        name,
        index,
        aliases=(dye,) if dye and dye != name else (),
        excitation_nm=_nm(values, "ExcitationWavelength"),
        emission_nm=_nm(values, "EmissionWavelength"),
        color=_color(values.get("Color", "")),
    )


def _color(text: str) -> str:
    """Converts a signed 32-bit number, RGBA, to RRGGBB; empty if it is none."""
    return f"{(int(text) & 0xFFFFFFFF) >> 8:06X}" if _INTEGER.fullmatch(text) else ""


def _nm(values: dict[str, str], key: str) -> float | None:
    length_um = in_um(values.get(key, ""), values.get(f"{key}Unit", "nm"))
    return None if length_um is None else round(length_um * 1e3, 6)


def _plate(element: Element) -> OmePlate:
    values = element.attributes
    wells = []
    for child in element.children:
        if child.tag == "Well":
            samples = tuple(_sample(one) for one in child.children if one.tag == "WellSample")
            row, column = (
                int(child.attributes[key]) if key in child.attributes else -1 for key in ("Row", "Column")
            )
            wells.append(OmeWell(row, column, samples))
    acquisitions = []
    for child in element.children:
        if child.tag == "PlateAcquisition":
            name = child.attributes.get("Name", "") or child.attributes.get("ID", "")
            refs = (one.attributes.get("ID", "") for one in child.children if one.tag == "WellSampleRef")
            acquisitions.append((printable(name), frozenset(refs)))
    return OmePlate(
        id=values.get("ID", ""),
        name=printable(values.get("Name", "").strip()),
        rows=int(values.get("Rows", "0")),
        columns=int(values.get("Columns", "0")),
        wells=tuple(wells),
        acquisitions=tuple(acquisitions),
    )


def _sample(element: Element) -> OmeSample:
    image = element.child("ImageRef")
    index = element.attributes.get("Index", "").strip()
    return OmeSample(
        element.attributes.get("ID", ""),
        int(index) if index else None,
        image.attributes.get("ID", "") if image else "",
    )


def in_colour(image: OmeSeries) -> OmeSeries:
    """Returns the image with three channels a page, for writers that do not record RGB as samples."""
    times, channels, steps = image.sizes
    if image.samples > 1 or channels % 3:
        return image
    sizes = times, channels // 3, steps
    planes = {(t, c // 3, z): source for (t, c, z), source in image.planes.items() if c % 3 == 0}
    return replace(image, sizes=sizes, planes=planes, samples=3, channels=image.channels[::3])
