"""Layout of Olympus (Evident) ScanR: ``data/A1--W00001--P00001--Z00000--T00000--GFP.tif``.

- W is the well's number, counted row by row on the plate from 1. P is the position in the well, from 1. Z and
  T count from 0. The rest is the channel's name, with any characters.
- The well before ``--W`` may be empty. Then it comes from ``metadata.ome.xml``, or from W and the plate's
  columns in ``experiment_descriptor.xml``. Without both the plate is rejected: a guess would move wells.
- A side file that is damaged or contradicts the names is quarantined, and the names decide.
- Files listed in ``metadata.ome.xml`` that do not exist are gaps. Images that it does not list are
  quarantined.
- The sign bit of older files is removed on reading (:mod:`nucbatch.readers.formats.sign_bit`).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.core.plate import FileRecord, Plate
from nucbatch.core.plate_geometry import plausible_well, row_letters, well_name
from nucbatch.readers.assemble import FieldFacts, FieldKey, Sighting, assemble, unfitting
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.layouts.listed_planes import ListedPlane, losses
from nucbatch.readers.layouts.one_plate import is_inside, several_plates
from nucbatch.readers.layouts.scanr_metadata import (
    DESCRIPTOR,
    METADATA,
    Descriptor,
    Metadata,
    PositionFacts,
    ScanrSideFiles,
    read_side_files,
    same_name,
)
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import natural_key, plural
from nucbatch.readers.rules import quarantined

_NAME = re.compile(
    r"(?P<label>.*?)--W(?P<number>[0-9]{5,9})--P(?P<position>[0-9]{5,9})--Z(?P<z>[0-9]{5,9})"
    r"--T(?P<t>[0-9]{5,9})--(?P<channel>.+?)(?:\.ome)?\.tiff?",
    re.IGNORECASE,
)
_BY_NUMBER = "(?i)--W(?P<well_of_96>[0-9]+)--P(?P<field>[0-9]+)--Z(?P<z>[0-9]+)--T(?P<t>[0-9]+)--"
_BY_NUMBER += r"(?P<channel>.+)\.tiff?$"
_UNKNOWN = PositionFacts()


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


class ScanrReader:
    """Reads plates of Olympus ScanR."""

    name = "scanr"
    priority = 32
    example = Example(
        {
            **{
                f"data/{well}--{number}--P00001--Z00000--T00000--{channel}.tif": None
                for well, number in (("A1", "W00001"), ("A2", "W00002"))
                for channel in ("DAPI", "405 nm #1")
            },
            "data/A3--W00003--P00001--Z00000--T00000--DAPI.tif": b"II*\0",
            "data/preview.tif": None,
            "AcquisitionLog.dat": b"log",
        }
    )

    def recognise(self, listing: Listing) -> bool:
        """Returns whether at least half of the images have such names."""
        images = listing.images()
        fitting = sum(1 for file in images if parse(file.path))
        return not listing.single and fitting > 0 and 2 * fitting >= len(images)

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the single plate below the listing's root.

        Raises:
            InputError: several plates, wells that nothing tells, or names that contradict each other.
        """
        records: list[FileRecord] = []
        named: list[tuple[FoundFile, ScanrName]] = []
        for file in listing.images():
            name = parse(file.path)
            if name is None:
                records.append(unfitting(file, self.name))
            else:
                named.append((file, name))
        if not named:
            raise InputError(
                f"{printable(listing.name)} holds no image with a name of ScanR, such as "
                "A1--W00001--P00001--Z00000--T00000--DAPI.tif: leave out --layout scanr."
            )
        folder = _only_folder(listing, named)
        present = {same_name(file.path.rpartition("/")[2]) for file, _ in named}
        side = read_side_files(listing, folder, present, records)
        wells = _wells(listing, named, side, records)
        return _plate(listing, named, wells, side, records)


