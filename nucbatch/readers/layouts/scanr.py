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

from collections.abc import Mapping, Sequence

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.core.pixel_size import not_square_remark
from nucbatch.core.plate import FileRecord, Plate
from nucbatch.readers.assemble import FieldFacts, FieldKey, Sighting, assemble, named_images
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.layouts.listed_planes import ListedPlane, losses
from nucbatch.readers.layouts.one_plate import is_inside, several_plates
from nucbatch.readers.layouts.scanr_metadata import (
    PositionFacts,
    ScanrSideFiles,
    read_side_files,
    same_name,
)
from nucbatch.readers.layouts.scanr_names import ScanrName, parse, wells_of_numbers
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import natural_key
from nucbatch.readers.rules import quarantined

_UNKNOWN = PositionFacts()


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
        return listing.mostly(parse)

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the single plate below the listing's root.

        Raises:
            InputError: several plates, wells that nothing tells, or names that contradict each other.
        """
        records: list[FileRecord] = []
        named = named_images(listing, parse, self.name, records)
        if not named:
            raise InputError(
                f"{printable(listing.name)} holds no image with a name of ScanR, such as "
                "A1--W00001--P00001--Z00000--T00000--DAPI.tif: leave out --layout scanr."
            )
        folder = _only_folder(listing, named)
        present = {same_name(file.path.rpartition("/")[2]) for file, _ in named}
        side = read_side_files(listing, folder, present, records)
        wells = wells_of_numbers(listing, named, side, records)
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
        size = of_position.pixel_size_um or (None if of_position.oblong_um else descriptor.pixel_size_um)
        facts[key(name)] = FieldFacts(
            of_position.position_um,
            size,
            time=of_position.times.get(name.t, ""),
            apart_um=of_position.apart_um,
        )
    used = {name.channel for name in names}
    oblong = next((known.oblong_um for known in metadata.positions.values() if known.oblong_um), None)
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
        remarks=[not_square_remark(*oblong, metadata.path)] if oblong else [],
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
