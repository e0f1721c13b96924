"""Side files of ScanR: ``metadata.ome.xml`` (scanR 3.x) and ``experiment_descriptor.xml``.

``metadata.ome.xml`` has one ``Image`` for each position, ``ID="Image:W14P1"`` and ``Name="Well 14, Position 1
(B2)"``. It lists the files, and records the pixel size and the absolute stage position of each plane in
micrometres. The stage's Y runs up: fractal-uzh-converters, tried on real plates, negates it as it does for
Operetta, and not for ImageXpress.

``experiment_descriptor.xml`` is LabVIEW's list of ``Name`` and ``Val``, in ISO-8859-1 without a declaration.
The plate's size follows the name ``format typedef`` (source: Bio-Formats, ScanrReader).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import TypeVar
from unicodedata import normalize

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.pixel_size import not_square, square_um
from nucbatch.core.plate import FileRecord
from nucbatch.core.plate_geometry import MOST_COLUMNS, MOST_ROWS, plausible_well
from nucbatch.readers.formats.xml_stream import Element
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.planes_apart import apart_um
from nucbatch.readers.rules import ignored, no_image, quarantined

METADATA, DESCRIPTOR = "metadata.ome.xml", "experiment_descriptor.xml"
_SIDE_FILES = frozenset({METADATA, DESCRIPTOR, "experiment_descriptor.dat", "acquisitionlog.dat"})
_IMAGE_ID = re.compile(r"Image:W([0-9]{1,9})P([0-9]{1,9})")
_IMAGE_WELL = re.compile(r"\(([A-Za-z]{1,2}[0-9]{1,2})\)\s*$")
_UM_PER = {"": 1.0, "µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "m": 1e6}

T = TypeVar("T")


@dataclass(slots=True)
class PositionFacts:
    """Properties of a position in ``metadata.ome.xml``.

    Attributes:
        well: normalised well name; empty if not recorded.
        pixel_size_um: None if not recorded, or if pixels are not square.
        oblong_um: width and height of pixels that are not square.
        position_um: (y, x) of the centre, y down; None if not recorded.
        apart_um: distance between its planes, if they lie apart.
        files: number of files listed for it.
        times: seconds since the start of the acquisition, as written, by time point.
    """

    well: str = ""
    pixel_size_um: float | None = None
    oblong_um: tuple[float | None, float | None] | None = None
    position_um: tuple[float, float] | None = None
    apart_um: float = 0.0
    files: int = 0
    times: dict[int, str] = field(default_factory=dict)


@dataclass(slots=True)
class Metadata:
    """Contents of ``metadata.ome.xml``.

    Attributes:
        path: path of the file; empty without a usable one.
        positions: by the numbers of well and position, as in file names.
        channels: names in order of appearance.
        listed: names of those listed files that exist.
        absent: names of the listed files that do not exist.
    """

    path: str = ""
    positions: dict[tuple[int, int], PositionFacts] = field(default_factory=dict)
    channels: dict[str, None] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    absent: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Contents of ``experiment_descriptor.xml``; 0, empty and None if not recorded.

    Attributes:
        path: path of the file; empty without a usable one.
        rows: rows of the plate.
        columns: columns of the plate.
        plate: name of the plate.
        pixel_size_um: size of a pixel.
    """

    path: str = ""
    rows: int = 0
    columns: int = 0
    plate: str = ""
    pixel_size_um: float | None = None


@dataclass(slots=True)
class ScanrSideFiles:
    """Side files of a plate that can be used."""

    metadata: Metadata = field(default_factory=Metadata)
    descriptor: Descriptor = field(default_factory=Descriptor)


def same_name(name: str) -> str:
    """Returns a file's name in the form in which names are compared: systems write accents differently."""
    return normalize("NFC", name)


def read_side_files(
    listing: Listing, folder: str, present: Collection[str], records: list[FileRecord]
) -> ScanrSideFiles:
    """Reads the side files of a plate, and records all files that are no images.

    Args:
        listing: the input.
        folder: the plate's folder; side files lie in it or in its ``data``.
        present: names of the images, as :func:`same_name` returns them.
        records: gets a record of each file; damaged side files are quarantined.
    """
    below = f"{folder}/" if folder else ""
    side = ScanrSideFiles()
    for file in listing.others():
        inside = file.path[len(below) :].lower() if file.path.startswith(below) else ""
        if inside in (METADATA, f"data/{METADATA}") and not side.metadata.path:
            side.metadata = _or_quarantined(
                file, records, Metadata(), lambda path: _metadata(listing, path, present)
            )
        elif inside in (DESCRIPTOR, f"data/{DESCRIPTOR}") and not side.descriptor.path:
            side.descriptor = _or_quarantined(
                file, records, Descriptor(), lambda path: _descriptor(listing, path)
            )
        elif file.path.rpartition("/")[2].lower() in _SIDE_FILES:
            records.append(ignored(file.path, "vendor-metadata"))
        else:
            records.append(no_image(file.path))
    return side