def _plate(
    listing: Listing,
    named: Sequence[tuple[FoundFile, ScanrName]],
    wells: Mapping[int, str],
    side: ScanrSideFiles,
    records: list[FileRecord],
) -> Plate:
    metadata, descriptor = side.metadata, side.descriptor
    absent = [(file, name) for file in metadata.absent if (name := parse(file))]
    names = [name for _, name in (*named, *absent)]
    shift = 1 - min(1, *(name.position for name in names), 1)

    def key(name: ScanrName) -> FieldKey:
        return wells[name.number], name.position + shift, name.t

    sightings: list[Sighting] = []
    for file, name in named:
        if metadata.path and same_name(file.path.rpartition("/")[2]) not in metadata.listed:
            records.append(quarantined(file.path, f"{metadata.path} lists no image of this name"))
        else:
            sightings.append(Sighting(file, name.channel, *key(name), name.z))
    gaps, lacking = losses(
        (ListedPlane(file, key(name), name.channel) for file, name in absent),
        {sighting.key for sighting in sightings},
        metadata.path,
    )
    for (number, position), known in metadata.positions.items():
        if not known.files:
            gaps[wells[number], position + shift, 0] = (
                f"no image: {metadata.path} lists no file of this position"
            )
    facts: dict[FieldKey, FieldFacts] = {}
    for name in names:
        of_position = metadata.positions.get((name.number, name.position), _UNKNOWN)
        size = of_position.pixel_size_um or descriptor.pixel_size_um
        facts[key(name)] = FieldFacts(of_position.position_um, size)
    used = {name.channel for name in names}
    channels = [channel for channel in metadata.channels if channel in used]
    return assemble(
        listing,
        name=descriptor.plate or listing.name,
        layout=ScanrReader.name,
        sightings=sightings,
        records=records,
        channels=[*channels, *sorted(used - set(channels), key=natural_key)],
        gaps=gaps,
        lacking=lacking,
        facts=facts,
        rows=descriptor.rows,
        columns=descriptor.columns,
        evidence="side file" if metadata.path or descriptor.path else "names",
    )


def _only_folder(listing: Listing, named: Sequence[tuple[FoundFile, ScanrName]]) -> str:
    """Returns the plate's folder, without ``data`` and folders of wells.

    Raises:
        InputError: several plates.
    """
    folders = set()
    for file, name in named:
        parts = file.path.split("/")[:-1]
        while parts and (parts[-1].lower() == "data" or is_inside(parts[-1], name.well, name.position)):
            parts.pop()
        folders.add("/".join(parts))
    if len(folders) > 1:
        raise several_plates(listing, sorted(folders))
    return folders.pop()


def _wells(
    listing: Listing,
    named: Sequence[tuple[FoundFile, ScanrName]],
    side: ScanrSideFiles,
    records: list[FileRecord],
) -> dict[int, str]:
    """Returns the well of each number; side files that contradict the names are dropped and quarantined.

    Raises:
        InputError: the names contradict each other, or nothing tells the wells.
    """
    wells = _written_wells(listing, [name for _, name in named])
    numbers = {name.number for _, name in named}
    recorded, contradiction = _recorded_wells(side.metadata, wells)
    if contradiction:
        _quarantine(side.metadata.path, records, contradiction)
        side.metadata, recorded = Metadata(), {}
    wells = recorded | wells
    numbers |= {number for number, _ in side.metadata.positions}
    numbers |= {name.number for file in side.metadata.absent if (name := parse(file))}
    rows, columns = side.descriptor.rows, side.descriptor.columns
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
    owners: dict[str, int] = {}
    for number, well in sorted(wells.items()):
        if owners.setdefault(well, number) != number:
            raise InputError(
                f"{printable(listing.name)}: W{owners[well]:05d} and W{number:05d} are both well {well}, so "
                "they are of several plates. Put each plate into a folder of its own."
            )
    return wells


def _written_wells(listing: Listing, names: Sequence[ScanrName]) -> dict[int, str]:
    """Returns the wells of the numbers whose file names have one.

    Raises:
        InputError: a number has several wells.
    """
    wells: dict[int, str] = {}
    for name in names:
        if name.well and wells.setdefault(name.number, name.well) != name.well:
            raise InputError(
                f"{printable(listing.name)}: the names give W{name.number:05d} the wells "
                f"{wells[name.number]} and {name.well}, so they are of several plates. Put each plate into a "
                "folder of its own."
            )
    return wells


def _recorded_wells(metadata: Metadata, written: Mapping[int, str]) -> tuple[dict[int, str], str]:
    """Returns the wells in the metadata, and how they contradict the names; empty if they do not."""
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
