"""Layout of Yokogawa CellVoyager (CV7000, CV8000): ``<plate>_<well>_T0001F001L01A01Z01C01.tif``.

T is the time point, F the field, L the timeline, A the action, Z the z-step and C the channel, all from 1.
``MeasurementData.mlf`` records every image with its stage position, and every field that was lost. Without it
the names are read. :mod:`nucbatch.readers.layouts.yokogawa.field_planes` says how both are arranged.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.core.plate import FileRecord, Plate
from nucbatch.core.plate_geometry import plausible_well
from nucbatch.readers.assemble import unfitting
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.layouts.one_plate import is_inside
from nucbatch.readers.layouts.yokogawa.assembly import assembled, is_correction, other_records
from nucbatch.readers.layouts.yokogawa.measurement_records import Shot, sites_given
from nucbatch.readers.layouts.yokogawa.side_files import (
    lies_below,
    plate_folder,
    read_side_files,
    require_one_folder,
    shots_of_records,
)
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.rules import ignored, quarantined

_NAME = re.compile(
    r"(?:(?P<plate>.*)_)?(?P<well>[A-Z]{1,2}[0-9]{2})_T(?P<time_point>[0-9]{4,9})F(?P<site>[0-9]{3,9})"
    r"L(?P<timeline>[0-9]{2,9})A(?P<action>[0-9]{2,9})Z(?P<z_step>[0-9]{2,9})C(?P<channel>[0-9]{2,9})"
    r"\.(?:tiff?|png|jpe?g)",
    re.IGNORECASE,
)
_NUMBERS = ("site", "time_point", "z_step", "channel", "timeline", "action")
_UNLISTED = "no record of {} names this image: it is of another measurement, or a copy"


def parse(path: str) -> tuple[str, Shot] | None:
    """Parses a relative path: (plate, image); None if it is not a CellVoyager image."""
    match = _NAME.fullmatch(path, path.rfind("/") + 1)
    well = plausible_well(match["well"]) if match else ""
    if match is None or not well:
        return None
    site, time_point, z_step, channel, timeline, action = (int(match[part]) for part in _NUMBERS)
    if not (site and time_point and channel and timeline and action):
        return None
    projection = "" if z_step else "unknown"
    shot = Shot(path, well, site, time_point, z_step, channel, timeline, action, projection)
    return match["plate"] or "", shot


class CellVoyagerReader:
    """Reads plates of Yokogawa's CellVoyager microscopes, by ``MeasurementData.mlf`` or by names."""

    name = "cellvoyager"
    priority = 32
    example = Example(
        {
            **{f"p_{well}_T0001F001L01A01Z01C0{c}.tif": None for well in ("C03", "D03") for c in (1, 2)},
            "MeasurementData.mlf": b"".join(
                (
                    b'<bts:MeasurementData xmlns:bts="urn:bts">',
                    *(
                        f'<bts:MeasurementRecord bts:Type="IMG" bts:Row="{row}" bts:Column="3" '
                        f'bts:TimePoint="1" bts:FieldIndex="1" bts:ZIndex="1" bts:TimelineIndex="1" '
                        f'bts:ActionIndex="1" bts:X="0" bts:Y="0" bts:Ch="{c}">'
                        f"p_{well}_T0001F001L01A01Z01C0{c}.tif</bts:MeasurementRecord>".encode()
                        for row, well in ((3, "C03"), (4, "D03"))
                        for c in (1, 2)
                    ),
                    b'<bts:MeasurementRecord bts:Type="ERR" bts:Row="4" bts:Column="3" bts:TimePoint="1" '
                    b'bts:FieldIndex="2" bts:TimelineIndex="1">AF Error</bts:MeasurementRecord>',
                    b"</bts:MeasurementData>",
                )
            ),
            "SC_BP445-45_20x_M01_CH01.tif": None,
            "p_E03_T0001F001L01A01Z01C01.tif": None,
            "stray.tif": None,
        }
    )

    def recognise(self, listing: Listing) -> bool:
        """Returns whether at least half of the images have such names or ``MeasurementData.mlf`` above."""
        folders = {
            file.path.rpartition("/")[0]
            for file in listing.others()
            if file.path.lower().rpartition("/")[2] == "measurementdata.mlf"
        }
        fitting = others = 0
        for file in listing.images():
            if parse(file.path) or lies_below(file.path, folders):
                fitting += 1
            elif not is_correction(file.path):
                others += 1
        return not listing.single and fitting > 0 and fitting >= others

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the single plate below the listing's root.

        Raises:
            InputError: several plates, or several acquisitions of which none is chosen.
        """
        by_path = {file.path: file for file in listing.images()}
        plates: dict[str, str] = {}  # text before the well of each image with a CellVoyager name
        folders: dict[str, set[str]] = defaultdict(set)
        folder = plate_folder(listing, _named(by_path, plates, folders))
        sides = read_side_files(listing, folder)

        records: list[FileRecord] = []
        images: list[FoundFile] = []
        for path, file in by_path.items():
            if path not in plates and is_correction(path, sides.detail.corrections):
                records.append(ignored(path, "illumination-correction"))
            else:
                images.append(file)
        shots = shots_of_records(sides, images, _shot)
        losses = sites_given(sides.records.losses, shots) if sides.records else []
        source = PurePosixPath(sides.records_path).name if sides.records else ""
        if sides.records is None:
            _require_one_plate(listing, folders)
            shots = [replace(shot, file=by_path[path]) for path in plates if (shot := _shot(path))]
        used = {shot.path for shot in shots if shot.file}
        for file in images:
            if file.path not in used:
                listed = source and file.path in plates
                reason = _UNLISTED.format(source)
                records.append(quarantined(file.path, reason) if listed else unfitting(file, self.name))
        records += other_records(listing, sides)

        names = {plate for path, plate in plates.items() if path in used}
        return assembled(
            listing,
            sides,
            shots,
            losses,
            records,
            layout=self.name,
            name=names.pop() if len(names) == 1 else "",
            source=source,
            default="C{:02d}",
            acquisition=options.acquisition,
            z_steps=options.z_steps,
        )


def _shot(path: str) -> Shot | None:
    found = parse(path)
    return found[1] if found else None


def _named(
    paths: Iterable[str], plates: dict[str, str], folders: dict[str, set[str]]
) -> Iterator[tuple[str, str]]:
    """Yields (path, folder of its plate) of each image with such a name; notes plates and their folders."""
    texts: dict[str, str] = {}
    for path in paths:
        found = parse(path)
        if found:
            plate, shot = found
            plates[path] = texts.setdefault(plate, plate)
            folder = _plate_folder(shot)
            folders[plate].add(folder)
            yield path, folder


def _plate_folder(shot: Shot) -> str:
    """Returns the image's folder without folders that are named after its well or field."""
    parts = shot.path.split("/")[:-1]
    while parts and is_inside(parts[-1], shot.well, shot.site):
        parts.pop()
    return "/".join(parts)


def _require_one_plate(listing: Listing, folders: Mapping[str, set[str]]) -> None:
    """Checks that names alone tell of one plate: one text before the wells, in one folder."""
    if not folders:
        raise InputError(
            f"{printable(listing.name)} has no image with a CellVoyager name, such as "
            "plate_C03_T0001F001L01A01Z01C01.tif, and no MeasurementData.mlf that names its images: give the "
            "folder that holds both, or read the images with --layout folder or --pattern."
        )
    require_one_folder(listing, set().union(*folders.values()))
    if len(folders) > 1:
        shown = ", ".join(printable(plate) or "none" for plate in sorted(folders)[:6])
        raise InputError(
            f"{printable(listing.name)} mixes images of {len(folders):,} plates in one folder ({shown}). Put "
            "each plate into a folder of its own."
        )
