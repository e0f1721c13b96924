"""File names of ScanR, and the wells that their W numbers mean.

The well comes from the names, else from ``metadata.ome.xml``, else from the plate's columns in
``experiment_descriptor.xml``. Where they disagree, the names are right and the side file is not used.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.core.plate import FileRecord
from nucbatch.core.plate_geometry import plausible_well, row_letters, well_name
from nucbatch.readers.layouts.scanr_metadata import DESCRIPTOR, METADATA, Descriptor, Metadata, ScanrSideFiles
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import plural
from nucbatch.readers.rules import quarantined

_NAME = re.compile(
    r"(?P<label>.*?)--W(?P<number>[0-9]{5,9})--P(?P<position>[0-9]{5,9})--Z(?P<z>[0-9]{5,9})"
    r"--T(?P<t>[0-9]{5,9})--(?P<channel>.+?)(?:\.ome)?\.tiff?",
    re.IGNORECASE,
)
_BY_NUMBER = "(?i)--W(?P<well_of_96>[0-9]+)--P(?P<field>[0-9]+)--Z(?P<z>[0-9]+)--T(?P<t>[0-9]+)--"
_BY_NUMBER += r"(?P<channel>.+)\.tiff?$"


@dataclass(frozen=True, slots=True)
class ScanrName:
    """Parts of a ScanR file name.

    Attributes:
        well: normalised well name; empty if the name has none.
        number: running number of the well, from 1.
        position: position in the well, from 1.
        z: z-step, from 0.
        t: time point, from 0.
        channel: name of the channel.
    """

    well: str
    number: int
    position: int
    z: int
    t: int
    channel: str


def parse(path: str) -> ScanrName | None:
    """Parses a path; None if its name is not one of ScanR."""
    match = _NAME.fullmatch(path.rpartition("/")[2])
    if match is None:
        return None
    number, position, z, t = (int(match[part]) for part in ("number", "position", "z", "t"))
    return ScanrName(plausible_well(match["label"]), number, position, z, t, match["channel"].strip())


def wells_of_numbers(
    listing: Listing,
    named: Sequence[tuple[FoundFile, ScanrName]],
    side: ScanrSideFiles,
    records: list[FileRecord],
) -> dict[int, str]:
    """Returns the well of each number; side files that contradict the names are dropped and quarantined.

    Raises:
        InputError: the names contradict each other, or nothing tells the wells.
    """
    written = _written_wells(listing, [name for _, name in named])
    rows, columns = side.descriptor.rows, side.descriptor.columns
    recorded, contradiction = _recorded_wells(side.metadata, written, bool(columns))
    if contradiction:
        _quarantine(side.metadata.path, records, contradiction)
        side.metadata, recorded = Metadata(), {}
    wells = recorded | written
    numbers = {name.number for _, name in named} | _listed_numbers(side.metadata)
    if columns:
        counted = {number: _counted_well(number, rows, columns) for number in numbers}
        wrong = next((number for number, well in sorted(wells.items()) if counted[number] != well), None)
        if wrong is not None:
            reason = f"on its plate of {rows} × {columns} wells W{wrong:05d} is not {wells[wrong]}"
            _quarantine(side.descriptor.path, records, reason)
            side.descriptor = Descriptor()
        else:
            wells = {number: well for number, well in counted.items() if well}
    unknown = sorted(numbers - set(wells))
    if unknown:
        raise _without_wells(listing, unknown[0], side.descriptor)
    return wells


def _listed_numbers(metadata: Metadata) -> set[int]:
    """Returns the numbers of the wells in the metadata, with or without files."""
    names = (parse(file) for file in metadata.absent)
    return {number for number, _ in metadata.positions} | {name.number for name in names if name}


def _written_wells(listing: Listing, names: Sequence[ScanrName]) -> dict[int, str]:
    """Returns the wells of the numbers whose file names have one.

    Raises:
        InputError: a number has several wells, or a well several numbers.
    """
    wells: dict[int, str] = {}
    for name in names:
        if name.well and wells.setdefault(name.number, name.well) != name.well:
            raise InputError(
                f"{printable(listing.name)}: the names give W{name.number:05d} the wells "
                f"{wells[name.number]} and {name.well}, so they are of several plates. Put each plate into a "
                "folder of its own."
            )
    if same := _same_well(wells):
        one, other = same
        raise InputError(
            f"{printable(listing.name)}: W{one:05d} and W{other:05d} are both well {wells[one]}, so they are "
            "of several plates. Put each plate into a folder of its own."
        )
    return wells


def _same_well(wells: Mapping[int, str]) -> tuple[int, int] | None:
    """Returns two numbers of one well, if there are any."""
    owners: dict[str, int] = {}
    for number, well in sorted(wells.items()):
        if owners.setdefault(well, number) != number:
            return owners[well], number
    return None


def _recorded_wells(
    metadata: Metadata, written: Mapping[int, str], counted: bool
) -> tuple[dict[int, str], str]:
    """Returns the wells in the metadata, and how they contradict the names; empty if they do not.

    Args:
        metadata: the metadata.
        written: the wells in the names.
        counted: the plate's columns are known, so each number has a well.
    """
    wells: dict[int, str] = {}
    if metadata.absent and not metadata.listed:
        return {}, f"it lists {plural(len(metadata.absent), 'image')} and none of these"
    for (number, _), facts in metadata.positions.items():
        if facts.well and facts.well != written.get(number, facts.well):
            return {}, f"it has well {facts.well} for W{number:05d}, the names {written[number]}"
        if facts.well:
            wells.setdefault(number, facts.well)
    for file in metadata.absent:
        name = parse(file)
        if name and name.well:
            wells.setdefault(name.number, name.well)
    if same := _same_well(wells | dict(written)):
        return {}, f"it has the same well for W{same[0]:05d} and W{same[1]:05d}"
    unknown = sorted(_listed_numbers(metadata) - set(wells) - set(written))
    if unknown and written and not counted:
        return {}, f"it lists W{unknown[0]:05d} without its well"
    return wells, ""


def _counted_well(number: int, rows: int, columns: int) -> str:
    """Returns the well of a number from 1, counted row by row; empty if it is not on the plate."""
    row, column = divmod(number - 1, columns)
    return well_name(row_letters(row), column + 1) if 0 <= row < rows else ""


def _quarantine(path: str, records: list[FileRecord], reason: str) -> None:
    """Replaces the record of a side file that contradicts the names."""
    place = next(i for i, record in enumerate(records) if record.path == path)
    records[place] = quarantined(path, f"it is of another plate than the images: {reason}. It is not used")


def _without_wells(listing: Listing, number: int, descriptor: Descriptor) -> InputError:
    name, root = printable(listing.name), printable(shlex.quote(listing.root))
    if descriptor.columns:
        return InputError(
            f"{name}: W{number:05d} is not on the plate of {descriptor.rows} × {descriptor.columns} wells in "
            f"{printable(descriptor.path)}. Give the images and the {DESCRIPTOR} of one plate."
        )
    return InputError(
        f"{name} has images of ScanR without a well in their names (--W{number:05d}--), and no usable "
        f"{METADATA} or {DESCRIPTOR} tells how many columns the plate has. Give the folder that holds "
        f"{DESCRIPTOR} and data/, or say the plate's size (here 96 wells; well_of_24, well_of_384, ... for "
        "others):\n"
        f"  nucbatch inspect {root} --pattern {shlex.quote(_BY_NUMBER)}\n"
        "If each file really is an image of its own, add --layout folder."
    )
