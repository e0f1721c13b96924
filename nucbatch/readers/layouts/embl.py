"""Layout of EMBL's ALMF and MitoCheck: ``<label>--<label>--W0021--P000--T0000--Z000--C00.ome.tif``.

- W numbers the wells of the plate row by row, from 1. P, T, Z and C count from 0 or 1.
- Labels hold the well and its content, or no well at all; the first of three is the plate. A label is the
  well if it is a well in every name, and if W counts these wells on a standard plate. ``E2`` alone could be a
  gene.
- Otherwise a table beside the images tells it: a CSV with the columns ``W`` and ``well``.
- Without both the plate is rejected: the same W is another well on a plate with other columns.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.core.plate import FileRecord, Plate
from nucbatch.core.plate_geometry import PLATE_SIZES, plausible_well, row_index, split_well
from nucbatch.readers.assemble import Sighting, assemble, named_images
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.layouts.manifest_table import read_rows
from nucbatch.readers.layouts.one_plate import several_plates
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.rules import ignored, no_image, quarantined

_NAME = re.compile(
    r"(?P<labels>.*?)--W(?P<number>[0-9]{3,6})--P(?P<position>[0-9]{1,6})--T(?P<t>[0-9]{1,6})--Z(?P<z>[0-9]{1,6})"
    r"--(?P<channel>C[0-9]{1,3})(?:\.ome)?\.(?:tiff?|png|jpe?g)",
    re.IGNORECASE,
)
_INSIDE = re.compile(r"[WP][0-9]{3,6}(?:--.*)?", re.IGNORECASE)
_BY_NUMBER = "(?i)--W(?P<well_of_96>[0-9]+)--P(?P<field>[0-9]+)--T(?P<t>[0-9]+)--Z(?P<z>[0-9]+)--"
_BY_NUMBER += r"(?P<channel>C[0-9]+)(?:\.ome)?\.(?:tiff?|png|jpe?g)$"
_MOST_TABLE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class EmblName:
    """Parts of a file name; numbers are as written.

    Attributes:
        labels: the texts before W.
        number: running number of the well.
        position: position in the well.
        t: time point.
        z: z-step.
        channel: ``C00``.
    """

    labels: tuple[str, ...]
    number: int
    position: int
    t: int
    z: int
    channel: str


def parse(path: str) -> EmblName | None:
    """Parses a path; None if its name is not one of EMBL."""
    match = _NAME.fullmatch(path.rpartition("/")[2])
    if match is None:
        return None
    number, position, t, z = (int(match[part]) for part in ("number", "position", "t", "z"))
    labels = tuple(match["labels"].split("--")) if match["labels"] else ()
    return EmblName(labels, number, position, t, z, match["channel"].upper())


class EmblReader:
    """Reads plates with the names of EMBL's screening facility."""

    name = "embl"
    priority = 36
    example = Example(
        {
            **{
                f"W00{w}--{well}--empty/P00{p}--{well}--empty/"
                f"{well}--empty--W00{w}--P00{p}--T0000--Z000--C00.tif": None
                for well, w in (("B2", 14), ("B3", 15))
                for p in (0, 1)
            },
            "W0016--B4--empty/P000--B4--empty/B4--empty--W0016--P000--T0000--Z000--C00.tif": b"II*\0",
            "odd.tif": None,
            "notes.csv": b"a,b",
        }
    )

    def recognise(self, listing: Listing) -> bool:
        """Returns whether at least half of the images have such names."""
        return listing.mostly(parse)

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the single plate below the listing's root.

        Raises:
            InputError: several plates, or nothing tells the wells.
        """
        records: list[FileRecord] = []
        named = named_images(listing, parse, self.name, records)
        if not named:
            raise InputError(
                f"{printable(listing.name)} holds no image with a name of EMBL, such as B9--empty--W0021--"
                "P000--T0000--Z000--C00.tif: leave out --layout embl."
            )
        folder = _only_folder(listing, [file for file, _ in named])
        names = [name for _, name in named]
        table = _table(listing, folder)
        for file in listing.others():
            known = table is not None and file.path == table[0]
            records.append(ignored(file.path, "vendor-metadata") if known else no_image(file.path))
        labels = _labels(listing, names)
        wells = table[1] if table else _labelled_wells(listing, labels)
        first_position, first_t, first_z = (
            min(1, *values, 1)
            for values in zip(*((name.position, name.t, name.z) for name in names), strict=True)
        )
        sightings: list[Sighting] = []
        for file, name in named:
            if name.number in wells:
                site, t, z = name.position - first_position + 1, name.t - first_t, name.z - first_z
                sightings.append(Sighting(file, name.channel, wells[name.number], site, t, z))
            else:
                where = printable(table[0]) if table else "the names"
                records.append(quarantined(file.path, f"no line of {where} has W {name.number}"))
        channels: list[str] = sorted({sighting.channel for sighting in sightings})
        return assemble(
            listing,
            name=listing.name,
            layout=self.name,
            sightings=sightings,
            records=records,
            channels=channels,
            evidence="side file" if table else "names",
        )


def _only_folder(listing: Listing, files: Sequence[FoundFile]) -> str:
    """Returns the plate's folder, without the folders of wells and positions.

    Raises:
        InputError: several plates.
    """
    folders = set()
    for file in files:
        parts = file.path.split("/")[:-1]
        while parts and _INSIDE.fullmatch(parts[-1]):
            parts.pop()
        folders.add("/".join(parts))
    if len(folders) > 1:
        raise several_plates(listing, sorted(folders))
    return folders.pop()


def _labels(listing: Listing, names: Sequence[EmblName]) -> dict[int, tuple[str, ...]]:
    """Returns the labels of each number.

    Raises:
        InputError: they are those of several plates.
    """
    labels: dict[int, tuple[str, ...]] = {}
    for name in names:
        if labels.setdefault(name.number, name.labels) != name.labels:
            one, other = ("--".join(parts) for parts in (labels[name.number], name.labels))
            raise InputError(
                f"{printable(listing.name)}: W{name.number:04d} is labelled {printable(one)} and "
                f"{printable(other)}, so the images are of several plates. Put each into a folder of its own."
            )
    plates = sorted({parts[0] for parts in labels.values() if len(parts) > 2})
    if len(plates) > 1:
        raise InputError(
            f"{printable(listing.name)} mixes images of {len(plates):,} plates by their first label "
            f"({', '.join(map(printable, plates[:6]))}). Put each into a folder of its own."
        )
    return labels


def _labelled_wells(listing: Listing, labels: Mapping[int, tuple[str, ...]]) -> dict[int, str]:
    """Returns the well of each number from the label that is a well in every name.

    Raises:
        InputError: no label is.
    """
    for place in range(min(map(len, labels.values()))):
        wells = {number: plausible_well(parts[place]) for number, parts in labels.items()}
        if all(wells.values()) and any(_counts(wells, columns) for _, columns in PLATE_SIZES):
            return wells
    number = min(labels)
    root = printable(shlex.quote(listing.root))
    raise InputError(
        f"{printable(listing.name)} has images of EMBL or ALMF whose labels do not tell the well of each "
        f"number (W{number:04d} is {printable('--'.join(labels[number])) or 'not labelled'}), and W alone is "
        "another well on each size of plate. Put a table wells.csv beside the images, with the columns W and "
        "well (21,B9), or say the plate's size (here 96 wells; well_of_24, well_of_384, ... for others):\n"
        f"  nucbatch inspect {root} --pattern {shlex.quote(_BY_NUMBER)}\n"
        "If each file really is an image of its own, add --layout folder."
    )


def _counts(wells: Mapping[int, str], columns: int) -> bool:
    """Returns whether the numbers count these wells row by row, from 1."""
    places = ((number, *split_well(well)) for number, well in wells.items())
    return all(
        column <= columns and number == row_index(row) * columns + column for number, row, column in places
    )


def _table(listing: Listing, folder: str) -> tuple[str, dict[int, str]] | None:
    """Reads the table of wells in the plate's folder: its path, and the well of each number.

    Raises:
        InputError: there are several, or one has a line that is no number and well.
    """
    below = f"{folder}/" if folder else ""
    found: dict[str, dict[int, str]] = {}
    for file in listing.others():
        inside = file.path.removeprefix(below)
        if not file.path.startswith(below) or "/" in inside or file.size_bytes > _MOST_TABLE_BYTES:
            continue
        if inside.lower().endswith((".csv", ".tsv")):
            wells = listing.read(file.path, _rows)
            if wells is not None:
                found[file.path] = wells
    if len(found) > 1:
        names = ", ".join(map(printable, sorted(found)))
        raise InputError(f"{printable(listing.name)} has several tables of wells ({names}): leave one.")
    return next(iter(found.items()), None)


def _rows(path: Path) -> dict[int, str] | None:
    """Returns the wells of a table; None if it does not have the columns ``W`` and ``well``."""
    try:
        rows = read_rows(path)
    except InputError:
        return None  # a table of another kind, which is not read
    titles = {title.strip().casefold(): title for title in rows[0].values}
    if not {"w", "well"} <= titles.keys():
        return None
    wells: dict[int, str] = {}
    for row in rows:
        number, well = row.get(titles["w"]).lstrip("Ww"), plausible_well(row.get(titles["well"]))
        if not re.fullmatch(r"[0-9]{1,6}", number) or not well:
            raise InputError(
                f"{printable(path.name)}, row {row.number}: W {row.get(titles['w'])!r} and well "
                f"{row.get(titles['well'])!r} must be a number and a well, such as 21 and B9."
            )
        if wells.setdefault(int(number), well) != well or list(wells.values()).count(well) > 1:
            raise InputError(
                f"{printable(path.name)}, row {row.number}: W {number} or well {well} occurs twice."
            )
    return wells
