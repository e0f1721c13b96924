"""Side file of IN Cell: ``.xdce``, XML in ISO-8859-1.

It lists each image with its well, field, wavelength, z-step and time point (indices from 0, rows and columns
from 1), and records the plate's size, the filters and the pixel size of the objective without binning.
``offset_point`` are the places of the fields in a well, in micrometres. No source says which way they run.

Source: Bio-Formats, InCellReader.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from nucbatch.core.pixel_size import not_square, square_um
from nucbatch.core.plate_geometry import MOST_COLUMNS, MOST_ROWS, plausible_well, row_letters
from nucbatch.readers.formats.tiff_description import position_in_um
from nucbatch.readers.formats.xml_stream import Element
from nucbatch.readers.listing import Listing

_UM = frozenset({"", "um", "µm", "μm", "micron", "microns"})
_BINNING = re.compile(r"\s*([0-9]{1,2})\s*[xX]\s*([0-9]{1,2})\s*")


@dataclass(frozen=True, slots=True)
class XdceImage:
    """Image as the .xdce lists it.

    Attributes:
        file: its name, without folders.
        well: normalised well name.
        field: from 1.
        z: z-step, from 0.
        t: time point, from 0.
        wave: index of the wavelength, from 0.
        time: time of the acquisition as written; empty if not recorded.
    """

    file: str
    well: str
    field: int
    z: int
    t: int
    wave: int
    time: str = ""


@dataclass(frozen=True, slots=True)
class Wavelength:
    """Filters of a channel; empty and None if not recorded."""

    excitation: str = ""
    emission: str = ""
    excitation_nm: float | None = None
    emission_nm: float | None = None

    @property
    def channel(self) -> str:
        """Name of the channel, as in file names: ``UV - DAPI``."""
        return " - ".join(filter(None, (self.excitation, self.emission)))


@dataclass(slots=True)
class Xdce:
    """Contents of an .xdce file.

    Attributes:
        path: path of the file; empty without a usable one.
        images: the listed images.
        waves: filters by the index of the wavelength.
        thumbnails: names of previews.
        unreadable: number of listed images without a usable well, field or wavelength.
        rows: rows of the plate; 0 if not recorded.
        columns: columns of the plate; 0 if not recorded.
        pixel_size_um: size of a pixel with the camera's binning; None if not recorded or not square.
        oblong_um: width and height of pixels that are not square, without binning.
        offsets_um: (y, x) of each field in its well as the stage counts, by the field's number from 1.
    """

    path: str = ""
    images: list[XdceImage] = field(default_factory=list)
    waves: dict[int, Wavelength] = field(default_factory=dict)
    thumbnails: set[str] = field(default_factory=set)
    unreadable: int = 0
    rows: int = 0
    columns: int = 0
    pixel_size_um: float | None = None
    oblong_um: tuple[float | None, float | None] | None = None
    offsets_um: dict[int, tuple[float, float]] = field(default_factory=dict)


def read_xdce(listing: Listing, path: str) -> Xdce:
    """Reads an .xdce file.

    Raises:
        UnreadableImage: the file is damaged or does not answer.
    """

    def build(elements: Iterator[Element]) -> Xdce:
        found = Xdce(path)
        size: float | None = None
        binning: int | None = 1
        for element in elements:
            values = element.attributes
            if element.tag == "Image" and values.get("filename"):
                _add_image(found, element)
            elif element.tag == "Wavelength" and values.get("fusion_wave", "false").lower() != "true":
                number = _whole(values.get("index", str(len(found.waves))))
                if number is not None:
                    found.waves[number] = _wavelength(element)
            elif element.tag == "Plate" and "rows" in values:
                rows, columns = _whole(values["rows"]) or 0, _whole(values.get("columns", "")) or 0
                if 1 <= rows <= MOST_ROWS and 1 <= columns <= MOST_COLUMNS:
                    found.rows, found.columns = rows, columns
            elif element.tag == "ObjectiveCalibration":
                known = values.get("unit", "").strip().lower() in _UM
                sides = [_number(values.get(f"pixel_{side}", "")) for side in ("width", "height")]
                size = square_um(*sides) if known else None
                found.oblong_um = (sides[0], sides[1]) if known and not_square(*sides) else None
            elif element.tag == "offset_point":
                number = _whole(values.get("index", ""))
                y, x = (position_in_um(values.get(axis, ""), "um") for axis in "yx")
                if number is not None and y is not None and x is not None:
                    found.offsets_um[number + 1] = y, x
            elif element.tag == "Binning":
                match = _BINNING.fullmatch(values.get("value", ""))
                binning = int(match[1]) if match and match[1] == match[2] else None
        found.pixel_size_um = size * binning if size and binning else None
        return found

    wanted = {"Image", "Wavelength", "ObjectiveCalibration", "Binning"}
    return listing.read_elements(
        path, wanted, build, heads={"Plate", "offset_point"}, undeclared="iso-8859-1"
    )


def base_name(path: str) -> str:
    """Returns a file's name without folders, which Windows separates by backslashes."""
    return re.split(r"[/\\]", path)[-1]


def _add_image(found: Xdce, element: Element) -> None:
    values = element.attributes
    if values.get("thumbnail"):
        found.thumbnails.add(base_name(values["thumbnail"]))
    well = element.child("Well")
    row, column = (_whole(_values(well, tag).get("number", "")) for tag in ("Row", "Column"))
    place = _values(element, "Identifier")
    numbers = [_whole(place.get(f"{part}_index", "0")) for part in ("field", "z", "time", "wave")]
    name = plausible_well(f"{row_letters(row - 1)}{column}") if row and column else ""
    field_number, z, t, wave = numbers
    if not name or field_number is None or z is None or t is None or wave is None:
        found.unreadable += 1
        return
    time_ms = values.get("acquisition_time_ms", "")
    time = f"{time_ms} ms" if time_ms else ""
    file = base_name(values["filename"])
    found.images.append(XdceImage(file, name, field_number + 1, z, t, wave, time))
    found.waves.setdefault(wave, _wavelength(element))


def _wavelength(element: Element) -> Wavelength:
    excitation, emission = _values(element, "ExcitationFilter"), _values(element, "EmissionFilter")
    return Wavelength(
        excitation.get("name", "").strip(),
        emission.get("name", "").strip(),
        _number(excitation.get("wavelength", "")),
        _number(emission.get("wavelength", "")),
    )


def _values(element: Element | None, tag: str) -> dict[str, str]:
    child = element.child(tag) if element else None
    return child.attributes if child else {}


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text.strip()) else None


def _number(text: str) -> float | None:
    """Returns a number above 0; None for any other text."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None