def _or_quarantined(file: FoundFile, records: list[FileRecord], without: T, read: Callable[[str], T]) -> T:
    """Reads a side file and records it; returns ``without`` if it is damaged."""
    try:
        contents = read(file.path)
    except UnreadableImage as error:
        reason = str(error).removeprefix(f"{file.path}: ")
        records.append(quarantined(file.path, f"{reason}. The names of the images decide without it"))
        return without
    records.append(ignored(file.path, "vendor-metadata"))
    return contents


def _metadata(listing: Listing, path: str, present: Collection[str]) -> Metadata:
    def build(elements: Iterator[Element]) -> Metadata:
        found = Metadata(path)
        facts = PositionFacts()
        for element in elements:
            values = element.attributes
            if element.tag == "Image":
                facts = PositionFacts()
                if numbers := _IMAGE_ID.fullmatch(values.get("ID", "")):
                    facts = found.positions.setdefault((int(numbers[1]), int(numbers[2])), facts)
                well = _IMAGE_WELL.search(values.get("Name", ""))
                facts.well = plausible_well(well[1]) if well else ""
            elif element.tag == "Pixels":
                across, down = (_um(values, f"PhysicalSize{axis}", above_zero=True) for axis in "XY")
                facts.pixel_size_um = square_um(across, down)
                facts.oblong_um = (across, down) if not_square(across, down) else None
            elif element.tag == "Channel":
                found.channels[values.get("Name", "").strip()] = None
            elif element.tag == "TiffData":
                uuid = element.child("UUID")
                name = re.split(r"[/\\]", uuid.attributes.get("FileName", "") if uuid else "")[-1]
                facts.files += bool(name)
                if same_name(name) in present:
                    found.listed.add(same_name(name))
                elif name:
                    found.absent.append(name)
            elif element.tag == "Plane":
                x, y = _um(values, "PositionX"), _um(values, "PositionY")
                if x is not None and y is not None:
                    facts.position_um = facts.position_um or (-y, x)
                    facts.apart_um = max(facts.apart_um, apart_um([facts.position_um, (-y, x)]))
                if values.get("DeltaT") and re.fullmatch(r"[0-9]{1,9}", t := values.get("TheT", "")):
                    facts.times.setdefault(int(t), f"{values['DeltaT']} s")
        return found

    wanted = {"Channel", "TiffData", "Plane"}
    return listing.read_elements(path, wanted, build, heads={"Image", "Pixels"})


def _descriptor(listing: Listing, path: str) -> Descriptor:
    def build(elements: Iterator[Element]) -> Descriptor:
        values: dict[str, str] = {}
        sizes: set[tuple[int, int]] = set()
        name, rows = "", -1  # rows is -1 outside a format
        for element in elements:
            if element.tag == "Name":
                name = element.text or name  # LabVIEW leaves the elements of a list without names
                rows = 0 if element.text == "format typedef" else rows
            elif name == "Rows" and rows == 0:
                rows = _count(element.text, MOST_ROWS)
            elif name == "Columns" and rows >= 0:
                sizes.add((rows, _count(element.text, MOST_COLUMNS)))
                rows = -1
            else:
                values.setdefault(name, element.text)
        rows, columns = sizes.pop() if len(sizes) == 1 else (0, 0)
        size = _number(values.get("conversion factor um/pixel", ""))
        return Descriptor(
            path,
            rows if columns else 0,
            columns if rows else 0,
            values.get("plate name", ""),
            size if size is not None and size > 0 else None,
        )

    return listing.read_elements(path, {"Name", "Val"}, build, undeclared="iso-8859-1")


def _um(values: dict[str, str], name: str, *, above_zero: bool = False) -> float | None:
    value, unit = _number(values.get(name, "")), _UM_PER.get(values.get(f"{name}Unit", "").strip())
    if value is None or unit is None or (above_zero and value <= 0):
        return None
    return value * unit


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _count(text: str, most: int) -> int:
    """Returns a number of rows or columns; 0 if it is none or too large."""
    count = int(text) if re.fullmatch(r"[0-9]{1,3}", text) else 0
    return count if count <= most else 0
